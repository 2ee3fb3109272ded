#include "mcp/tasks/task_record.h"

#include <array>
#include <chrono>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "net/base64.h"

namespace llm::mcp {
namespace {

constexpr std::int64_t kFormat = 1;  // of the file
// Deeper than any message may be, as results are a tool's own and stand inside a record.
constexpr std::size_t kRecordDepth = 512;

constexpr std::array<std::string_view, 5> kStatuses{"working", "input_required", "completed", "failed", "cancelled"};

std::optional<TaskStatus> parse_status(std::string_view text) {
  for (std::size_t i = 0; i < kStatuses.size(); ++i) {
    if (kStatuses[i] == text) return static_cast<TaskStatus>(i);
  }
  return std::nullopt;
}

// Takes a member out of a record's document, or says that it is no record.
class Members {
 public:
  explicit Members(json::object& document) : document_(document) {}

  void take(std::string_view key, std::string& to) {
    json::value* found = document_.if_contains(key);
    if (found == nullptr || !found->is_string()) return refuse(key);
    to = std::string_view(found->get_string());
  }
  void take(std::string_view key, std::int64_t& to) {
    json::value* found = document_.if_contains(key);
    if (found == nullptr || !found->is_int64()) return refuse(key);
    to = found->get_int64();
  }
  void take(std::string_view key, json::object& to) {
    json::value* found = document_.if_contains(key);
    if (found == nullptr || !found->is_object()) return refuse(key);
    to = std::move(found->get_object());
  }
  void refuse(std::string_view key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  json::object& document_;
  std::string wrong_;
};

}  // namespace

std::string_view to_string(TaskStatus status) {
  return kStatuses[static_cast<std::size_t>(status)];
}

void TaskRecord::forget_call() {
  arguments.clear();
  capabilities.clear();
  inputs.clear();
  state.clear();
  requests.clear();
}

void TaskRecord::set_failed(json::object why) {
  status = TaskStatus::kFailed;
  status_message = json::string_or(why, "message");
  error = std::move(why);
  forget_call();
}

void TaskRecord::set_completed(json::object outcome) {
  status = TaskStatus::kCompleted;
  status_message.clear();
  result = std::move(outcome);
  forget_call();
}

void TaskRecord::set_cancelled() {
  status = TaskStatus::kCancelled;
  status_message.clear();
  forget_call();
}

bool TaskRecord::take_answers(json::object& responses) {
  if (status != TaskStatus::kInputRequired) return false;
  bool took = false;
  for (auto& answer : responses) {
    if (requests.erase(answer.key()) == 0) continue;
    inputs[answer.key()] = std::move(answer.value());
    took = true;
  }
  if (took && requests.empty()) {
    status = TaskStatus::kWorking;
    status_message.clear();
  }
  return took;
}

std::int64_t unix_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string format_time(std::int64_t unix_ms) {
  using namespace std::chrono;
  const sys_time<milliseconds> time{milliseconds(unix_ms)};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

json::object task_members(const TaskRecord& record) {
  json::object members{{"taskId", record.id},
                       {"status", to_string(record.status)},
                       {"createdAt", format_time(record.created_ms)},
                       {"lastUpdatedAt", format_time(record.updated_ms)},
                       {"ttlMs", record.ttl_ms},
                       {"pollIntervalMs", record.poll_ms}};
  if (!record.status_message.empty()) members["statusMessage"] = record.status_message;
  return members;
}

json::object detailed_task_members(const TaskRecord& record) {
  json::object members = task_members(record);
  if (record.status == TaskStatus::kInputRequired) members["inputRequests"] = record.requests;
  if (record.status == TaskStatus::kCompleted) members["result"] = record.result;
  if (record.status == TaskStatus::kFailed) members["error"] = record.error;
  return members;
}

json::object error_object(int code, std::string_view message, json::value data) {
  json::object error{{"code", code}, {"message", message}};
  if (!data.is_null()) error["data"] = std::move(data);
  return error;
}

std::string write_record(const TaskRecord& record) {
  return json::write(json::object{{"format", kFormat},
                                  {"id", record.id},
                                  {"principal", record.principal},
                                  {"owner", record.owner},
                                  {"tool", record.tool},
                                  {"status", to_string(record.status)},
                                  {"statusMessage", record.status_message},
                                  {"createdMs", record.created_ms},
                                  {"updatedMs", record.updated_ms},
                                  {"ttlMs", record.ttl_ms},
                                  {"pollMs", record.poll_ms},
                                  {"arguments", record.arguments},
                                  {"clientName", record.client.name},
                                  {"clientVersion", record.client.version},
                                  {"capabilities", record.capabilities},
                                  {"traceparent", record.traceparent},
                                  {"inputs", record.inputs},
                                  {"state", base64_encode(record.state)},
                                  {"requests", record.requests},
                                  {"result", record.result},
                                  {"error", record.error}});
}

Result<TaskRecord> read_record(std::string_view text) {
  auto document = json::parse(text, {.max_depth = kRecordDepth});
  if (!document) return fail(std::move(document.error()));
  json::object* object = document->if_object();
  if (object == nullptr) return fail(ErrorCode::kMalformed, "a task's file holds an object");
  Members members(*object);
  std::int64_t format = 0;
  members.take("format", format);
  if (format > kFormat) return fail(ErrorCode::kUnsupported, "a later version wrote this task");
  TaskRecord record;
  std::string status;
  std::string state;
  members.take("id", record.id);
  members.take("principal", record.principal);
  members.take("owner", record.owner);
  members.take("tool", record.tool);
  members.take("status", status);
  members.take("statusMessage", record.status_message);
  members.take("createdMs", record.created_ms);
  members.take("updatedMs", record.updated_ms);
  members.take("ttlMs", record.ttl_ms);
  members.take("pollMs", record.poll_ms);
  members.take("arguments", record.arguments);
  members.take("clientName", record.client.name);
  members.take("clientVersion", record.client.version);
  members.take("capabilities", record.capabilities);
  members.take("traceparent", record.traceparent);
  members.take("inputs", record.inputs);
  members.take("state", state);
  members.take("requests", record.requests);
  members.take("result", record.result);
  members.take("error", record.error);
  const auto parsed_status = parse_status(status);
  if (!parsed_status) members.refuse("status");
  auto bytes = base64_decode(state);
  if (!bytes) members.refuse("state");
  if (!members.wrong().empty()) {
    return fail(ErrorCode::kMalformed, fmt::format("a task's file has no usable \"{}\"", members.wrong()));
  }
  record.status = *parsed_status;
  record.state = std::move(*bytes);
  return record;
}

}  // namespace llm::mcp
