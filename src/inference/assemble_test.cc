#include "inference/assemble.h"

#include <gtest/gtest.h>

namespace llm::inference {
namespace {

// Puts the events together; their answer as text.
std::string assemble(bool chat, const std::vector<std::string>& events) {
  Assembler assembler(chat);
  for (const auto& event : events) {
    const auto added = assembler.add(event);
    EXPECT_TRUE(added) << event;
  }
  return json::write(std::move(assembler).finish());
}

// Both sides of each case are one answer of llama-server, streamed and not.
TEST(Assembler, Chat) {
  EXPECT_EQ(
      assemble(
          true,
          {R"({"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":null}}]})",
           R"({"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]})",
           R"({"id":"c","choices":[{"index":0,"delta":{"content":"he"}}]})",
           R"({"id":"c","choices":[{"index":0,"delta":{"content":"llo"}}]})",
           R"({"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"}),
      R"({"id":"c","created":7,"model":"m","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop",)"
      R"("message":{"role":"assistant","content":"hello","reasoning_content":"hm"}}]})");
}

TEST(Assembler, ToolCallsInPieces) {
  EXPECT_EQ(
      assemble(
          true,
          {R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x"}}]}}]})",
           R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}}]})",
           R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\":1}"}}]},"finish_reason":"tool_calls"}]})"}),
      R"({"object":"chat.completion","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant",)"
      R"("content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"x\":1}"},"id":"a"},)"
      R"({"type":"function","function":{"name":"g","arguments":"{}"},"id":"b"}]}}]})");
}

TEST(Assembler, CompletionsWithLogprobsInAnyOrder) {
  EXPECT_EQ(
      assemble(
          false,
          {R"({"id":"c","choices":[{"index":1,"text":"b","logprobs":{"content":[{"token":"b"}]}}]})",
           R"({"id":"c","choices":[{"index":0,"text":"a","logprobs":null}]})",
           R"({"id":"c","choices":[{"index":1,"text":"c","logprobs":{"content":[{"token":"c"}]},"finish_reason":"length"}]})"}),
      R"({"id":"c","object":"text_completion","choices":[{"index":0,"finish_reason":null,"text":"a","logprobs":null},)"
      R"({"index":1,"finish_reason":"length","text":"bc","logprobs":{"content":[{"token":"b"},{"token":"c"}]}}]})");
}

TEST(Assembler, RefusesWhatIsNoEvent) {
  Assembler assembler(true);
  for (const std::string_view bad : {"", "[]", "null", "{", R"({"choices":[{"index":-1}]})",
                                     R"({"choices":[{"index":99999999,"delta":{"content":"a"}}]})"}) {
    EXPECT_FALSE(assembler.add(bad)) << bad;
  }
  for (const std::string_view odd :
       {"{}", R"({"choices":null})", R"({"choices":[1,null]})", R"({"choices":[{"delta":[]}]})",
        R"({"choices":[{"delta":{"content":5}}]})", R"({"choices":[{"delta":{"tool_calls":[{"index":-5},7]}}]})"}) {
    EXPECT_TRUE(assembler.add(odd)) << odd;
  }
}

}  // namespace
}  // namespace llm::inference
