#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "async/cancel.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"
#include "mcp/jsonrpc.h"

namespace llm::mcp {

// Who called, by its own account: for logs and display, never for decisions.
struct ClientInfo {
  std::string name;
  std::string version;
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

struct ToolCall {
  json::object arguments;  // empty if the client sent none; not validated: the handler decodes them
  CancelToken cancel;      // the client cancelled or went away: stop the work, the result is not needed
  Progress progress;
  ClientInfo client;
  RequestId request_id;
};

struct ToolResult {
  json::value structured = {};  // must conform to the tool's output schema; null if there is none
  std::string text = {};        // what a model reads; empty: `structured` as JSON
  bool is_error = false;        // the tool failed in a way that the model should see
};

// What a client may assume about a tool before it asks its user (MCP ToolAnnotations; hints, not promises).
struct ToolHints {
  bool read_only = false;
  bool destructive = true;
  bool idempotent = false;
  bool open_world = true;
};

struct Tool {
  std::string name = {};            // 1-128 of [A-Za-z0-9_.-]
  std::string title = {};           // for people; may be empty
  std::string description = {};     // for models
  json::object input_schema = {};   // JSON Schema 2020-12, "type": "object" at the root
  json::object output_schema = {};  // of ToolResult::structured; empty: none
  ToolHints hints = {};
  // Runs on the loop of the connection. A failure becomes a result with isError and the error's text, so that the
  // model can correct itself. The closure outlives every call; what the coroutine needs from it goes in by value.
  std::function<Task<Result<ToolResult>>(ToolCall)> handler = {};
};

}  // namespace llm::mcp
