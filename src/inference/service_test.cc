// The door: what goes to the engine, what comes back whole, errors, cancelling, books.
#include "inference/service.h"

#include <gmock/gmock.h>

#include "inference/service_under_test.h"

namespace llm::inference {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kAnswer =
    R"({"id":"x","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hello"}}],)"
    R"("usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}},"odd":[1]})";

TEST(Service, ForwardsWhatItDoesNotKnow) {
  ServiceUnderTest t({.service = {}, .admission = {}, .api_key = "secret-key"});
  t.upstream.script = t.upstream.answer(200, std::string(kAnswer));
  auto body = [&]() -> Task<void> {
    auto outcome = co_await t.ask(t.chat(
        R"({"model":"up/other","messages":[{"role":"user","content":"hi","cache":{"a":[1]}}],"odd":{"b":null},"top_p":1})"));
    EXPECT_TRUE(outcome);
    EXPECT_EQ(outcome->body, kAnswer);
    EXPECT_EQ(outcome->model, "other");
    EXPECT_EQ(outcome->usage.prompt_tokens, 7);
    EXPECT_EQ(outcome->usage.completion_tokens, 3);
    EXPECT_EQ(outcome->usage.cached_tokens, 2);
    EXPECT_EQ(outcome->finish_reason, "stop");
    const auto& seen = t.upstream.seen.at(0);
    EXPECT_EQ(seen.target, "/v1/chat/completions");
    EXPECT_EQ(seen.authorization, "Bearer secret-key");
    EXPECT_EQ(seen.request_id, "req_1");
    EXPECT_EQ(json::write(seen.body),
              R"({"model":"other","messages":[{"role":"user","content":"hi","cache":{"a":[1]}}],"odd":{"b":null},)"
              R"("top_p":1,"stream":false})");
    EXPECT_FALSE(t.log.contains("secret-key"));
  };
  t.run(body());
}

TEST(Service, EveryOperationHasItsPath) {
  ServiceUnderTest t;
  t.upstream.script = t.upstream.answer(200, R"({"data":[],"choices":[{}]})");
  auto body = [&]() -> Task<void> {
    for (const auto& [operation, text, target] : std::vector<std::tuple<Operation, std::string, std::string>>{
             {Operation::kCompletion, R"({"model":"m","prompt":"a"})", "/v1/completions"},
             {Operation::kEmbedding, R"({"model":"m","input":"a","stream":true})", "/v1/embeddings"},
             {Operation::kRerank, R"({"model":"m","query":"a","documents":[]})", "/v1/rerank"},
             {Operation::kTokenize, R"({"model":"m","content":"a"})", "/tokenize"}}) {
      auto request = t.chat(text);
      request.operation = operation;
      EXPECT_TRUE(co_await t.ask(std::move(request)));
      EXPECT_EQ(t.upstream.seen.back().target, target);
      EXPECT_EQ(t.upstream.seen.back().body.contains("stream"), operation == Operation::kCompletion);
    }
  };
  t.run(body());
}

struct ErrorRow {
  int status;
  std::string body;
  ErrorCode code;
  std::string says;
};

TEST(Service, TranslatesWhatEnginesSayIsWrong) {
  const std::vector<ErrorRow> rows{
      {400, R"({"error":{"message":"bad field","type":"invalid_request_error"}})", ErrorCode::kInvalidArgument,
       "bad field"},
      {422, R"({"detail":"x","message":"bad shape"})", ErrorCode::kInvalidArgument, "bad shape"},
      {400,
       R"({"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":900,"n_ctx":512}})",
       ErrorCode::kContextLengthExceeded, "900 tokens"},
      {400, R"({"object":"error","message":"This model's maximum context length is 4096 tokens"})",
       ErrorCode::kContextLengthExceeded, "4096"},
      {401, R"({"error":{"message":"key sk-secret is wrong"}})", ErrorCode::kEngineFailed, "refused the gateway's key"},
      {403, "", ErrorCode::kEngineFailed, "refused the gateway's key"},
      {404, R"({"error":{"message":"no such model"}})", ErrorCode::kNotFound, "no such model"},
      {413, "{}", ErrorCode::kPayloadTooLarge, "{}"},
      {429, R"({"error":"slow down"})", ErrorCode::kRateLimited, "slow down"},
      {500, R"({"error":{"message":"boom","type":"server_error"}})", ErrorCode::kEngineFailed,
       "of model \"m\" failed: boom"},
      {500, "", ErrorCode::kEngineFailed, "no reason"},
      {502, "<html>gateway</html>", ErrorCode::kEngineFailed, "<html>"},
      {501, R"({"error":{"message":"not here"}})", ErrorCode::kUnsupported, "not here"},
      {503, R"({"error":{"message":"Loading model"}})", ErrorCode::kOverloaded, "Loading model"},
      {504, "late", ErrorCode::kEngineTimeout, "late"},
      {500, std::string("\xff\xfe\x00", 3), ErrorCode::kEngineFailed, "no text"},
      {200, "<html>", ErrorCode::kEngineFailed, "something else than JSON"},
      {200, R"({"usage":)", ErrorCode::kEngineFailed, "something else than JSON"},
  };
  for (const auto& row : rows) {
    ServiceUnderTest t;  // each its own: what fails several times in a row gets no more requests
    t.upstream.script = t.upstream.answer(row.status, row.body);
    auto body = [&]() -> Task<void> {
      const auto outcome = co_await t.ask(t.chat());
      EXPECT_FALSE(outcome);
      if (outcome) co_return;
      EXPECT_EQ(describe(outcome.error().code).name, describe(row.code).name) << row.status << row.body;
      EXPECT_THAT(outcome.error().message, HasSubstr(row.says));
      EXPECT_THAT(outcome.error().message, Not(HasSubstr("sk-secret")));
    };
    t.run(body());
  }
}

