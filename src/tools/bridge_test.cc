#include "tools/bridge.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>

#include "async/run_task.h"
#include "observe/log_capture.h"

namespace llm::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr std::string_view kDiscovered =
    R"({"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},)"
    R"("_meta":{"io.modelcontextprotocol/serverInfo":{"name":"far","version":"3"},"llm-mcp/instance":"it"}})";

std::string tool_list(std::initializer_list<std::string_view> names) {
  std::string out = R"({"tools":[)";
  for (const auto name : names) {
    if (!out.ends_with('[')) out += ',';
    out += fmt::format(R"({{"name":"{}","description":"{} it","inputSchema":{{"type":"object"}}}})", name, name);
  }
  return out + "]}";
}

// The far server, scripted. Its links come and go.
struct FarServer {
  std::map<std::string, std::string> answers{{"server/discover", std::string(kDiscovered)},
                                             {"tools/list", tool_list({"read", "write"})},
                                             {"tools/call", R"({"content":[{"type":"text","text":"done"}]})"}};
  std::vector<json::object> got;  // requests and notifications
  int starts = 0;
  bool down = false;  // refuses to start
  bool dies_of_calls = false;
  mcp::Link::Listener* listener = nullptr;   // of the link that is open
  std::optional<std::string> before_answer;  // a message that goes before the answer to a call

  int calls() const {
    int count = 0;
    for (const auto& message : got) count += json::string_or(message, "method") == "tools/call" ? 1 : 0;
    return count;
  }
};

class ScriptedLink final : public mcp::Link {
 public:
  ScriptedLink(Loop& loop, FarServer& far) : loop_(loop), far_(far), alive_(std::make_shared<bool>(true)) {}
  ~ScriptedLink() override { *alive_ = false; }

  Result<void> start(Listener& listener) override {
    ++far_.starts;
    if (far_.down) return fail(ErrorCode::kUnavailable, "nobody there");
    far_.listener = &listener;
    return {};
  }
  void send(mcp::Outgoing message) override {
    const auto parsed = json::parse(message.text)->as_object();
    far_.got.push_back(parsed);
    if (!message.id) return;
    loop_.post([this, alive = alive_, id = *message.id, method = message.method] {
      if (*alive && far_.listener != nullptr) answer(id, method);
    });
  }
  Task<void> stop() override {
    far_.listener = nullptr;
    co_return;
  }

 private:
  void answer(const mcp::RequestId& id, const std::string& method) {
    if (method == "tools/call" && far_.dies_of_calls) {
      return far_.listener->on_closed({ErrorCode::kUnavailable, "the far server died", {}, {}, 0});
    }
    if (method == "tools/call" && far_.before_answer) far_.listener->on_message(*far_.before_answer, nullptr);
    const auto found = far_.answers.find(method);
    if (found == far_.answers.end()) return;
    std::string text;
    mcp::write_result(text, id, found->second);
    far_.listener->on_message(text, nullptr);
  }

  Loop& loop_;
  FarServer& far_;
  std::shared_ptr<bool> alive_;  // shared with what is posted
};

