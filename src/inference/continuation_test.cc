#include "inference/continuation.h"

#include <gmock/gmock.h>

namespace llm::inference {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Request chat(std::string_view more = "") {
  Request request;
  request.stream = true;
  request.body =
      json::parse(R"({"messages":[{"role":"user","content":"q"}])" + std::string(more) + "}").value().as_object();
  return request;
}

std::string delta(std::string_view content) {
  return R"({"id":"new","created":9,"model":"x","choices":[{"index":0,"delta":{"content":")" + std::string(content) +
         R"("},"finish_reason":null}]})";
}

constexpr auto kVllm = dialects::ProviderKind::kVllm;

TEST(Continuation, OnlyPlainStreamsAreContinued) {
  EXPECT_TRUE(Continuation::of(chat(), 1, false));
  EXPECT_TRUE(Continuation::of(chat(R"(,"logprobs":false,"tools":null)"), 1, false));
  EXPECT_FALSE(Continuation::of(chat(), 2, true));
  for (const std::string_view more : {R"(,"tools":[{}])", R"(,"response_format":{"type":"json_object"})",
                                      R"(,"logprobs":true)", R"(,"grammar":"root ::= \"a\"")"}) {
    EXPECT_FALSE(Continuation::of(chat(more), 1, false)) << more;
  }
  auto whole = chat();
  whole.stream = false;
  EXPECT_FALSE(Continuation::of(whole, 1, false));
}

TEST(Continuation, ReasoningAndAnEndCannotBeTakenUp) {
  auto reasoning = *Continuation::of(chat(), 1, false);
  reasoning.saw(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})");
  EXPECT_FALSE(reasoning.possible());
  auto ended = *Continuation::of(chat(), 1, false);
  ended.saw(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})");
  EXPECT_FALSE(ended.possible());
}

TEST(Continuation, AnEchoOfTheTextSoFarIsNotSaidTwice) {
  // As llama-server answers, in one piece with what is new, and cut anywhere.
  for (std::size_t cut = 0; cut <= 8; ++cut) {
    auto continuation = *Continuation::of(chat(), 1, false);
    continuation.saw(delta("one two "));
    (void)continuation.body(chat().body, dialects::ProviderKind::kLlamaServer, false);
    const std::string echoed = "one two three";
    std::string text;
    for (const auto& piece : {echoed.substr(0, cut), echoed.substr(cut)}) {
      if (piece.empty()) continue;
      if (const auto out = continuation.rewrite(delta(piece))) {
        text +=
            json::string_or(json::parse(*out)->as_object()["choices"].as_array()[0].at("delta").as_object(), "content");
        EXPECT_THAT(*out, HasSubstr(R"("id":"new")"));
      }
    }
    EXPECT_EQ(text, "three") << cut;
  }
}

TEST(Continuation, AnEngineWithoutAnEchoMayRepeatItself) {
  auto continuation = *Continuation::of(chat(), 1, false);
  continuation.saw(delta("la "));
  (void)continuation.body(chat().body, kVllm, false);
  EXPECT_THAT(*continuation.rewrite(delta("la ")), HasSubstr(R"("content":"la ")"));
}

TEST(Continuation, APromptGetsItsTextAndTheRestOfTheTokens) {
  Request request;
  request.operation = Operation::kCompletion;
  request.stream = true;
  request.body = {{"prompt", "Once"}, {"max_tokens", 5}};
  auto continuation = *Continuation::of(request, 1, false);
  continuation.saw(R"({"id":"a","choices":[{"text":" upon"}]})");
  continuation.saw(R"({"id":"a","choices":[{"text":" a"}]})");
  const auto body = continuation.body(request.body, kVllm, false);
  EXPECT_EQ(json::write(body), R"({"prompt":"Once upon a","max_tokens":3})");
  EXPECT_THAT(*continuation.rewrite(R"({"id":"b","choices":[{"text":" time"}]})"), HasSubstr(R"("id":"a")"));
}

TEST(Continuation, TheRoleComesOnce) {
  auto continuation = *Continuation::of(chat(), 1, false);
  continuation.saw(delta("a"));
  (void)continuation.body(chat().body, kVllm, false);
  EXPECT_EQ(continuation.rewrite(R"({"id":"b","choices":[{"delta":{"role":"assistant","content":""}}]})"),
            std::nullopt);
  EXPECT_EQ(continuation.rewrite(R"({"id":"b","choices":[],"usage":{"prompt_tokens":1}})"), std::nullopt);
}

}  // namespace
}  // namespace llm::inference