TEST(Service, WrongRequestsNeverReachAnEngine) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    EXPECT_EQ((co_await t.ask(t.chat(R"({"model":"m"})"))).error().pointer, "/messages");
    EXPECT_EQ((co_await t.ask(t.chat(R"({"model":"nobody","messages":[{"role":"user"}]})"))).error().pointer, "/model");
    EXPECT_TRUE(t.upstream.seen.empty());
  };
  t.run(body());
}

TEST(Service, WhatIsNoAnswerIsTheEnginesFailure) {
  const std::string whole(kAnswer);
  for (const auto& text : {whole.substr(0, whole.size() / 2), "[" + whole + "]", std::string("<html>"), std::string(),
                           std::string(R"({"choices":[]})"), std::string(R"({"usage":{}})")}) {
    ServiceUnderTest t;  // each with a breaker of its own
    t.upstream.script = t.upstream.answer(200, text);
    auto body = [&]() -> Task<void> {
      const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})"));
      EXPECT_FALSE(outcome) << text;
      if (!outcome) EXPECT_EQ(outcome.error().code, ErrorCode::kEngineFailed) << text;
    };
    t.run(body());
  }
}

TEST(Service, AnUnreachableEngineIsUnavailable) {
  ServiceUnderTest t;
  t.upstream.health_status = 401;
  auto body = [&]() -> Task<void> {
    const auto outcome = co_await t.ask(t.chat());
    EXPECT_EQ(outcome.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(outcome.error().message, HasSubstr("status 401"));
  };
  t.run(body());
}

TEST(Service, ACancelClosesTheConnectionToTheEngine) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    for (const bool stream : {false, true}) {
      t.upstream.script =
          stream ? t.upstream.stall(sse(R"({"choices":[{"delta":{"content":"a"}}]})")) : t.upstream.silence();
      CancelSource cancel;
      KeepingSink sink;
      std::optional<Result<Outcome>> outcome;
      TaskGroup group(t.loop.executor());
      auto ask = [&]() -> Task<void> {
        auto request = t.chat();
        request.stream = stream;
        outcome = co_await t.ask(std::move(request), &sink, cancel.token());
      };
      const auto before = t.upstream.seen.size();
      group.spawn(ask());
      co_await t.upstream.until_seen(before + 1);
      while (stream && sink.payloads.empty()) co_await t.settle();
      const int cancelled = t.upstream.cancelled;
      cancel.cancel();
      co_await group.join();
      EXPECT_EQ(outcome->error().code, ErrorCode::kCancelled);
      co_await t.upstream.until_cancelled(cancelled + 1);
      EXPECT_EQ(t.service.in_flight(), 0U);
    }
  };
  t.run(body());
}

TEST(Service, BooksTokensAndOutcomes) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    t.upstream.script = t.upstream.answer(200, std::string(kAnswer));
    EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user","content":"my private prompt"}]})")));
    t.upstream.script = t.upstream.answer(500, "boom");
    EXPECT_FALSE(co_await t.ask(t.chat()));
    const auto page = t.metrics.render();
    EXPECT_THAT(page, HasSubstr(R"(llm_mcp_inference_requests_total{model="up/m",operation="chat",outcome="ok"} 1)"));
    EXPECT_THAT(
        page,
        HasSubstr(R"(llm_mcp_inference_requests_total{model="up/m",operation="chat",outcome="engine_failed"} 1)"));
    EXPECT_TRUE(t.log.contains(R"("prompt_tokens":7)"));
    EXPECT_TRUE(t.log.contains(R"("completion_tokens":3)"));
    EXPECT_TRUE(t.log.contains(R"("request_id":"req_1")"));
    EXPECT_FALSE(t.log.contains("private"));
    EXPECT_FALSE(t.log.contains("hello"));
  };
  t.run(body());
}

TEST(Service, LogsPromptsOnlyWhenAskedTo) {
  ServiceUnderTest t({.service = {.log_prompts = true}, .admission = {}, .api_key = {}});
  t.upstream.script = t.upstream.answer(200, std::string(kAnswer));
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user","content":"my private prompt"}]})")));
    EXPECT_TRUE(t.log.contains("my private prompt"));
  };
  t.run(body());
}

TEST(Service, AFullGatewaySaysSoAtOnce) {
  ServiceUnderTest t({.service = {}, .admission = {.max_concurrent = 1, .queue_limit = 0}, .api_key = {}});
  t.upstream.script = t.upstream.silence();
  auto body = [&]() -> Task<void> {
    CancelSource cancel;
    TaskGroup group(t.loop.executor());
    auto ask = [&]() -> Task<void> { (void)co_await t.ask(t.chat(), nullptr, cancel.token()); };
    group.spawn(ask());
    co_await t.upstream.until_seen(1);
    const auto refused = co_await t.ask(t.chat());
    EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
    EXPECT_GT(refused.error().retry_after_s, 0);
    cancel.cancel();
    co_await group.join();
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::inference
