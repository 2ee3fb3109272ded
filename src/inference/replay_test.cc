#include "inference/replay.h"

#include <gtest/gtest.h>

#include "inference/assemble.h"

namespace llm::inference {
namespace {

const Replay kReplay{.model = "alias", .created = 99, .usage = true};

json::object parse(std::string_view text) {
  return json::parse(text)->get_object();
}

// The answer without its id, whose prefix is checked.
std::string without_id(std::string_view text, std::string_view prefix) {
  auto answer = parse(text);
  EXPECT_TRUE(json::string_or(answer, "id").starts_with(prefix)) << text;
  EXPECT_GT(json::string_or(answer, "id").size(), prefix.size() + 8) << text;
  answer.stable_erase(answer.find("id"));
  return json::write(answer);
}

CachedAnswer chat_body() {
  return {.model = "m",
          .body = R"({"id":"old","object":"chat.completion","created":1,"model":"m","system_fingerprint":"f",)"
                  R"("choices":[{"index":0,"message":{"role":"assistant","content":"hello","reasoning_content":"hm",)"
                  R"("tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
                  R"("logprobs":{"content":[{"token":"hello"}]},"finish_reason":"tool_calls","stop_reason":7}],)"
                  R"("usage":{"prompt_tokens":3,"completion_tokens":1},"timings":{"x":1}})",
          .usage = parse(R"({"prompt_tokens":3,"completion_tokens":1})")};
}

CachedAnswer chat_events() {
  return {
      .model = "m",
      .payloads =
          {R"({"id":"old","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":null}}]})",
           R"({"id":"old","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"he"}}]})",
           R"({"id":"old","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"llo"}}]})",
           R"({"id":"old","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"timings":{"x":1}})"},
      .usage = parse(R"({"prompt_tokens":3,"completion_tokens":2})")};
}

TEST(Replay, WholeFromWhole) {
  EXPECT_EQ(without_id(replay_body(chat_body(), kReplay).value(), "chatcmpl-"),
            R"({"object":"chat.completion","created":99,"model":"alias","system_fingerprint":"f",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"hello","reasoning_content":"hm",)"
            R"("tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
            R"("logprobs":{"content":[{"token":"hello"}]},"finish_reason":"tool_calls","stop_reason":7}],)"
            R"("usage":{"prompt_tokens":3,"completion_tokens":1}})");
}

TEST(Replay, WholeFromEvents) {
  const auto body = parse(replay_body(chat_events(), kReplay).value());
  EXPECT_EQ(json::string_or(body, "object"), "chat.completion");
  EXPECT_EQ(json::int_or(body, "created"), 99);
  EXPECT_EQ(json::string_or(body, "model"), "alias");
  EXPECT_FALSE(body.contains("timings"));
  EXPECT_EQ(json::write(body.at("choices")),
            R"([{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hello"}}])");
  EXPECT_EQ(json::write(body.at("usage")), R"({"prompt_tokens":3,"completion_tokens":2})");
}

TEST(Replay, EventsFromEvents) {
  const auto events = replay_events(chat_events(), kReplay).value();
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(without_id(events[1], "chatcmpl-"), R"({"object":"chat.completion.chunk","created":99,"model":"alias",)"
                                                R"("choices":[{"index":0,"delta":{"content":"he"}}]})");
  EXPECT_EQ(json::write(parse(events[4]).at("usage")), R"({"prompt_tokens":3,"completion_tokens":2})");
  EXPECT_EQ(json::write(parse(events[4]).at("choices")), "[]");
  const std::string id(json::string_or(parse(events[0]), "id"));
  for (const auto& event : events) {
    EXPECT_EQ(json::string_or(parse(event), "id"), id);
    EXPECT_FALSE(parse(event).contains("timings"));
  }
  EXPECT_NE(json::string_or(parse(replay_events(chat_events(), kReplay)->front()), "id"), id) << "each replay its own";
  EXPECT_EQ(replay_events(chat_events(), {.model = "m"})->size(), 4u) << "no usage unless asked for";
}

