#pragma once

#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "mcp/tool.h"

namespace llm::mcp {

// The revisions up to 2025-11-25: a session that `initialize` opens. Clients that ask before that, or initialize
// twice, get answers all the same. One per session, on its loop.
class LegacyEra {
 public:
  LegacyEra(const Server& server, Calls& calls) : server_(server), calls_(calls) {}

  bool initialized() const { return initialized_; }
  // What was agreed on; before that the latest.
  const Revision& revision() const { return *revision_; }

  void on_request(Request& request, ReplyTo to);

 private:
  using Method = void (LegacyEra::*)(Request&, ReplyTo);
  static Method find_method(std::string_view name);

  void initialize(Request& request, ReplyTo to);
  void ping(Request& request, ReplyTo to);
  void tools_list(Request& request, ReplyTo to);
  void tools_call(Request& request, ReplyTo to);

  const Server& server_;
  Calls& calls_;
  const Revision* revision_ = &latest_legacy_revision();
  ClientInfo client_;
  bool initialized_ = false;
};

}  // namespace llm::mcp
