#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "access/principal.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "base/paths.h"
#include "cli/settings.h"
#include "mcp/server.h"
#include "mcp/tasks/tasks.h"
#include "observe/log.h"
#include "tools/bridge.h"
#include "tools/model_api_source.h"
#include "tools/model_watcher.h"
#include "tools/original/hub_query.h"

namespace llm::cli {

// What access control gives to MCP. By default there is the local user alone.
struct McpAccess {
  std::string state_secret = {};  // mcp::ServerSettings
  std::function<std::optional<access::Principal>(const access::Principal& known)> principal_now =
      {};  // mcp::TaskSettings
};

// What MCP clients get, whatever they come by: the server with its tools, resources and prompts, its tasks, and the
// bridges to other servers. The gateway has one, and so has every `llm-mcp stdio`.
class McpService {
 public:
  // `home` runs bridges, watchers and what is left of earlier tasks; one of the loops of `source`. Errors: a bridge
  // that MCP_BRIDGE_URLS describes wrongly. `log` outlives this.
  static Result<std::unique_ptr<McpService>> build(const McpSettings& settings, tools::ModelApiSource source,
                                                   tools::HubQuery hub, Loop& home,
                                                   const std::filesystem::path& tasks_dir, const EnvLookup& env,
                                                   observe::Log& log, McpAccess access = {});
  McpService(const McpService&) = delete;
  McpService& operator=(const McpService&) = delete;

  const mcp::Server& server() const { return server_; }

  // On the home loop, or before it runs: bridges connect, tasks that an earlier process left go on.
  void start();
  // Ends all that; connections have ended by then. On the home loop, once.
  Task<void> stop();

 private:
  McpService(const McpSettings& settings, Loop& home, const std::filesystem::path& tasks_dir, std::string instance,
             observe::Log& log, McpAccess access);

  Loop& home_;
  mcp::Server server_;
  mcp::Tasks tasks_;
  std::unique_ptr<tools::ModelWatcher> watcher_;
  std::unique_ptr<tools::Bridges> bridges_;
  CancelSource stopping_;
  TaskGroup background_;
};

}  // namespace llm::cli
