#pragma once

#include <memory>
#include <string>
#include <utility>

#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "mcp/subscriptions.h"

namespace llm::mcp {

// Revision 2026-07-28: stateless. Each request says in `_meta` which version it speaks and what its client can do;
// nothing is remembered but the open `subscriptions/listen` requests.
class ModernEra {
 public:
  ModernEra(const Server& server, Calls& calls, access::Principal principal)
      : server_(server), calls_(calls), principal_(std::move(principal)), subscriptions_(server, calls) {}

  // Does the request carry the `_meta` of this era, well-formed or not?
  static bool speaks(const json::object& params);
  // Methods that no other era has.
  static bool owns(std::string_view method);

  void on_request(Request& request, ReplyTo to);
  // On whose behalf the next requests come.
  void set_principal(const access::Principal& principal) { principal_ = principal; }
  Subscriptions& subscriptions() { return subscriptions_; }
  const Subscriptions& subscriptions() const { return subscriptions_; }

 private:
  using Method = void (ModernEra::*)(Request&, Origin, ReplyTo);
  static Method find_method(std::string_view name);

  void discover(Request& request, Origin origin, ReplyTo to);
  void tools_list(Request& request, Origin origin, ReplyTo to);
  void tools_call(Request& request, Origin origin, ReplyTo to);
  void resources_list(Request& request, Origin origin, ReplyTo to);
  void resource_templates_list(Request& request, Origin origin, ReplyTo to);
  void resources_read(Request& request, Origin origin, ReplyTo to);
  void prompts_list(Request& request, Origin origin, ReplyTo to);
  void prompts_get(Request& request, Origin origin, ReplyTo to);
  void completion(Request& request, Origin origin, ReplyTo to);
  void listen(Request& request, Origin origin, ReplyTo to);
  void tasks(Request& request, Origin origin, ReplyTo to);

  const Server& server_;
  Calls& calls_;
  access::Principal principal_;
  Subscriptions subscriptions_;
};

}  // namespace llm::mcp
