#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "access/principal.h"
#include "async/cancel.h"
#include "async/loop.h"
#include "json/json.h"
#include "mcp/jsonrpc.h"

namespace llm::mcp {

// Who called, by its own account: for logs and display, never for decisions.
struct ClientInfo {
  std::string name;
  std::string version;
};

// What is known about the other side of a request. Shared by a session's requests; immutable.
struct Caller {
  access::Principal principal = {};  // as the transport found out; by default the user who owns the process
  ClientInfo client = {};
  json::object capabilities = {};  // ClientCapabilities: of the session (legacy) or of this request (modern)

  // Is `method` one of elicitation/create, sampling/createMessage, roots/list, and did the client declare it? URL-mode
  // elicitation and tools in sampling need a declaration of their own, which `params` shows.
  bool can_answer(std::string_view method, const json::object& params) const;
  bool has_extension(std::string_view id) const;
};

// Tells the client how far a call is. Does nothing when the client did not ask, when `progress` does not grow, when the
// client is too far behind, and after the call ended; so handlers just call it, and may keep copies. One loop.
class Progress {
 public:
  using Sink = std::function<void(double progress, std::optional<double> total, std::string_view message)>;

  Progress() = default;
  explicit Progress(Sink sink) : sink_(std::move(sink)) {}
  // `progress` and `total` share any unit (tokens, bytes, percent); `message` is a sentence for people, or empty.
  void operator()(double progress, std::optional<double> total = {}, std::string_view message = {}) const {
    if (sink_) sink_(progress, total, message);
  }
  bool wanted() const { return static_cast<bool>(sink_); }

 private:
  Sink sink_;
};

// RFC 5424 severities, mildest first.
enum class LogLevel : std::uint8_t { kDebug, kInfo, kNotice, kWarning, kError, kCritical, kAlert, kEmergency };
std::string_view to_string(LogLevel level);
std::optional<LogLevel> parse_log_level(std::string_view name);

// Tells the client's log about a call (MCP "Logging"; `notifications/message`). Does nothing below the level that the
// client asked for, or if it asked for nothing. Copies may be kept. One loop.
class ClientLog {
 public:
  using Sink = std::function<void(LogLevel level, const json::value& data, std::string_view logger)>;

  ClientLog() = default;
  explicit ClientLog(Sink sink) : sink_(std::move(sink)) {}
  void operator()(LogLevel level, const json::value& data, std::string_view logger = {}) const {
    if (sink_) sink_(level, data, logger);
  }

 private:
  Sink sink_;
};

// A question to the client: elicitation/create, sampling/createMessage or roots/list with its params.
struct InputRequest {
  std::string method;
  json::object params = {};
};

// What a handler returns instead of its result when it needs answers first. It is then called again from its beginning,
// with the answers in Context::inputs under the same keys and `state` as given here. Each era brings the questions to
// the client in its own way: 2026-07-28 as an input_required result, older revisions as requests, tasks as their
// status.
struct InputRequired {
  std::map<std::string, InputRequest> requests;
  std::string state = {};  // any bytes; signed on its way through the client, which can read but not change it
};

// What every handler gets. A value; all of it belongs to the loop the handler runs on.
struct Context {
  Loop* loop = nullptr;  // the handler's own
  CancelToken cancel;    // the client cancelled or went away: stop the work, the result is not needed
  Progress progress;
  ClientLog log;
  std::shared_ptr<const Caller> caller;  // never null; shared by the requests of a session
  RequestId request_id;
  json::object inputs;  // ElicitResult, CreateMessageResult, ListRootsResult by key; empty in the first round
  std::string state;    // what InputRequired of the round before gave
  // Keeps what a long call has so far. Should the call become a task and be cut, this is what its client still gets.
  std::function<void(std::string_view text)> keep_partial;
  // Lets the client go for a while: closes the HTTP stream of the request, for which it comes back by itself (MCP
  // 2025-11-25 "SSE polling"). Null where there is none.
  std::function<void()> close_stream;
  std::string traceparent;  // W3C trace context of the request; empty if it carried none

  // The object under `key`, if the client answered; an answer that is no object counts as none.
  const json::object* input(std::string_view key) const;
};

}  // namespace llm::mcp
