// The door, streaming: events as they came, usage, cuts, slow and failing sinks, answers put together.
#include <gmock/gmock.h>

#include "inference/service.h"
#include "inference/service_under_test.h"

namespace llm::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kRole = R"({"id":"c1","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant"}}]})";
const std::string kText = R"({"id":"c1","choices":[{"index":0,"delta":{"content":"h\u00e9"},"finish_reason":null}]})";
const std::string kEnd = R"({"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"length"}]})";
const std::string kUsage = R"({"id":"c1","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}})";

std::string whole() {
  return sse(kRole) + sse(kText) + ": ping\n\n" + sse(kEnd) + sse(kUsage) + "data: [DONE]\n\n";
}

TEST(ServiceStream, PassesEventsAndKeepsTheUsageItAskedForItself) {
  ServiceUnderTest t;
  t.upstream.script = t.upstream.stream({whole()});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    const auto outcome = co_await t.ask(
        t.chat(R"({"model":"m","messages":[{"role":"user"}],"stream_options":{"include_usage":false}})", true), &sink);
    EXPECT_TRUE(outcome);
    EXPECT_THAT(sink.payloads, ElementsAre(kRole, kText, kEnd));
    EXPECT_EQ(outcome->usage.prompt_tokens, 4);
    EXPECT_EQ(outcome->usage.completion_tokens, 2);
    EXPECT_EQ(outcome->finish_reason, "length");
    EXPECT_EQ(json::write(t.upstream.seen.at(0).body.at("stream_options")), R"({"include_usage":true})");
  };
  t.run(body());
}

TEST(ServiceStream, GivesTheUsageToClientsWhoWantIt) {
  ServiceUnderTest t;
  t.upstream.script = t.upstream.stream({whole()});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    auto request = t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true);
    request.usage_wanted = true;
    EXPECT_TRUE(co_await t.ask(std::move(request), &sink));
    EXPECT_THAT(sink.payloads, ElementsAre(kRole, kText, kEnd, kUsage));
  };
  t.run(body());
}

TEST(ServiceStream, SplitAnywhereTheEventsAreTheSame) {
  ServiceUnderTest t;
  std::vector<std::string> bytes;
  for (const char c : whole()) bytes.emplace_back(1, c);
  auto body = [&]() -> Task<void> {
    t.upstream.script = t.upstream.stream(bytes);
    KeepingSink sink;
    EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink));
    EXPECT_THAT(sink.payloads, ElementsAre(kRole, kText, kEnd));
    for (std::size_t cut = 0; cut <= whole().size(); cut += 7) {
      t.upstream.script = t.upstream.stream({whole().substr(0, cut), whole().substr(cut)});
      KeepingSink other;
      EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &other));
      EXPECT_EQ(other.payloads, sink.payloads) << cut;
    }
  };
  t.run(body());
}

TEST(ServiceStream, ACutStreamIsAnErrorAfterWhatCame) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    for (const bool framed : {false, true}) {  // the connection breaks, or the body ends without [DONE]
      t.upstream.script = t.upstream.stream({sse(kRole) + sse(kText)}, framed);
      KeepingSink sink;
      const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink);
      EXPECT_EQ(outcome.error().code, ErrorCode::kEngineFailed);
      EXPECT_THAT(sink.payloads, ElementsAre(kRole, kText));
    }
  };
  t.run(body());
}

TEST(ServiceStream, AnEndWithoutDoneCountsWhenTheAnswerHadEnded) {
  ServiceUnderTest t;
  t.upstream.script = t.upstream.stream({sse(kRole) + sse(kEnd)});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink));
  };
  t.run(body());
}

// The client has it all, and an error behind an answer's end would be a second end.
TEST(ServiceStream, ABreakBehindTheEndIsNoError) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    t.upstream.script = t.upstream.stream({sse(kRole) + sse(kText) + sse(kEnd)}, false);
    KeepingSink sink;
    EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink));
    EXPECT_THAT(sink.payloads, ElementsAre(kRole, kText, kEnd));
    // Of two completions the other one may be missing.
    const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}],"n":2})", true), &sink);
    EXPECT_EQ(outcome.error().code, ErrorCode::kEngineFailed);
  };
  t.run(body());
}

TEST(ServiceStream, AnEngineThatDoesNotHangUpIsNotWaitedFor) {
  ServiceUnderTest t;
  t.upstream.script = t.upstream.stall(whole());
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    EXPECT_TRUE(co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink));
    co_await t.upstream.until_cancelled(1);
  };
  t.run(body());
}

