#include "inference/demand.h"

#include <gtest/gtest.h>

namespace llm::inference {
namespace {

json::object object(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed ? parsed->get_object() : json::object();
}

TEST(Demand, NoTokenizerMakesMoreTokensThanThereAreBytes) {
  EXPECT_GE(input_token_bound(object(R"({"prompt": "0123456789"})")), 10);
  EXPECT_LE(input_token_bound(object(R"({"prompt": "0123456789"})")), 10 + 64);
  const auto chat = object(R"({"messages": [{"role": "user", "content": "0123456789"},
                                            {"role": "user", "content": [{"type": "text", "text": "0123456789"}]}]})");
  EXPECT_GE(input_token_bound(chat), 20);
  EXPECT_EQ(input_token_bound(object(R"({"prompt": [1, 2, 3]})")) - input_token_bound(object(R"({"prompt": []})")), 3);
  EXPECT_GE(input_token_bound(object(R"({"query": "0123456789", "documents": ["0123456789", "0123456789"]})")), 30);
  EXPECT_GE(input_token_bound(object(R"({"messages": [], "tools": [{"name": "0123456789"}]})")), 10);
  EXPECT_EQ(input_token_bound(object(R"({"temperature": 1, "user": "0123456789"})")), input_token_bound(object("{}")));
}

TEST(Demand, AnImageCountsAsAnImageNotAsItsBytes) {
  const std::string data = "data:image/png;base64," + std::string(100'000, 'A');
  json::object part{{"type", "image_url"}, {"image_url", json::object{{"url", data}}}};
  json::object body{{"messages", json::array{json::object{{"role", "user"}, {"content", json::array{part}}}}}};
  EXPECT_GE(input_token_bound(body), kImageTokens);
  EXPECT_LT(input_token_bound(body), 2 * kImageTokens);
}

TEST(Demand, TheLeastOfWhatTheClientSaysCounts) {
  EXPECT_EQ(asked_tokens(object(R"({"max_tokens": 5})")), 5);
  EXPECT_EQ(asked_tokens(object(R"({"max_completion_tokens": 7, "max_tokens": 5})")), 5);
  EXPECT_EQ(asked_tokens(object(R"({"n_predict": -1})")), std::nullopt);
  EXPECT_EQ(asked_tokens(object(R"({"max_tokens": null})")), std::nullopt);
  EXPECT_EQ(asked_tokens(object(R"({"max_tokens": 1e300})")), 1'000'000'000'000);
}

TEST(Demand, AnEngineIsHeldToTheLimitWhateverFieldItReads) {
  auto body = object(R"({"max_completion_tokens": 700, "n_predict": -1})");
  limit_tokens(body, Operation::kChat, 10);
  EXPECT_EQ(body, object(R"({"max_completion_tokens": 10, "n_predict": 10})"));
  body = object(R"({"max_tokens": 3})");
  limit_tokens(body, Operation::kCompletion, 10);
  EXPECT_EQ(body, object(R"({"max_tokens": 3})"));
  body = {};
  limit_tokens(body, Operation::kChat, 10);
  EXPECT_EQ(asked_tokens(body), 10);
  body = {};
  limit_tokens(body, Operation::kCompletion, 10);
  EXPECT_EQ(body, object(R"({"max_tokens": 10})"));
}

TEST(Demand, CountsTheAnswers) {
  EXPECT_EQ(answers(object("{}"), Operation::kChat), 1);
  EXPECT_EQ(answers(object(R"({"n": 3})"), Operation::kChat), 3);
  EXPECT_EQ(answers(object(R"({"n": 2, "prompt": ["a", "b", "c"]})"), Operation::kCompletion), 6);
  EXPECT_EQ(answers(object(R"({"n": 2, "best_of": 4, "prompt": "a"})"), Operation::kCompletion), 4);
  EXPECT_EQ(answers(object(R"({"prompt": [1, 2, 3]})"), Operation::kCompletion), 1);
}

}  // namespace
}  // namespace llm::inference