struct BridgeTest : testing::Test {
  ~BridgeTest() override {
    if (bridge) run_task(loop, bridge->stop());
  }
  void make(BridgeSettings settings = {}, BridgeOptions options = {}) {
    if (options.first_retry == BridgeOptions().first_retry) options.first_retry = 1ms;
    options.refresh_pause = 0ms;
    bridge = std::make_shared<Bridge>(
        loop, "fs", std::move(settings), options,
        [this]() -> Result<std::unique_ptr<mcp::Link>> { return std::make_unique<ScriptedLink>(loop, far); }, registry,
        log.log());
    bridge->start();
  }
  // Until the bridge's state is this one.
  void await(std::string state) {
    run_task(loop, [](BridgeTest* t, std::string wanted) -> Task<void> {
      while (true) {
        const auto now = t->bridge->status_changes().get();
        if (now.value.state == wanted) co_return;
        co_await t->bridge->status_changes().changed(now.version, {}, std::nullopt);
      }
    }(this, std::move(state)));
  }
  void await_tools(std::size_t count) {
    run_task(loop, [](BridgeTest* t, std::size_t wanted) -> Task<void> {
      while (true) {
        const auto now = t->bridge->status_changes().get();
        if (now.value.tools == wanted) co_return;
        co_await t->bridge->status_changes().changed(now.version, {}, std::nullopt);
      }
    }(this, count));
  }
  mcp::ToolCall prepared(Loop& on, json::object arguments = {}) const {
    mcp::ToolCall call;
    call.loop = &on;
    call.caller = std::make_shared<const mcp::Caller>();
    call.arguments = std::move(arguments);
    return call;
  }
  Result<mcp::ToolResult> call(std::string_view name, mcp::ToolCall call) {
    const auto set = registry.tools();
    const auto found = set->by_name.find(name);
    if (found == set->by_name.end()) return fail(ErrorCode::kNotFound, "the test's tool is not there");
    std::optional<Result<mcp::ToolResult>> out;
    run_task(loop,
             [](Task<Result<mcp::ToolResult>> task, std::optional<Result<mcp::ToolResult>>* result) -> Task<void> {
               *result = co_await std::move(task);
             }(found->second->tool.handler(std::move(call)), &out));
    return *out;
  }
  Result<mcp::ToolResult> call(std::string_view name) { return call(name, prepared(loop)); }
  std::vector<std::string> names() const { return registry.tools()->names(); }

  Loop loop{"test"};
  observe::LogCapture log;
  mcp::Changes changes;
  mcp::ToolRegistry registry{&changes};
  FarServer far;
  std::shared_ptr<Bridge> bridge;
};

TEST_F(BridgeTest, ToolsOfTheServerBecomeOurs) {
  make();
  await("ready");
  EXPECT_THAT(names(), ElementsAre("fs_read", "fs_write"));
  EXPECT_EQ(registry.tools()->by_name.at("fs_read")->group, "fs");
  EXPECT_EQ(registry.tools()->by_name.at("fs_read")->tool.description, "read it");
  const auto status = bridge->status();
  EXPECT_EQ(status.server, "far");
  EXPECT_EQ(status.protocol, "2026-07-28");
  EXPECT_EQ(status.tools, 2U);
  const auto result = call("fs_read", prepared(loop, {{"path", "/x"}}));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(json::write(result->content), R"([{"type":"text","text":"done"}])");
  EXPECT_EQ(far.got.back().at("params").at("name"), "read");
  EXPECT_EQ(json::write(far.got.back().at("params").at("arguments")), R"({"path":"/x"})");
}

TEST_F(BridgeTest, FiltersAndPrefixes) {
  BridgeSettings settings;
  settings.prefix = "";
  settings.exclude = {"w*"};
  settings.permission = "models:write";
  make(settings);
  await("ready");
  EXPECT_THAT(names(), ElementsAre("read"));
}

TEST_F(BridgeTest, ATakenNameGetsANumber) {
  mcp::Tool own{.name = "fs_read", .input_schema = {{"type", "object"}}};
  own.handler = [](mcp::ToolCall) -> Task<Result<mcp::ToolResult>> { co_return mcp::ToolResult{.text = "ours"}; };
  ASSERT_TRUE(registry.add(std::move(own)));
  far.answers["tools/list"] = tool_list({"read", "a b", "a/b"});
  make();
  await("ready");
  EXPECT_THAT(names(), ElementsAre("fs_read", "fs_read_2", "fs_a_b", "fs_a_b_2"));
  EXPECT_TRUE(log.contains("its name is taken"));
  EXPECT_EQ(call("fs_read")->text, "ours");
  EXPECT_TRUE(call("fs_a_b_2"));
  EXPECT_EQ(far.got.back().at("params").at("name"), "a/b");
}

