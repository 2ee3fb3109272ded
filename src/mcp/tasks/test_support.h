#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "async/loop.h"
#include "async/run_task.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "mcp/tasks/tasks.h"

// What the tests of tasks share: a server with tools that the test opens and closes by hand, and a loop.
namespace llm::mcp::tasks_test {

namespace fs = std::filesystem;

// Handlers wait here until the test lets them go on. One loop.
class Gate {
 public:
  explicit Gate(Loop& loop) : loop_(loop) {}
  // False: cancelled first.
  Task<bool> pass(CancelToken cancel) {
    Event changed(loop_.executor());
    waiting_.push_back(&changed);
    const auto registration = cancel.on_cancel([&changed] { changed.notify(); });
    while (!open_ && !cancel.cancelled()) co_await changed.wait();
    std::erase(waiting_, &changed);
    co_return open_;
  }
  void open() {
    open_ = true;
    for (Event* event : waiting_) event->notify();
  }
  void close() { open_ = false; }
  std::size_t waiting() const { return waiting_.size(); }

 private:
  Loop& loop_;
  std::vector<Event*> waiting_;
  bool open_ = false;
};

struct Handlers {
  explicit Handlers(Loop& loop) : gate(loop) {}
  Gate gate;
  int calls = 0;
  std::vector<std::string> partials;   // what "slow" keeps before it waits
  std::vector<std::string> cancelled;  // labels of those that were
  std::string last_inputs;
};

inline Task<Result<ToolResult>> quick(ToolCall call) {
  co_return ToolResult{.text = "Hello, " + std::string(json::string_or(call.arguments, "label")) + "!"};
}

inline Task<Result<ToolResult>> slow(Handlers* handlers, ToolCall call) {
  ++handlers->calls;
  const std::string label(json::string_or(call.arguments, "label"));
  call.progress(1, 2, "half of " + label);
  for (const auto& text : handlers->partials) call.keep_partial(text);
  if (!co_await handlers->gate.pass(call.cancel)) handlers->cancelled.push_back(label);
  co_return ToolResult{.structured = json::object{{"label", label}}};  // even when cancelled
}

inline Task<Result<ToolResult>> ends_badly(ToolCall call) {
  const auto how = json::string_or(call.arguments, "label");
  if (how == "error") co_return fail(ErrorCode::kNotFound, "No such model.");
  if (how == "refusal") co_return ToolResult{.refusal = Refusal{-32001, "Refused.", R"({"why":"test"})"}};
  if (how == "throw") throw std::runtime_error("thrown");
  if (how == "schema") co_return ToolResult{.structured = json::object{{"label", 7}}};
  if (how == "long") co_return ToolResult{.text = std::string(kMaxMessageBytes, 'x')};
  co_return ToolResult{.text = "It failed.", .is_error = true};
}

inline InputRequest question(std::string_view text) {
  return {"elicitation/create",
          {{"message", text}, {"requestedSchema", json::object{{"type", "object"}, {"properties", json::object()}}}}};
}

// Two questions at once, then another, then the answers.
inline Task<Result<ToolResult>> asks(Handlers* handlers, ToolCall call) {
  ++handlers->calls;
  handlers->last_inputs = json::write(call.inputs);
  if (call.state.empty()) {
    co_return ToolResult{.input_required =
                             InputRequired{.requests = {{"first", question("First?")}, {"second", question("Second?")}},
                                           .state = std::string("round\0one", 9)}};
  }
  if (call.state == std::string("round\0one", 9)) {
    co_return ToolResult{.input_required = InputRequired{.requests = {{"third", question("Third?")}},
                                                         .state = json::write(call.inputs)}};
  }
  co_return ToolResult{.text = call.state + json::write(call.inputs)};
}

inline Task<Result<ToolResult>> asks_without_end(ToolCall) {
  co_return ToolResult{.input_required = InputRequired{.requests = {}, .state = "again"}};
}

inline Tool make_tool(std::string name, std::function<Task<Result<ToolResult>>(ToolCall)> handler,
                      bool resumable = false) {
  Tool tool;
  tool.name = std::move(name);
  tool.description = "For tests.";
  tool.input_schema = {{"type", "object"}, {"properties", json::object{{"label", json::object{{"type", "string"}}}}}};
  tool.handler = std::move(handler);
  tool.task = TaskSupport::kOptional;
  tool.resumable = resumable;
  return tool;
}

class TasksTest : public testing::Test {
 protected:
  TasksTest() {
    std::string name = (fs::temp_directory_path() / "tasks-XXXXXX").string();
    root = mkdtemp(name.data());
    settings.directory = root / "tasks";
    settings.principal_now = [](const access::Principal& known) { return std::optional(known); };
    settings.on_problem = [this](const Error& error) { problems.push_back(to_string(error)); };
    add(make_tool("quick", [](ToolCall call) { return quick(std::move(call)); }));
    add(make_tool("slow", [this](ToolCall call) { return slow(&handlers, std::move(call)); }));
    add(make_tool("resumable", [this](ToolCall call) { return slow(&handlers, std::move(call)); }, true));
    add(make_tool("asks", [this](ToolCall call) { return asks(&handlers, std::move(call)); }));
    add(make_tool("asks_without_end", [](ToolCall call) { return asks_without_end(std::move(call)); }));
    Tool bad = make_tool("ends_badly", [](ToolCall call) { return ends_badly(std::move(call)); });
    add(bad);
    bad.name = "has_output";
    bad.output_schema = json::parse(R"({"type":"object","properties":{"label":{"type":"string"}}})")->get_object();
    add(bad);
  }
  ~TasksTest() override { fs::remove_all(root); }

