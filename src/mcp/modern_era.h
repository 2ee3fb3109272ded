#pragma once

#include <map>
#include <string>

#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

namespace llm::mcp {

// Revision 2026-07-28: stateless. Each request says in `_meta` which version it speaks and what its client can do;
// nothing is remembered but the open `subscriptions/listen` requests.
class ModernEra {
 public:
  ModernEra(const Server& server, Calls& calls) : server_(server), calls_(calls) {}

  // Does the request carry the `_meta` of this era, well-formed or not?
  static bool speaks(const json::object& params);
  // Methods that no other era has.
  static bool owns(std::string_view method);

  void on_request(Request& request, ReplyTo to);

  // Open subscriptions; their ids are in flight.
  bool listening(const RequestId& id) const { return listens_.contains(id.json); }
  std::size_t listens() const { return listens_.size(); }
  // The client ends one; nothing is sent for it any more.
  void cancel_listen(const RequestId& id);
  // We end all: each gets the notification and the result that its revision asks for.
  void close();

 private:
  using Method = void (ModernEra::*)(Request&, ReplyTo);
  static Method find_method(std::string_view name);

  void discover(Request& request, ReplyTo to);
  void tools_list(Request& request, ReplyTo to);
  void tools_call(Request& request, ReplyTo to);
  void listen(Request& request, ReplyTo to);

  const Server& server_;
  Calls& calls_;
  std::map<std::string, ReplyTo> listens_;  // by id
};

}  // namespace llm::mcp
