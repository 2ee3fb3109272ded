#include "tools/agent_loop.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/run_task.h"
#include "mcp/principal_under_test.h"
#include "tools/fake_model_api.h"

namespace llm::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

// A model's answer that calls tools: {function, arguments as JSON text}.
json::object calling(std::vector<std::pair<std::string, std::string>> calls, std::string text = "") {
  json::array list;
  for (const auto& [name, arguments] : calls) {
    list.push_back(json::object{{"id", fmt::format("c{}", list.size())},
                                {"type", "function"},
                                {"function", json::object{{"name", name}, {"arguments", arguments}}}});
  }
  return {{"text", text},
          {"finish_reason", "tool_calls"},
          {"tool_calls", std::move(list)},
          {"usage", json::object{{"total_tokens", 10}}}};
}
json::object saying(std::string text) {
  return {{"text", text}, {"finish_reason", "stop"}, {"usage", json::object{{"total_tokens", 5}}}};
}

// Tools that note how they were called.
struct Toolbox final : ToolCaller {
  explicit Toolbox(Loop& on) : loop(on), woken(on.executor()) {}

  std::vector<OfferedTool> offered() const override {
    return {{"fs_read", "Reads.", {{"type", "object"}}},
            {"fs.stat", "Stats.", {{"type", "object"}}},
            {"web_get", "Gets.", {{"type", "object"}}}};
  }
  Task<Result<mcp::ToolResult>> call(std::string name, json::object arguments, mcp::Context context) override {
    calls.push_back(name + " " + json::write(arguments));
    capabilities = context.caller->capabilities;
    most = std::max(most, ++running);
    for (int i = 0; i < 3; ++i) co_await boost::asio::post(loop.executor(), use_task);  // others may begin meanwhile
    if (hangs) {
      const auto registration = context.cancel.on_cancel([this] { woken.notify(); });
      while (!context.cancel.cancelled()) co_await woken.wait();
    }
    --running;
    if (hangs) co_return fail(ErrorCode::kCancelled, "cancelled");
    co_return result;
  }

  Loop& loop;
  Event woken;
  std::vector<std::string> calls;
  json::object capabilities;
  int running = 0;
  int most = 0;
  bool hangs = false;
  Result<mcp::ToolResult> result = mcp::ToolResult{.text = "42"};
};

struct AgentTest : testing::Test {
  Result<AgentAnswer> run(std::vector<std::string> use_tools = {"*"}, AgentLimits limits = {}) {
    mcp::Context context;
    context.loop = &loop;
    context.cancel = cancel.token();
    context.caller =
        std::make_shared<const mcp::Caller>(mcp::Caller{.capabilities = {{"elicitation", json::object()}}});
    std::optional<Result<AgentAnswer>> out;
    run_task(loop,
             [](Task<Result<AgentAnswer>> task, std::optional<Result<AgentAnswer>>* answer)
                 -> Task<void> {
               *answer = co_await std::move(task);
             }(run_agent(api, tools,
                         {{"messages", json::array{json::object{{"role", "user"}, {"content", "?"}}}}, {"model", "m"}},
                         std::move(use_tools), limits, context,
                         [this](json::object event) { return hear(this, std::move(event)); }),
                 &out));
    return *out;
  }
  static Task<Result<void>> hear(AgentTest* t, json::object event) {
    t->events.push_back(json::write(event));
    co_return Result<void>();
  }
  // The request of a turn, from 0.
  json::object request(std::size_t turn) const {
    return json::parse(std::string_view(api.calls.at(turn)).substr(9))->as_object();
  }
  std::string last_message(std::size_t turn) const {
    return json::write(request(turn).at("messages").as_array().back());
  }

  Loop loop{"test"};
  FakeModelApi api;
  Toolbox tools{loop};
  CancelSource cancel;
  std::vector<std::string> events;
};