TEST_F(BridgeTest, ASchemaThatCannotBeHeldCostsItsToolOnly) {
  far.answers["tools/list"] = R"({"tools":[{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":1}}}},
                                            {"name":"good","inputSchema":{"type":"object"}}]})";
  make();
  await("ready");
  EXPECT_THAT(names(), ElementsAre("fs_good"));
  EXPECT_TRUE(log.contains("bridged tool left out"));
}

TEST_F(BridgeTest, AServerThatIsDownComesLater) {
  far.down = true;
  make();
  await("waiting");
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(bridge->status().error, "nobody there");
  far.down = false;
  await("ready");
  EXPECT_EQ(names().size(), 2U);
}

TEST_F(BridgeTest, ChangedToolsAreListedAgain) {
  make();
  await("ready");
  far.answers["tools/list"] = tool_list({"read", "write", "delete"});
  far.listener->on_message(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})", nullptr);
  await_tools(3);
  EXPECT_THAT(names(), ElementsAre("fs_read", "fs_write", "fs_delete"));
}

TEST_F(BridgeTest, ToolsStayWhileTheServerIsAwayAndACallBringsItBack) {
  BridgeOptions options;
  options.first_retry = std::chrono::hours(1);
  make({}, options);
  await("ready");
  far.listener->on_closed({ErrorCode::kUnavailable, "the far server died", {}, {}, 0});
  await("waiting");
  EXPECT_EQ(names().size(), 2U);
  EXPECT_TRUE(call("fs_read"));
  EXPECT_EQ(far.starts, 2);
}

TEST_F(BridgeTest, ADeathInTheMiddleOfACallIsItsError) {
  make();
  await("ready");
  far.dies_of_calls = true;
  const auto result = call("fs_read");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  far.dies_of_calls = false;
  EXPECT_TRUE(call("fs_read"));
}

TEST_F(BridgeTest, ThreeFailuresInARowOpenTheBreaker) {
  BridgeSettings settings;
  settings.timeout.ms = 1;
  make(settings);
  await("ready");
  far.answers.erase("tools/call");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(call("fs_read").error().code, ErrorCode::kEngineTimeout);
  const int asked = far.calls();
  const auto refused = call("fs_read");
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("bridge 'fs'"));
  EXPECT_GT(refused.error().retry_after_s, 0);
  EXPECT_LE(refused.error().retry_after_s, 60);
  EXPECT_EQ(far.calls(), asked);
}

TEST_F(BridgeTest, AProbeClosesTheBreakerAgain) {
  BridgeSettings settings;
  settings.timeout.ms = 1;
  BridgeOptions options;
  options.breaker.pause = 0ms;
  make(settings, options);
  await("ready");
  const std::string answer = far.answers.extract("tools/call").mapped();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(call("fs_read").error().code, ErrorCode::kEngineTimeout);
  far.answers["tools/call"] = answer;
  EXPECT_TRUE(call("fs_read"));
}

TEST_F(BridgeTest, ErrorsOfToolsAreNoFailures) {
  make();
  await("ready");
  far.answers["tools/call"] = R"({"isError":true,"content":[{"type":"text","text":"no"}]})";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(call("fs_read")->is_error);
}

TEST_F(BridgeTest, RefusesItself) {
  BridgeOptions options;
  options.instance = "it";
  make({}, options);
  await("refused");
  EXPECT_TRUE(names().empty());
  EXPECT_THAT(bridge->status().error, HasSubstr("leads back to this very process"));
  EXPECT_EQ(far.starts, 1);
}

TEST_F(BridgeTest, ProgressIsPassedOn) {
  make();
  await("ready");
  // The first call has the id 3: discover, tools/list, tools/call.
  far.before_answer =
      R"([{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"3","progress":2,"message":"two"}},)"
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"3","progress":3,"message":"three"}}])";
  std::vector<std::string> heard;
  auto wanted = prepared(loop);
  wanted.progress = mcp::Progress([&](double value, std::optional<double>, std::string_view message) {
    heard.push_back(fmt::format("{} {}", value, message));
  });
  EXPECT_TRUE(call("fs_read", std::move(wanted)));
  EXPECT_THAT(heard, ElementsAre("2 two", "3 three"));
}

