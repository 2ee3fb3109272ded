#pragma once

#include <memory>
#include <set>
#include <string>

#include "mcp/calls.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

namespace llm::mcp {

// The revisions up to 2025-11-25: a session that `initialize` opens. Clients that ask before that, or initialize
// twice, get answers all the same. One per session, on its loop.
class LegacyEra {
 public:
  LegacyEra(const Server& server, Calls& calls, access::Principal principal);

  bool initialized() const { return initialized_; }
  // What was agreed on; before that the latest.
  const Revision& revision() const { return *revision_; }

  // On whose behalf the next requests come: the same id with the rights it has now. What it may not hear of any more
  // is no longer subscribed to.
  void set_principal(const access::Principal& principal);
  void on_request(Request& request, ReplyTo to);
  void on_change(const Change& change);
  // Is there anything this session must be told of?
  bool wants_changes() const;

 private:
  using Method = void (LegacyEra::*)(Request&, ReplyTo);
  static Method find_method(std::string_view name);

  void initialize(Request& request, ReplyTo to);
  void ping(Request& request, ReplyTo to);
  void tools_list(Request& request, ReplyTo to);
  void tools_call(Request& request, ReplyTo to);
  void resources_list(Request& request, ReplyTo to);
  void resource_templates_list(Request& request, ReplyTo to);
  void resources_read(Request& request, ReplyTo to);
  void resources_subscribe(Request& request, ReplyTo to);
  void resources_unsubscribe(Request& request, ReplyTo to);
  void prompts_list(Request& request, ReplyTo to);
  void prompts_get(Request& request, ReplyTo to);
  void completion(Request& request, ReplyTo to);
  void set_level(Request& request, ReplyTo to);
  Origin origin() const;

  const Server& server_;
  Calls& calls_;
  const Revision* revision_ = &latest_legacy_revision();
  std::shared_ptr<const Caller> caller_;  // shared with the session's requests
  LogLevel log_level_ = LogLevel::kInfo;
  std::set<std::string, std::less<>> subscribed_;  // URIs
  Changes::Interest interest_;                     // while there are some
  bool initialized_ = false;
};

}  // namespace llm::mcp