TEST_F(AgentTest, CallsToolsUntilTheModelAnswers) {
  api.generated = {calling({{"fs_read", R"({"path":"/a"})"}}, "let me see"), saying("It is 42.")};
  const auto answer = run();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->answer.at("text"), "It is 42.");
  EXPECT_EQ(answer->answer.at("usage").at("total_tokens"), 15);
  EXPECT_EQ(answer->turns, 2);
  EXPECT_FALSE(answer->cut);
  ASSERT_EQ(answer->tool_calls_made.size(), 1U);
  const auto& made = answer->tool_calls_made[0];
  EXPECT_EQ(made.name, "fs_read");
  EXPECT_EQ(json::write(made.arguments), R"({"path":"/a"})");
  EXPECT_EQ(made.result, "42");
  EXPECT_FALSE(made.is_error);
  EXPECT_THAT(tools.calls, ElementsAre(R"(fs_read {"path":"/a"})"));
  EXPECT_TRUE(tools.capabilities.empty());  // nobody can be asked from here
  EXPECT_THAT(events, ElementsAre(R"({"status":"tool","tool":"fs_read","turn":1})"));

  EXPECT_EQ(request(0).at("tools").as_array().size(), 3U);
  EXPECT_EQ(request(0).at("model"), "m");
  EXPECT_EQ(
      json::write(request(0).at("tools").at(0)),
      R"({"type":"function","function":{"name":"fs_read","description":"Reads.","parameters":{"type":"object"}}})");
  EXPECT_EQ(last_message(1), R"({"role":"tool","tool_call_id":"c0","content":"42"})");
  EXPECT_EQ(json::write(request(1).at("messages").at(1)),
            R"({"role":"assistant","content":"let me see","tool_calls":[{"id":"c0","type":"function",)"
            R"("function":{"name":"fs_read","arguments":"{\"path\":\"/a\"}"}}]})");
}

TEST_F(AgentTest, OffersWhatIsNamed) {
  api.answers.generate = saying("ok");
  ASSERT_TRUE(run({"fs*"}));
  std::vector<std::string> names;
  const json::object first = request(0);
  for (const auto& tool : first.at("tools").as_array()) {
    names.emplace_back(tool.at("function").at("name").as_string());
  }
  EXPECT_THAT(names, ElementsAre("fs_read", "fs_stat"));  // OpenAI allows no dots
  const auto wrong = run({"fs_raed"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(wrong.error().pointer, "/use_tools/0");
  EXPECT_THAT(wrong.error().message, HasSubstr("fs_read"));
}

TEST_F(AgentTest, ADottedToolIsCalledByItsOwnName) {
  api.generated = {calling({{"fs_stat", "{}"}}), saying("ok")};
  ASSERT_TRUE(run());
  EXPECT_THAT(tools.calls, ElementsAre("fs.stat {}"));
}

TEST_F(AgentTest, WhatGoesWrongIsToldToTheModel) {
  api.generated = {calling({{"fs_reed", "{}"}, {"fs_read", "{not json"}, {"fs_read", "[1]"}}), saying("sorry")};
  const auto answer = run();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(tools.calls.empty());
  const json::object second = request(1);
  const auto& messages = second.at("messages").as_array();
  EXPECT_THAT(std::string(messages.at(2).at("content").as_string()), HasSubstr("did you mean fs_read?"));
  EXPECT_THAT(std::string(messages.at(3).at("content").as_string()), HasSubstr("no JSON"));
  EXPECT_THAT(std::string(messages.at(4).at("content").as_string()), HasSubstr("must be a JSON object"));
  for (const auto& made : answer->tool_calls_made) EXPECT_TRUE(made.is_error);
}

TEST_F(AgentTest, AFailedToolIsToldToTheModel) {
  tools.result = fail(ErrorCode::kUnavailable, "bridge 'fs' is down");
  api.generated = {calling({{"fs_read", "{}"}}), saying("ok")};
  ASSERT_TRUE(run());
  EXPECT_THAT(last_message(1), HasSubstr("Error: bridge 'fs' is down"));
}

TEST_F(AgentTest, TheLastTurnMayNotCallTools) {
  api.answers.generate = calling({{"fs_read", "{}"}}, "still at it");
  const auto answer = run({"*"}, {.max_turns = 3});
  ASSERT_TRUE(answer);
  EXPECT_EQ(api.calls.size(), 3U);
  EXPECT_EQ(tools.calls.size(), 2U);
  EXPECT_FALSE(request(1).contains("tool_choice"));
  EXPECT_EQ(request(2).at("tool_choice"), "none");
  EXPECT_TRUE(answer->cut);
  EXPECT_EQ(answer->answer.at("text"), "still at it");
  EXPECT_FALSE(answer->answer.contains("tool_calls"));
}

TEST_F(AgentTest, CallsOfATurnRunSideBySideButNotTooMany) {
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 9; ++i) many.emplace_back("fs_read", fmt::format(R"({{"n":{}}})", i));
  api.generated = {calling(many), saying("ok")};
  const auto answer = run({"*"}, {.max_calls_per_turn = 8, .max_parallel = 3});
  ASSERT_TRUE(answer);
  EXPECT_EQ(tools.most, 3);
  EXPECT_EQ(tools.calls.size(), 8U);
  EXPECT_EQ(answer->tool_calls_made.size(), 9U);
  EXPECT_THAT(last_message(1), HasSubstr("at most 8 calls"));
  EXPECT_EQ(json::write(answer->tool_calls_made[4].arguments), R"({"n":4})");
}

TEST_F(AgentTest, ResultsAreBoundedAndReadable) {
  tools.result =
      mcp::ToolResult{.content = {json::object{{"type", "text"}, {"text", std::string(1000, 'x')}},
                                  json::object{{"type", "image"}, {"data", "aGk="}, {"mimeType", "image/png"}}}};
  api.generated = {calling({{"fs_read", "{}"}}), calling({{"fs_read", "{}"}}), saying("ok")};
  ASSERT_TRUE(run({"*"}, {.max_result_bytes = 100}));
  EXPECT_THAT(last_message(1), HasSubstr("[cut here: "));
  EXPECT_LT(last_message(1).size(), 300U);
  tools.result = mcp::ToolResult{.structured = json::object{{"n", 1}}};
  api.generated = {calling({{"fs_read", "{}"}}), saying("ok")};
  api.calls.clear();
  ASSERT_TRUE(run());
  EXPECT_THAT(last_message(1), HasSubstr(R"({\"n\":1})"));
}

TEST_F(AgentTest, TheEndOfTheTimeEndsAToolAndKeepsWhatThereIs) {
  tools.hangs = true;
  api.generated = {calling({{"fs_read", "{}"}})};
  const auto answer = run({"*"}, {.total = 1ms});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->cut);
  EXPECT_EQ(answer->answer.at("finish_reason"), "timeout");
  EXPECT_EQ(answer->tool_calls_made.size(), 1U);
}

