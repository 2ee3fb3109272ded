#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "access/permission.h"
#include "access/principal.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"
#include "mcp/context.h"
#include "mcp/icon.h"

namespace llm::mcp {

struct ToolCall : Context {
  json::object arguments;  // conform to the tool's input schema; empty if the client sent none
};

struct ToolResult {
  json::value structured = {};                       // must conform to the tool's output schema; null if there is none
  std::string text = {};                             // what a model reads; empty: `structured` as JSON
  bool is_error = false;                             // the tool failed in a way that the model should see
  json::array content = {};                          // ContentBlocks behind the text (mcp/content.h makes them)
  std::optional<InputRequired> input_required = {};  // no result yet; the members above do not count
  std::optional<Refusal> refusal = {};               // a JSON-RPC error instead of a result
};

// What a client may assume about a tool before it asks its user (MCP ToolAnnotations; hints, not promises).
struct ToolHints {
  bool read_only = false;
  bool destructive = true;
  bool idempotent = false;
  bool open_world = true;
};

// May a call become a task (extension io.modelcontextprotocol/tasks)?
enum class TaskSupport {
  kNone,
  kOptional,  // when the client can, and the call is not done after `task_after`
  kRequired,  // a client that cannot is refused
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
  std::vector<std::string> aliases = {};                       // callable under these names too, but not listed
  access::Permission permission = access::Permission::kAdmin;  // what its caller needs; who lacks it sees no tool
  // Of a tool that checks each of its operations itself: one of these will do as well.
  access::PermissionSet or_any = {};
  std::vector<Icon> icons = {};
  TaskSupport task = TaskSupport::kNone;
  std::chrono::milliseconds task_after{0};  // a task that is done sooner answers at once; 0: always a task
  bool resumable = false;                   // a task cut by the end of the process is called again at the next start

  bool open_to(const access::Principal& caller) const {
    return caller.may(permission) || std::ranges::any_of(access::permissions(), [&](const auto& one) {
             return or_any.lists(one.permission) && caller.may(one.permission);
           });
  }
};

}  // namespace llm::mcp
