#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"
#include "mcp/context.h"

namespace llm::mcp {

// SEP-2663 TaskStatus.
enum class TaskStatus : std::uint8_t { kWorking, kInputRequired, kCompleted, kFailed, kCancelled };
std::string_view to_string(TaskStatus status);

// A task as it is kept: what its client sees, and what calls its tool again. A value.
struct TaskRecord {
  std::string id = {};
  std::string principal = {};  // whose it is
  std::string owner = {};      // the process that runs it (TaskJournal)
  std::string tool = {};
  TaskStatus status = TaskStatus::kWorking;
  std::string status_message = {};  // for people; may be empty
  std::int64_t created_ms = 0;      // Unix time
  std::int64_t updated_ms = 0;
  std::int64_t ttl_ms = 0;
  std::int64_t poll_ms = 0;

  // How to call the tool; forgotten when the task ends.
  json::object arguments = {};
  ClientInfo client = {};
  json::object capabilities = {};
  std::string traceparent = {};
  json::object inputs = {};  // answers so far, of the present round
  std::string state = {};    // of the present round; any bytes

  json::object requests = {};  // input_required: what is not answered yet, by key
  json::object result = {};    // completed: a CallToolResult
  json::object error = {};     // failed: a JSON-RPC error object

  bool ended() const { return status != TaskStatus::kWorking && status != TaskStatus::kInputRequired; }
  bool expired(std::int64_t now_ms) const { return ended() && now_ms - created_ms >= ttl_ms; }

  void set_failed(json::object why);
  void set_completed(json::object outcome);
  void set_cancelled();
  // Takes the answers it asked for out of `responses`. False: none was.
  bool take_answers(json::object& responses);

 private:
  void forget_call();
};

std::int64_t unix_ms();
// ISO 8601 in UTC with milliseconds: "2026-07-28T09:30:00.000Z".
std::string format_time(std::int64_t unix_ms);

// Members of CreateTaskResult, and those of the answer to tasks/get; both without resultType.
json::object task_members(const TaskRecord& record);
json::object detailed_task_members(const TaskRecord& record);

// A JSON-RPC error object; no data if it is null.
json::object error_object(int code, std::string_view message, json::value data = {});

// The text of a task's file. Reading gives kMalformed for what was never written by this, and kUnsupported for what a
// later version of it wrote.
std::string write_record(const TaskRecord& record);
Result<TaskRecord> read_record(std::string_view text);

}  // namespace llm::mcp
