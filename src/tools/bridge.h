#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/event.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "async/watch.h"
#include "base/paths.h"
#include "mcp/client/client.h"
#include "mcp/registry.h"
#include "net/http_client.h"
#include "observe/log.h"
#include "tools/bridge_settings.h"
#include "tools/bridged_tool.h"
#include "tools/circuit_breaker.h"

namespace llm::tools {

struct BridgeOptions {
  std::string version = "0";                     // of this program
  std::string instance = {};                     // of this process; see mcp::meta::kInstance
  std::chrono::milliseconds first_retry{1'000};  // before a lost or failed connection is tried again; doubles
  std::chrono::milliseconds longest_retry{60'000};
  std::chrono::milliseconds refresh_pause{1'000};  // the shortest time between two listings of a server's tools
  std::chrono::milliseconds task_after{0};         // longer calls answer as tasks, to clients that can; 0: none do
  CircuitBreaker::Settings breaker = {};
  mcp::ClientSettings client = {};
};

struct BridgeStatus {
  std::string name;
  std::string state;  // "connecting", "ready", "waiting" (for the next try), "refused" (for good), "stopped"
  std::string error;  // of the last try; empty while ready
  std::string server;
  std::string server_version;
  std::string protocol;  // revision
  std::size_t tools = 0;
};

// One bridged server: keeps a connection to it and its tools in the registry, in the group of the bridge's name. Lives
// on its home loop; its tools are called on any. Tools stay listed while the server is away: calls then bring it back,
// or say when it is tried again.
class Bridge : public std::enable_shared_from_this<Bridge> {
 public:
  using LinkMaker = std::function<Result<std::unique_ptr<mcp::Link>>()>;

  // `make_link` is called for each try. `registry` and `log` outlive stop().
  Bridge(Loop& home, std::string name, BridgeSettings settings, BridgeOptions options, LinkMaker make_link,
         mcp::ToolRegistry& registry, observe::Log& log);
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  void start();                                                // on the home loop
  Task<void> stop();                                           // on the home loop; takes the tools away
  BridgeStatus status() const { return status_.get().value; }  // any thread
  Watch<BridgeStatus>& status_changes() { return status_; }    // any thread

 private:
  struct Job;

  static Task<void> maintain(std::shared_ptr<Bridge> self);
  Task<Result<void>> serve();  // one connection, from its begin to its end
  Task<Result<void>> open();
  Task<Result<void>> refresh();
  Result<void> publish(const std::vector<json::object>& tools);
  std::vector<mcp::Tool> translate(const std::vector<json::object>& tools);
  void set_state(std::string_view state, const Error* error = nullptr);
  std::string label() const;

  static Task<Result<mcp::ToolResult>> call(std::shared_ptr<Bridge> self, std::shared_ptr<const RemoteTool> tool,
                                            mcp::ToolCall call);
  static Task<void> run(std::shared_ptr<Bridge> self, std::shared_ptr<Job> job);
  Task<Result<mcp::ToolResult>> forward(Job* job);
  Task<Result<mcp::ToolResult>> attempt(Job* job);
  Task<Result<void>> connected(CancelToken cancel);

  Loop& home_;
  const std::string name_;
  const BridgeSettings settings_;
  const BridgeOptions options_;
  LinkMaker make_link_;
  mcp::ToolRegistry& registry_;
  observe::Log& log_;
  Watch<BridgeStatus> status_;
  std::atomic<bool> stopped_{false};

  // Of the home loop.
  CancelSource stop_;
  CircuitBreaker breaker_;
  mcp::Era era_ = mcp::Era::kUnknown;  // what the last connection found
  std::unique_ptr<mcp::Client> client_;
  bool ready_ = false;  // client_ has finished its handshake
  bool tools_changed_ = false;
  bool unreachable_ = false;  // the last call failed for want of a connection
  bool refused_ = false;      // never to be tried again
  CancelSource waiting_;      // cancelled: do not wait for the next try any longer
  std::chrono::steady_clock::time_point next_try_ = {};
  Error last_error_ = {};
  Event changed_;  // the connection ended, or its tools changed
  TaskGroup tasks_;
};

// All bridges of a process. On its loop, except for status().
class Bridges {
 public:
  // Entries that are not enabled are left out. `env` is where programs and tokens get their variables from.
  Bridges(Loop& loop, const BridgeMap& bridges, BridgeOptions options, EnvLookup env, mcp::ToolRegistry& registry,
          observe::Log& log);
  ~Bridges();

  // Returns at once; tools appear as their servers come. Nothing is started in a process that is itself somebody's
  // bridged program: the same configuration would start programs without end.
  void start();
  // Ends the connections, the programs too, and takes the tools away.
  Task<void> stop();
  std::vector<BridgeStatus> status() const;

 private:
  Loop& loop_;
  EnvLookup env_;
  observe::Log& log_;
  std::unique_ptr<net::HttpClient> http_;
  std::vector<std::shared_ptr<Bridge>> bridges_;  // shared with the handlers of their tools
};

}  // namespace llm::tools
