#include "inference/stream_scan.h"

#include <gmock/gmock.h>

namespace llm::inference {
namespace {

using Verdict = StreamScan::Verdict;
using ::testing::HasSubstr;

StreamScan chat(bool usage_wanted = false, std::int64_t choices = 1) {
  return {Operation::kChat, choices, choices > 1, usage_wanted, "m"};
}

TEST(StreamScan, OrdinaryEventsPass) {
  auto scan = chat();
  EXPECT_EQ(scan.look(R"({"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null})"),
            Verdict::kForward);
  EXPECT_TRUE(scan.saw_text());
  EXPECT_EQ(scan.finish_reason(), "");
  EXPECT_EQ(scan.look(R"({"choices":[{"delta":{},"finish_reason" : "tool_calls"}]})"), Verdict::kForward);
  EXPECT_EQ(scan.finish_reason(), "tool_calls");
  EXPECT_EQ(scan.look(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})"), Verdict::kForward);
  EXPECT_EQ(scan.finish_reason(), "tool_calls") << "the first one counts";
  EXPECT_EQ(scan.look("null"), Verdict::kDrop);
  EXPECT_EQ(scan.look(""), Verdict::kDrop);
  EXPECT_EQ(scan.look("[DONE]"), Verdict::kDone);
  EXPECT_FALSE(scan.final_usage());
}

// A client could not read them, and an engine that sends them is not well.
TEST(StreamScan, EventsThatAreNoObjectsAreErrors) {
  for (const std::string_view payload : {"not JSON at all", "[1,2,3]", R"({"choices":[{"delta":{"cont)", "7"}) {
    auto scan = chat();
    EXPECT_EQ(scan.look(payload), Verdict::kError) << payload;
    EXPECT_EQ(scan.error().code, ErrorCode::kEngineFailed);
    EXPECT_THAT(scan.error().message, HasSubstr("\"m\""));
  }
}

// The words the scan looks for, where they mean nothing.
TEST(StreamScan, WordsInTheTextAreText) {
  for (const std::string_view payload : {
           R"({"choices":[{"delta":{"content":"\"usage\": {\"prompt_tokens\": 9}"}}]})",
           R"({"choices":[{"delta":{"content":"usage"}}]})",
           R"({"choices":[{"delta":{"content":"error"}}]})",
           R"({"choices":[{"delta":{"content":"{\"error\":{\"message\":\"x\"}}"}}]})",
           R"({"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\"usage\":{}}"}}]}}]})",
           R"({"choices":[{"delta":{"error":{"a":1}}}]})",
           R"({"choices":[{"delta":{"usage":{"prompt_tokens":9}}}]})",
           R"({"choices":[{"delta":{"content":"finish_reason"}}],"error":null})",
       }) {
    auto scan = chat();
    EXPECT_EQ(scan.look(payload), Verdict::kForward) << payload;
    EXPECT_EQ(scan.usage().prompt_tokens, 0) << payload;
    EXPECT_EQ(scan.finish_reason(), "");
    EXPECT_TRUE(scan.saw_text());
  }
}

TEST(StreamScan, FindsKeysBehindSuchWords) {
  StreamScan scan(Operation::kCompletion, 1, false, false, "m");
  EXPECT_EQ(scan.look(R"({"choices":[{"text":"usage","logprobs":"finish_reason","finish_reason":"stop"}],)"
                      R"("usage":{"prompt_tokens":3,"completion_tokens":1},"timings":{"ms":1}})"),
            Verdict::kForward);
  EXPECT_EQ(scan.usage().prompt_tokens, 3);
  EXPECT_EQ(scan.finish_reason(), "stop");
  EXPECT_EQ(json::write(scan.timings()), R"({"ms":1})");
}

TEST(StreamScan, PrettyPrintedJson) {
  auto scan = chat();
  EXPECT_EQ(
      scan.look(
          "{\n  \"choices\" : [ ],\n  \"usage\" :\n {\r\n\t\"prompt_tokens\" : 5, \"completion_tokens\" : 6 }\n}"),
      Verdict::kDrop);
  EXPECT_EQ(scan.usage().prompt_tokens, 5);
  EXPECT_EQ(scan.usage().completion_tokens, 6);
  EXPECT_EQ(scan.look("{\n  \"error\" : { \"message\" : \"odd\" }\n}"), Verdict::kError);
  EXPECT_THAT(scan.error().message, HasSubstr("model \"m\" failed: odd"));
}

TEST(StreamScan, TheUsageEventGoesToWhoWantsIt) {
  constexpr std::string_view kUsage = R"({"id":"1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}})";
  auto wanted = chat(true);
  EXPECT_EQ(wanted.look(kUsage), Verdict::kDrop);
  EXPECT_EQ(wanted.final_usage(), kUsage);
  auto unwanted = chat(false);
  EXPECT_EQ(unwanted.look(kUsage), Verdict::kDrop);
  EXPECT_EQ(unwanted.final_usage(), std::nullopt);
}

TEST(StreamScan, UsageInTheLastEventOfAChat) {
  constexpr std::string_view kLast =
      R"({"id":"1","choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6}})";
  auto wanted = chat(true);
  EXPECT_EQ(wanted.look(kLast), Verdict::kReplace);
  EXPECT_EQ(wanted.replacement(), R"({"id":"1","choices":[{"delta":{},"finish_reason":"stop"}]})");
  EXPECT_EQ(*wanted.final_usage(),
            R"({"id":"1","choices":[],"usage":{"completion_tokens":6,"prompt_tokens":5,"total_tokens":11,)"
            R"("prompt_tokens_details":{"cached_tokens":0}}})");
  auto unwanted = chat(false);  // then the engine gave it by itself
  EXPECT_EQ(unwanted.look(kLast), Verdict::kForward);
  EXPECT_EQ(unwanted.usage().completion_tokens, 6);
}