TEST(Replay, EventsFromWhole) {
  const auto events = replay_events(chat_body(), kReplay).value();
  std::vector<std::string> choices;
  for (const auto& event : events) {
    const auto object = parse(event);
    EXPECT_EQ(json::string_or(object, "object"), "chat.completion.chunk");
    EXPECT_EQ(json::string_or(object, "model"), "alias");
    EXPECT_EQ(json::string_or(object, "system_fingerprint"), "f");
    EXPECT_EQ(json::int_or(object, "created"), 99);
    choices.push_back(json::write(object.at("choices")));
  }
  EXPECT_EQ(
      choices,
      (std::vector<std::string>{
          R"([{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}])",
          R"([{"index":0,"delta":{"content":"hello"},"finish_reason":null,"logprobs":{"content":[{"token":"hello"}]}}])",
          R"([{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}])",
          R"([{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":null}])",
          R"([{"index":0,"delta":{},"finish_reason":"tool_calls","stop_reason":7}])", "[]"}));
}

// Whole → events → whole is the same answer.
TEST(Replay, ThereAndBack) {
  for (
      const std::string_view body :
      {R"({"id":"i","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"héllo"}},{"index":1,"finish_reason":"length","message":{"role":"assistant","content":"b"}}]})",
       R"({"id":"i","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"},"id":"a"},{"type":"function","function":{"name":"g","arguments":"[1]"},"id":"b"}]}}]})",
       R"({"id":"i","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","text":"a","logprobs":null},{"index":1,"finish_reason":"length","text":"b","logprobs":{"content":[{"token":"b"}]}}]})"}) {
    const CachedAnswer whole{.model = "m", .body = std::string(body)};
    const auto events = replay_events(whole, {.model = "m", .created = 1});
    ASSERT_TRUE(events);
    const CachedAnswer streamed{.model = "m", .payloads = *events};
    auto again = parse(replay_body(streamed, {.model = "m", .created = 1}).value());
    auto first = parse(body);
    // content "" of the role's event and null are the same to clients
    for (auto& choice : again.at("choices").get_array()) {
      auto* message = choice.get_object().if_contains("message");
      if (!message) continue;
      auto& content = message->get_object()["content"];
      if (content.is_string() && content.get_string().empty()) content = nullptr;
    }
    EXPECT_EQ(json::value(again.at("choices")), first.at("choices")) << json::write(again);
    EXPECT_EQ(again.at("object"), first.at("object"));
  }
}

TEST(Replay, Completions) {
  const CachedAnswer whole{
      .model = "m",
      .body = R"({"id":"x","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"ab",)"
              R"("finish_reason":"stop"}],"usage":{"prompt_tokens":1}})"};
  const auto events = replay_events(whole, kReplay).value();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(json::string_or(parse(events[0]), "id").starts_with("cmpl-"));
  EXPECT_EQ(json::write(parse(events[0]).at("choices")), R"([{"index":0,"text":"ab","finish_reason":null}])");
  EXPECT_EQ(json::write(parse(events[1]).at("choices")), R"([{"index":0,"text":"","finish_reason":"stop"}])");
  EXPECT_EQ(json::write(parse(events[2]).at("usage")), R"({"prompt_tokens":1})");
}

TEST(Replay, AnswersWithoutChoicesComeAsTheyAre) {
  const CachedAnswer embedding{.model = "m",
                               .body = R"({"object":"list","data":[{"embedding":[0.10,1e-05]}],"model":"m"})"};
  EXPECT_EQ(replay_body(embedding, {.model = "m", .created = 99}).value(), embedding.body);
  const auto renamed = parse(replay_body(embedding, kReplay).value());
  EXPECT_EQ(json::string_or(renamed, "model"), "alias");
  EXPECT_FALSE(renamed.contains("created"));
  EXPECT_FALSE(replay_events(embedding, kReplay));
}

TEST(Replay, WhatIsNoAnswerIsAnError) {
  EXPECT_FALSE(replay_body({}, kReplay));
  EXPECT_FALSE(replay_events({}, kReplay));
  EXPECT_FALSE(replay_body({.body = "[1"}, kReplay));
  EXPECT_FALSE(replay_events({.payloads = {"{}", "x"}}, kReplay));
}

}  // namespace
}  // namespace llm::inference
