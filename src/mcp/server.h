#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

#include "mcp/protocol.h"
#include "mcp/tool_registry.h"

namespace llm::mcp {

// What the server says about itself. `name` and `version` are required, the rest may be empty.
struct ServerInfo {
  std::string name = {};
  std::string version = {};
  std::string title = {};
  std::string description = {};
  std::string website = {};       // a URL
  std::string instructions = {};  // how a model makes best use of the tools
};

struct ServerSettings {
  std::size_t max_in_flight = 1024;                  // unanswered requests per connection
  std::size_t max_message_bytes = kMaxMessageBytes;  // a longer result becomes an error that says so
  std::chrono::milliseconds cache_ttl{300'000};      // how long a client may keep lists and `server/discover`
  bool public_cache = false;                         // may caches share these between users?
};

// What all connections have in common: identity and registries. Const and shared by all threads; outlives them.
class Server {
 public:
  Server(ServerInfo info, const ToolRegistry& tools, ServerSettings settings = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const ServerSettings& settings() const { return settings_; }
  const ToolRegistry& tools() const { return tools_; }

  // JSON text, prepared once.
  const std::string& implementation(const Revision& revision) const { return implementations_[revision.index]; }
  const std::string& capabilities() const { return capabilities_; }
  const std::string& instructions_member() const { return instructions_member_; }  // `,"instructions":"…"` or empty
  const std::string& meta_member() const { return meta_member_; }      // `,"_meta":{serverInfo}` of modern results
  const std::string& cache_members() const { return cache_members_; }  // `,"ttlMs":…,"cacheScope":…`

 private:
  ServerSettings settings_;
  const ToolRegistry& tools_;
  std::array<std::string, kRevisionCount> implementations_;
  std::string capabilities_;
  std::string instructions_member_;
  std::string meta_member_;
  std::string cache_members_;
};

}  // namespace llm::mcp