TEST_F(BridgeTest, CancelReachesTheServer) {
  make();
  await("ready");
  far.answers.erase("tools/call");
  CancelSource cancel;
  auto wanted = prepared(loop);
  wanted.cancel = cancel.token();
  boost::asio::post(loop.executor(), [cancel] { cancel.cancel(); });
  EXPECT_EQ(call("fs_read", std::move(wanted)).error().code, ErrorCode::kCancelled);
  if (far.calls() > 0) {
    EXPECT_EQ(json::string_or(far.got.back(), "method"), "notifications/cancelled");
  }
}

TEST_F(BridgeTest, CallsComeFromAnyLoop) {
  make();
  await("ready");
  const auto handler = registry.tools()->by_name.at("fs_read")->tool.handler;
  // The bridge's loop turns in a thread of its own while the callers' turns here.
  loop.start();
  {
    Loop callers("callers");
    run_task(
        callers,
        [](BridgeTest* t, Loop* on, std::function<Task<Result<mcp::ToolResult>>(mcp::ToolCall)> tool) -> Task<void> {
          for (int i = 0; i < 100; ++i) EXPECT_TRUE(co_await tool(t->prepared(*on)));
        }(this, &callers, handler));
  }
  loop.stop();
  loop.join();
  loop.context().restart();
}

TEST_F(BridgeTest, QuestionsGoThroughToTheCaller) {
  make();
  await("ready");
  far.answers["tools/call"] =
      R"({"resultType":"input_required","requestState":"st","inputRequests":{"k":{"method":"elicitation/create","params":{}}}})";
  auto first = prepared(loop);
  first.caller = std::make_shared<const mcp::Caller>(
      mcp::Caller{.capabilities = {{"elicitation", json::object{}}, {"extensions", json::object{}}}});
  const auto asked = call("fs_read", std::move(first));
  ASSERT_TRUE(asked && asked->input_required);
  EXPECT_EQ(json::write(far.got.back().at("params").at("_meta").at(mcp::meta::kClientCapabilities)),
            R"({"elicitation":{}})");
  far.answers["tools/call"] = R"({"content":[]})";
  auto second = prepared(loop);
  second.inputs = {{"k", json::object{{"action", "accept"}}}};
  second.state = asked->input_required->state;
  EXPECT_TRUE(call("fs_read", std::move(second)));
  EXPECT_EQ(far.got.back().at("params").at("requestState"), "st");
  EXPECT_EQ(json::write(far.got.back().at("params").at("inputResponses")), R"({"k":{"action":"accept"}})");
}

TEST_F(BridgeTest, StoppingTakesTheToolsAway) {
  make();
  await("ready");
  const auto tool = registry.tools()->by_name.at("fs_read");
  run_task(loop, bridge->stop());
  EXPECT_TRUE(names().empty());
  std::optional<ErrorCode> code;
  run_task(loop, [](Task<Result<mcp::ToolResult>> task, std::optional<ErrorCode>* out) -> Task<void> {
    const auto result = co_await std::move(task);
    if (!result) *out = result.error().code;
  }(tool->tool.handler(prepared(loop)), &code));
  EXPECT_EQ(code, ErrorCode::kUnavailable);
  bridge.reset();
}

TEST(Bridges, ABridgedProgramStartsNone) {
  Loop loop("test");
  observe::LogCapture log;
  mcp::ToolRegistry registry;
  BridgeMap map;
  map["self"].command = "/nowhere/llm-mcp";
  Bridges bridges(
      loop, map, {},
      [](const std::string& name) -> std::optional<std::string> {
        if (name == "LLM_MCP_BRIDGED") return "1";
        return std::nullopt;
      },
      registry, log.log());
  bridges.start();
  run_task(loop, bridges.stop());
  EXPECT_TRUE(log.contains("itself somebody's bridge"));
  EXPECT_FALSE(log.contains("not connected"));
}

}  // namespace
}  // namespace llm::tools