  void add(Tool tool) {
    const auto added = server.tools().add(std::move(tool));
    EXPECT_TRUE(added) << added.error().message;
  }
  std::shared_ptr<const RegisteredTool> tool(const std::string& name) const {
    return server.tools().tools()->by_name.find(name)->second;
  }
  ToolCall call(const std::string& label = "it", const std::string& principal = "alice") {
    ToolCall made;
    made.loop = &loop;
    made.cancel = client.token();
    made.caller = std::make_shared<const Caller>(
        access::Principal{.id = principal}, ClientInfo{"editor", "1"},
        json::object{{"elicitation", json::object()}, {"extensions", json::object{{kTasksExtension, json::object()}}}});
    made.request_id = RequestId{"1"};
    made.arguments = {{"label", label}};
    return made;
  }

  fs::path root;
  TaskSettings settings;
  std::vector<std::string> problems;
  Server server{ServerInfo{.name = "test", .version = "1"}};
  Loop loop{"test"};
  Handlers handlers{loop};
  CancelSource client;  // fires when the client of call() leaves
};

// Waits for a change of any task; register it before what may bring the change.
class Announcements {
 public:
  Announcements(const Server& server, Loop& loop)
      : changed_(loop.executor()),
        subscription_(server.changes().listen([this, &loop](const std::shared_ptr<const Change>& change) {
          loop.post([this, change] {
            seen.push_back(*change);
            changed_.notify();
          });
        })) {}
  Task<void> next() { return changed_.wait(); }
  std::vector<Change> seen;

 private:
  Event changed_;
  Changes::Subscription subscription_;
};

// Accepts the question under that key.
inline json::object accept(std::string_view key) {
  return {{key, json::object{{"action", "accept"}, {"content", json::object{{"for", key}}}}}};
}

inline std::string text_of(const json::object& task, std::string_view member) {
  const json::value* found = json::find(task, member);
  return found == nullptr ? "(none)" : json::write(*found);
}

// tasks/get until the task has that status.
inline Task<json::object> until(Tasks* tasks, Announcements* announcements, std::string principal, std::string id,
                                std::string_view status) {
  for (;;) {
    auto task = co_await tasks->get(principal, id);
    EXPECT_TRUE(task) << task.error().message;
    if (!task || json::string_or(*task, "status") == status) co_return task ? std::move(*task) : json::object();
    co_await announcements->next();
  }
}

inline Task<std::string> promoted(std::shared_ptr<Tasks::Run> run) {
  const auto task = co_await run->promote();
  EXPECT_TRUE(task) << task.error().message;
  co_return task ? std::string(json::string_or(*task, "taskId")) : std::string();
}

}  // namespace llm::mcp::tasks_test