TEST(StreamScan, UsageThatCountsUpIsNotAdded) {
  auto scan = chat();
  for (int i = 1; i <= 3; ++i) {
    scan.look(R"({"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":)" +
              std::to_string(i) + "}}");
  }
  EXPECT_EQ(scan.usage().prompt_tokens, 5);
  EXPECT_EQ(scan.usage().completion_tokens, 3);
}

TEST(StreamScan, SeveralCompletionsAddUp) {
  auto scan = chat(true, 2);
  EXPECT_EQ(scan.look(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}})"), Verdict::kDrop);
  EXPECT_EQ(scan.look(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}})"), Verdict::kDrop);
  EXPECT_EQ(scan.usage().prompt_tokens, 5);
  EXPECT_EQ(scan.usage().completion_tokens, 13);
  EXPECT_THAT(*scan.final_usage(), HasSubstr(R"("total_tokens":18)"));
}

TEST(StreamScan, SeveralPromptsInAnyOrder) {
  StreamScan scan(Operation::kCompletion, 2, true, true, "m");  // two prompts of 5 and 9 tokens, n = 2
  for (const auto& [index, prompt] : {std::pair(3, 9), std::pair(0, 5), std::pair(2, 9), std::pair(1, 5)}) {
    const auto text = R"({"choices":[{"index":)" + std::to_string(index) + R"(,"text":""}],"usage":{"prompt_tokens":)" +
                      std::to_string(prompt) + R"(,"completion_tokens":1}})";
    EXPECT_EQ(scan.look(text), Verdict::kReplace);
  }
  EXPECT_EQ(scan.usage().prompt_tokens, 14);
  EXPECT_EQ(scan.usage().completion_tokens, 4);
}

// What llama-server writes with return_progress.
std::string progress(int processed, int total, int index = 0) {
  return R"({"choices":[{"finish_reason":null,"index":)" + std::to_string(index) +
         R"(,"delta":{"role":"assistant","content":null}}],"prompt_progress":{"total":)" + std::to_string(total) +
         R"(,"cache":0,"processed":)" + std::to_string(processed) + R"(,"time_ms":1}})";
}

TEST(StreamScan, ProgressThatWeAskedForIsNotForTheClient) {
  StreamScan scan(Operation::kChat, 1, false, false, "m", true);
  EXPECT_EQ(scan.look(progress(0, 32)), Verdict::kDrop);
  EXPECT_FALSE(scan.saw_text());
  auto theirs = chat();
  EXPECT_EQ(theirs.look(progress(0, 32)), Verdict::kForward) << "the client asked for it";
  EXPECT_EQ(scan.look(R"({"choices":[{"delta":{"content":"prompt_progress"}}]})"), Verdict::kForward);
  EXPECT_EQ(scan.look(R"({"choices":[{"delta":{"prompt_progress":{"processed":9}}}]})"), Verdict::kForward);
}

TEST(StreamScan, AStreamThatIsCutHasUsedWhatItHasUsed) {
  StreamScan scan(Operation::kChat, 1, false, false, "m", true);
  EXPECT_EQ(scan.used().prompt_tokens, 0);
  scan.look(progress(0, 32));
  scan.look(progress(20, 32));
  EXPECT_EQ(scan.used().prompt_tokens, 20);
  EXPECT_EQ(scan.used().completion_tokens, 0);
  scan.look(progress(32, 32));
  scan.look(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]})");
  EXPECT_EQ(scan.used().completion_tokens, 0) << "the role is no token";
  for (int i = 0; i < 3; ++i) scan.look(R"({"choices":[{"index":0,"delta":{"content":"a"}}]})");
  EXPECT_EQ(scan.used().prompt_tokens, 32);
  EXPECT_EQ(scan.used().completion_tokens, 3);
  scan.look(R"({"choices":[],"usage":{"prompt_tokens":32,"completion_tokens":4}})");
  EXPECT_EQ(scan.used().completion_tokens, 4) << "the engine knows better";
}

TEST(StreamScan, CompletionsOfOnePromptShareItsTokens) {
  StreamScan scan(Operation::kCompletion, 2, true, false, "m", true);
  for (int index = 0; index < 4; ++index) scan.look(progress(10 + index, 20, index));
  EXPECT_EQ(scan.used().prompt_tokens, 10 + 12) << "two prompts, two completions of each";
  scan.look(R"({"choices":[{"index":3,"text":"a"}]})");
  EXPECT_EQ(scan.used().completion_tokens, 1);
}

TEST(StreamScan, ErrorsOfAllShapes) {
  for (const auto& [payload, code] : std::vector<std::pair<std::string, ErrorCode>>{
           {R"({"error":{"code":503,"message":"odd"}})", ErrorCode::kOverloaded},
           {R"({"error":{"code":"weird","message":"odd"}})", ErrorCode::kEngineFailed},
           {R"({"error":"odd"})", ErrorCode::kEngineFailed},
           {R"({"error":{"code":400,"type":"exceed_context_size_error","n_prompt_tokens":1,"n_ctx":2}})",
            ErrorCode::kContextLengthExceeded}}) {
    auto scan = chat();
    EXPECT_EQ(scan.look(payload), Verdict::kError) << payload;
    EXPECT_EQ(scan.error().code, code) << payload;
  }
}

}  // namespace
}  // namespace llm::inference
