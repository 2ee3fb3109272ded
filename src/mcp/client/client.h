#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "mcp/client/link.h"
#include "mcp/context.h"
#include "mcp/protocol.h"
#include "observe/log.h"

namespace llm::mcp {

enum class Era : std::uint8_t { kUnknown, kModern, kLegacy };

struct ClientSettings {
  std::string name = "llm-mcp";
  std::string version = "0";
  std::chrono::milliseconds probe_timeout{5'000};       // for server/discover, which old servers may not answer at all
  std::chrono::milliseconds handshake_timeout{30'000};  // for initialize and lists
  int longest_timeouts = 10;                            // progress extends a request's time up to so many time-outs
  std::size_t max_pending = 256;                        // unanswered requests
  std::size_t max_tools = 1000;
  std::chrono::milliseconds listen_retry{1'000};  // before subscriptions/listen is repeated; doubles up to a minute
};

// What the handshake told.
struct RemoteServer {
  std::string name;
  std::string version;
  std::string instance;  // meta::kInstance; of other programs' servers empty
  const Revision* revision = nullptr;
  bool tools = false;
  bool tools_change = false;
};

struct RequestOptions {
  std::chrono::milliseconds timeout{60'000};  // without a sign of life; 0: none
  CancelToken cancel = {};
  Progress progress = {};          // a progress token is sent only if it is wanted
  json::object capabilities = {};  // 2026-07-28: what whoever stands behind this request can be asked
  std::string name = {};           // for HTTP headers, see Outgoing
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string traceparent = {};
};

// A client of one MCP server over one link, for as long as that lasts: whoever wants another try makes another client.
// Speaks 2026-07-28 where the server does, else what `initialize` settles on. Errors of a request:
//   kUnavailable     the server is gone, or cannot be reached
//   kEngineTimeout   it did not answer in time
//   kEngineFailed    it answered with a JSON-RPC error (then `rpc_code` tells which) or with nonsense
//   kCancelled, kOverloaded (too many unanswered), kUnauthenticated, kPermissionDenied
// Whatever the server says, memory and time stay bounded. One loop; stop() before destruction.
class Client final : private Link::Listener {
 public:
  Client(Loop& loop, std::unique_ptr<Link> link, ClientSettings settings, observe::Log& log, std::string label);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Called on the loop when the server says that its tools changed, and once when the connection ends.
  std::function<void()> on_tools_changed;
  std::function<void()> on_end;

  // Starts the link and agrees on a revision. `hint`: what an earlier client of the same server found.
  Task<Result<void>> connect(Era hint, CancelToken cancel);
  // What connect() learned about the era, also when it failed half way; for the next client's hint.
  Era era() const { return era_; }
  const RemoteServer& server() const { return server_; }
  bool closed() const { return closed_.has_value(); }

  Task<Result<json::object>> request(std::string method, json::object params, RequestOptions options);
  // The Tool objects of all pages; those without a name or an object as inputSchema are left out.
  Task<Result<std::vector<json::object>>> list_tools(CancelToken cancel);

  // Ends the connection; what waits gets kUnavailable.
  Task<void> stop();

 private:
  struct Pending;

  void on_message(std::string_view text, const RequestId* under) override;
  void on_overlong(std::size_t limit) override;
  void on_lost(const RequestId& id, Error why) override;
  void on_closed(Error why) override;

  void take(Message& message, const RequestId* under);
  void take_response(Response& response, const RequestId* under);
  void take_notification(const Notification& notification);
  void answer(const Request& request);
  void report_progress(const json::object& params);
  void odd(std::string_view what, std::string_view detail = {});

  void finish(const RequestId& id, Result<json::value> outcome);
  void give_up(const RequestId& id, Error why);
  void fail_all(const Error& why);
  void add_meta(json::object& params, const RequestId& id, const RequestOptions& options, bool modern) const;
  void notify(std::string_view method, const json::object& params);

  Task<Result<bool>> discover(CancelToken cancel);  // false: not a modern server
  Task<Result<void>> initialize(CancelToken cancel);
  static Task<void> listen(Client* self);
  Result<void> read_server(const json::object& result, const json::value* info);

  Loop& loop_;
  std::unique_ptr<Link> link_;
  ClientSettings settings_;
  observe::Log& log_;
  std::string label_;
  Era era_ = Era::kUnknown;
  bool modern_ = false;  // how requests are written now
  RemoteServer server_;
  std::uint64_t next_id_ = 1;
  std::map<std::string, std::shared_ptr<Pending>, std::less<>> pending_;  // by id; shared with the coroutines
  std::optional<Error> closed_;
  std::uint64_t odd_ = 0;  // messages that made no sense
  CancelSource stop_;
  TaskGroup tasks_;
};

// The JSON-RPC code of an error that the server answered with.
std::optional<std::int64_t> rpc_code(const Error& error);
std::optional<std::int64_t> http_status(const Error& error);

}  // namespace llm::mcp
