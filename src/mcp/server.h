#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "mcp/changes.h"
#include "mcp/icon.h"
#include "mcp/protocol.h"
#include "mcp/registry.h"
#include "mcp/request_state.h"

namespace llm::mcp {

class Tasks;

// What the server says about itself. `name` and `version` are required, the rest may be empty.
struct ServerInfo {
  std::string name = {};
  std::string version = {};
  std::string title = {};
  std::string description = {};
  std::string website = {};       // a URL
  std::string instructions = {};  // how a model makes best use of the tools
  std::vector<Icon> icons = {};
  std::string instance = {};  // of this process, told in `_meta` of the first answer: who finds its own talks to itself
};

struct ServerSettings {
  std::size_t max_in_flight = 1024;                  // unanswered requests per connection
  std::size_t max_message_bytes = kMaxMessageBytes;  // a longer result becomes an error that says so
  std::size_t page_size = 200;                       // entries of a list answer
  std::chrono::milliseconds cache_ttl{300'000};      // how long a client may keep lists and `server/discover`
  bool public_cache = false;             // may caches share these between users? Only where everybody may everything
  std::chrono::seconds state_ttl{3600};  // how long a client may take to answer input_required
  std::string state_secret = {};         // signs requestState; empty: random, so valid in this process only
};

// What all connections have in common: identity and registries. Shared by all threads; outlives the connections.
class Server {
 public:
  explicit Server(ServerInfo info, ServerSettings settings = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Changes& changes() { return changes_; }
  ToolRegistry& tools() { return tools_; }
  ResourceRegistry& resources() { return resources_; }
  PromptRegistry& prompts() { return prompts_; }
  // Before the first connection; null: no tasks. `tasks` outlives the server.
  void set_tasks(Tasks* tasks) { tasks_ = tasks; }
  // Before the first connection: announces listChanged for tools and prompts, as something will change them.
  void announce_changes(bool tools, bool prompts, bool resources);

  const ServerSettings& settings() const { return settings_; }
  const ServerInfo& info() const { return info_; }
  const Changes& changes() const { return changes_; }
  const ToolRegistry& tools() const { return tools_; }
  const ResourceRegistry& resources() const { return resources_; }
  const PromptRegistry& prompts() const { return prompts_; }
  Tasks* tasks() const { return tasks_; }
  const RequestState& states() const { return states_; }

  // JSON text.
  const std::string& implementation(const Revision& revision) const { return implementations_[revision.index]; }
  std::string capabilities(const Revision& revision) const;
  const std::string& instructions_member() const { return instructions_member_; }  // `,"instructions":"…"` or empty
  const std::string& meta_member() const { return meta_member_; }      // `,"_meta":{serverInfo}` of modern results
  const std::string& discover_meta() const { return discover_meta_; }  // the same with the instance
  const std::string& session_meta() const { return session_meta_; }    // `,"_meta":{instance}` or empty
  const std::string& cache_members() const { return cache_members_; }  // `,"ttlMs":…,"cacheScope":…`

  // Which lists may change, and so can be listened to.
  bool tools_change() const { return tools_change_; }
  bool prompts_change() const { return prompts_change_; }
  bool resources_change() const { return resources_change_; }

 private:
  ServerInfo info_;
  ServerSettings settings_;
  Changes changes_;
  ToolRegistry tools_;
  ResourceRegistry resources_;
  PromptRegistry prompts_;
  RequestState states_;
  Tasks* tasks_ = nullptr;
  bool tools_change_ = false;
  bool prompts_change_ = false;
  bool resources_change_ = false;
  std::array<std::string, kRevisionCount> implementations_;
  std::string instructions_member_;
  std::string meta_member_;
  std::string discover_meta_;
  std::string session_meta_;
  std::string cache_members_;
};

}  // namespace llm::mcp