TEST_F(AgentTest, TheEndOfTheTimeEndsAGeneration) {
  api.wait_for_cancel = true;
  api.events = {{{"text", "so far"}, {"tokens", 2}}};
  const auto answer = run({"*"}, {.total = 1ms});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->answer.at("text"), "so far");
  api.events.clear();
  const auto nothing = run({"*"}, {.total = 1ms});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kEngineTimeout);
}

TEST_F(AgentTest, ACancelEndsEverything) {
  tools.hangs = true;
  api.generated = {calling({{"fs_read", "{}"}})};
  boost::asio::post(loop.executor(), [source = cancel] { source.cancel(); });
  const auto answer = run();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kCancelled);
}

TEST(BridgedToolCaller, CallsToolsOfGroupsOnly) {
  using enum access::Permission;
  Loop loop("test");
  mcp::ToolRegistry registry;
  const auto tool = [](std::string name, access::Permission permission) {
    return mcp::Tool{.name = std::move(name),
                     .input_schema = {{"type", "object"}, {"required", json::array{"n"}}},
                     .handler = [](mcp::ToolCall call) -> Task<Result<mcp::ToolResult>> {
                       co_return mcp::ToolResult{.text = json::write(call.arguments)};
                     },
                     .permission = permission};
  };
  ASSERT_TRUE(registry.add(tool("llm_own", kGenerate)));
  ASSERT_TRUE(registry.replace("fs", {tool("fs_a", kGenerate), tool("fs_b", kAdmin)}));
  BridgedToolCaller caller(registry, mcp::with_role("user"));
  ASSERT_EQ(caller.offered().size(), 1U);
  EXPECT_EQ(caller.offered()[0].name, "fs_a");
  const auto call = [&](std::string name, json::object arguments) {
    std::optional<Result<mcp::ToolResult>> out;
    run_task(loop,
             [](Task<Result<mcp::ToolResult>> task, std::optional<Result<mcp::ToolResult>>* result) -> Task<void> {
               *result = co_await std::move(task);
             }(caller.call(std::move(name), std::move(arguments), {}), &out));
    return *out;
  };
  EXPECT_EQ(call("fs_a", {{"n", 1}})->text, R"({"n":1})");
  EXPECT_EQ(call("fs_a", {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(call("fs_b", {{"n", 1}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(call("llm_own", {{"n", 1}}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace llm::tools