TEST(ServiceStream, AnErrorInsideTheStreamIsTranslated) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    for (const std::string& error :
         {std::string(R"({"error":{"code":400,"message":"odd","type":"invalid_request_error"}})"),
          std::string(R"({ "error" : { "message" : "odd", "code" : 400 } })"),
          std::string(R"({"object":"error","message":"odd","code":400})")}) {
      t.upstream.script = t.upstream.stream({sse(kRole) + sse(error) + sse(kText)});
      KeepingSink sink;
      const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink);
      EXPECT_FALSE(outcome);
      if (outcome) continue;
      EXPECT_EQ(outcome.error().code, ErrorCode::kInvalidArgument) << error;
      EXPECT_EQ(outcome.error().message, "odd");
      EXPECT_THAT(sink.payloads, ElementsAre(kRole));
    }
  };
  t.run(body());
}

TEST(ServiceStream, AFailingSinkEndsTheGeneration) {
  ServiceUnderTest t;
  t.upstream.script = t.upstream.endless(sse(kText));
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    sink.fail_after = 3;
    const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink);
    EXPECT_EQ(outcome.error().message, "the sink is full");
    co_await t.upstream.until_cancelled(1);
  };
  t.run(body());
}

TEST(ServiceStream, ASlowSinkSlowsTheEngine) {
  ServiceUnderTest t;
  t.upstream.script =
      t.upstream.endless(sse(R"({"choices":[{"delta":{"content":")" + std::string(60'000, 'x') + "\"}}]}"));
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    Event gate(t.loop.executor());
    sink.gate = &gate;
    CancelSource cancel;
    TaskGroup group(t.loop.executor());
    auto ask = [&]() -> Task<void> {
      (void)co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink, cancel.token());
    };
    group.spawn(ask());
    std::uint64_t before = 1;
    while (sink.payloads.empty() || t.upstream.sent != before) {  // until nothing moves any more
      before = t.upstream.sent;
      co_await t.settle();
    }
    EXPECT_LT(t.upstream.sent, 4'000'000U);
    sink.gate = nullptr;
    cancel.cancel();
    gate.notify();
    co_await group.join();
    co_await t.upstream.until_cancelled(1);
  };
  t.run(body());
}

TEST(ServiceStream, SeveralCompletionsArePutTogetherWithTheirSum) {
  ServiceUnderTest t;
  const std::string second = R"({"id":"c1","choices":[{"index":1,"delta":{"content":"two"},"finish_reason":"stop"}]})";
  const std::string more_usage = R"({"id":"c1","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":9}})";
  t.upstream.script = t.upstream.stream(
      {sse(kRole) + sse(second) + sse(kText) + sse(kEnd) + sse(kUsage) + sse(more_usage) + sse("[DONE]")});
  auto body = [&]() -> Task<void> {
    const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}],"n":2})"));
    EXPECT_TRUE(outcome);
    if (!outcome) co_return;
    EXPECT_EQ(outcome->usage.prompt_tokens, 4);
    EXPECT_EQ(outcome->usage.completion_tokens, 11);
    const auto answer = t.object(outcome->body);
    EXPECT_EQ(answer.at("object"), "chat.completion");
    EXPECT_EQ(answer.at("choices").as_array().size(), 2U);
    EXPECT_EQ(answer.at("choices").at(0).at("message").at("content"), "h\u00e9");
    EXPECT_EQ(answer.at("choices").at(0).at("finish_reason"), "length");
    EXPECT_EQ(answer.at("choices").at(1).at("message").at("content"), "two");
    EXPECT_EQ(answer.at("usage").at("total_tokens"), 15);
    EXPECT_EQ(t.upstream.seen.at(0).body.at("stream"), true);
  };
  t.run(body());
}

TEST(ServiceStream, NonsenseIsNoAnswer) {
  ServiceUnderTest t;
  auto body = [&]() -> Task<void> {
    t.upstream.script = t.upstream.stream({sse("not JSON") + sse("[DONE]")});
    EXPECT_EQ((co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}],"n":2})"))).error().code,
              ErrorCode::kEngineFailed);
    t.upstream.script = t.upstream.stream({"data: " + std::string(17 << 20, 'x')});
    KeepingSink sink;
    const auto outcome = co_await t.ask(t.chat(R"({"model":"m","messages":[{"role":"user"}]})", true), &sink);
    EXPECT_THAT(outcome.error().message, HasSubstr("malformed"));
    EXPECT_THAT(sink.payloads, IsEmpty());
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::inference
