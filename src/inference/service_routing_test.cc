// The door with several engines behind one name: retries, fallbacks, hedges, streams that break, shadows, time limits,
// answers from the cache.
#include <gmock/gmock.h>

#include "inference/service.h"
#include "inference/service_under_test.h"

namespace llm::inference {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kAnswer =
    R"({"id":"x","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hello"}}],)"
    R"("usage":{"prompt_tokens":7,"completion_tokens":3}})";

// A model "p" over the given replicas, asked in their order.
ServiceUnderTest::Options pool_of(std::size_t replicas, const std::function<void(router::ModelRouting&)>& change = {}) {
  ServiceUnderTest::Options options;
  options.replicas = replicas;
  router::ModelRouting model;
  for (std::size_t i = 0; i < replicas; ++i) {
    model.targets.push_back({.model = "r" + std::to_string(i) + "/x", .priority = static_cast<std::int32_t>(i)});
  }
  model.policy = router::Policy::kPriority;
  if (change) change(model);
  options.routing.models.emplace("p", model);
  return options;
}

Request chat(bool stream = false) {
  return ServiceUnderTest::chat(R"({"model":"p","messages":[{"role":"user","content":"hi"}]})", stream);
}

std::string delta(std::string_view text) {
  return sse(R"({"id":"c1","created":5,"model":"x","choices":[{"index":0,"delta":{"content":")" + std::string(text) +
             R"("},"finish_reason":null}]})");
}
std::string end(std::int64_t prompt, std::int64_t completion) {
  return sse(R"({"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})") +
         sse(R"({"id":"c1","choices":[],"usage":{"prompt_tokens":)" + std::to_string(prompt) +
             R"(,"completion_tokens":)" + std::to_string(completion) + "}}") +
         "data: [DONE]\n\n";
}

TEST(ServiceRouting, AnotherReplicaAnswersWhenOneFails) {
  ServiceUnderTest t(pool_of(2));
  t.replicas[0]->script = ScriptedUpstream::answer(500, R"({"error":{"message":"broken"}})");
  t.replicas[1]->script = ScriptedUpstream::answer(200, std::string(kAnswer));
  auto body = [&]() -> Task<void> {
    Served served;
    auto request = chat();
    request.options.on_served = [&](const Served& who) { served = who; };
    const auto outcome = co_await t.ask(std::move(request));
    EXPECT_TRUE(outcome);
    EXPECT_EQ(outcome->body, kAnswer);
    EXPECT_EQ(served.engine, "r1/x");
    EXPECT_EQ(served.attempt, 2U);
    EXPECT_EQ(t.replicas[0]->seen.size(), 1U);
    // The same words reach both.
    EXPECT_EQ(json::write(t.replicas[0]->seen.at(0).body), json::write(t.replicas[1]->seen.at(0).body));
  };
  t.run(body());
}

TEST(ServiceRouting, WhatIsWrongWithTheRequestIsNotTriedAgain) {
  ServiceUnderTest t(pool_of(2));
  for (auto& replica : t.replicas) replica->script = ScriptedUpstream::answer(400, R"({"error":{"message":"bad"}})");
  auto body = [&]() -> Task<void> {
    const auto outcome = co_await t.ask(chat());
    EXPECT_EQ(outcome.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(t.replicas[0]->seen.size() + t.replicas[1]->seen.size(), 1U);
  };
  t.run(body());
}

TEST(ServiceRouting, RetriesEndWithTheirNumberAndWithTheirBudget) {
  ServiceUnderTest t(pool_of(4, [](router::ModelRouting& model) { model.retries = 1; }));
  for (auto& replica : t.replicas) replica->script = ScriptedUpstream::answer(500, R"({"error":{"message":"no"}})");
  auto body = [&]() -> Task<void> {
    const auto asked = [&] {
      std::size_t count = 0;
      for (const auto& replica : t.replicas) count += replica->seen.size();
      return count;
    };
    EXPECT_FALSE(co_await t.ask(chat()));
    EXPECT_EQ(asked(), 2U);
    EXPECT_FALSE(co_await t.ask(chat()));
    EXPECT_FALSE(co_await t.ask(chat()));
    EXPECT_EQ(asked(), 6U);
    // Three retries are always allowed; a fourth within ten seconds needs twenty requests.
    EXPECT_FALSE(co_await t.ask(chat()));
    EXPECT_EQ(asked(), 7U);
  };
  t.run(body());
}

TEST(ServiceRouting, AFallbackAnswersForAModelThatCannot) {
  auto options = pool_of(1, [](router::ModelRouting& model) { model.fallbacks = {"m"}; });
  ServiceUnderTest t(options);
  t.replicas[0]->script = ScriptedUpstream::answer(503, R"({"error":{"message":"full"}})");
  t.upstream.script = ScriptedUpstream::answer(200, std::string(kAnswer));
  auto body = [&]() -> Task<void> {
    const auto outcome = co_await t.ask(chat());
    EXPECT_TRUE(outcome);
    EXPECT_EQ(outcome->model, "m");
    EXPECT_EQ(t.upstream.seen.size(), 1U);
    EXPECT_TRUE(t.log.contains("fallback"));
  };
  t.run(body());
}

TEST(ServiceRouting, NothingIsRepeatedOnceTheClientHasAPart) {
  ServiceUnderTest t(pool_of(2));
  t.replicas[0]->script = ScriptedUpstream::stream({delta("one")}, false);
  t.replicas[1]->script = ScriptedUpstream::stream({delta("two") + end(4, 1)});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    const auto outcome = co_await t.ask(chat(true), &sink);
    EXPECT_EQ(outcome.error().code, ErrorCode::kEngineFailed);
    EXPECT_EQ(sink.payloads.size(), 1U);
    EXPECT_THAT(t.replicas[1]->seen, IsEmpty());
  };
  t.run(body());
}

TEST(ServiceRouting, ABrokenStreamGoesOnElsewhereWhereThatIsAllowed) {
  auto options = pool_of(2, [](router::ModelRouting& model) { model.broken_stream = router::BrokenStream::kContinue; });
  options.change_replica = [](engines::ProviderSettings& settings) {
    settings.preset = dialects::ProviderKind::kVllm;
    settings.health_path = "/models";
  };
  ServiceUnderTest t(options);
  t.replicas[0]->script = ScriptedUpstream::stream({delta("one "), delta("two ")}, false);
  t.replicas[1]->script = ScriptedUpstream::stream({delta("three") + end(9, 1)});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    auto request = chat(true);
    request.usage_wanted = true;
    request.body["max_tokens"] = 10;
    const auto outcome = co_await t.ask(std::move(request), &sink);
    EXPECT_TRUE(outcome);
    std::string text;
    for (const auto& payload : sink.payloads) {
      const auto event = ServiceUnderTest::object(payload);
      EXPECT_EQ(json::string_or(event, "id"), "c1");
      const auto& choices = event.at("choices").as_array();
      if (choices.empty()) continue;
      text += json::string_or(choices[0].at("delta").as_object(), "content");
    }
    EXPECT_EQ(text, "one two three");
    EXPECT_THAT(sink.payloads.back(), HasSubstr(R"("usage":{"prompt_tokens":7,"completion_tokens":3)"));
    const auto& sent = t.replicas[1]->seen.at(0).body;
    EXPECT_EQ(json::write(sent.at("messages").as_array().back()), R"({"role":"assistant","content":"one two "})");
    EXPECT_EQ(sent.at("max_tokens").as_int64(), 8);
    EXPECT_EQ(sent.at("continue_final_message"), true);
  };
  t.run(body());
}

TEST(ServiceRouting, ARequestThatCannotBeContinuedIsNot) {
  auto options = pool_of(2, [](router::ModelRouting& model) { model.broken_stream = router::BrokenStream::kContinue; });
  ServiceUnderTest t(options);
  t.replicas[0]->script = ScriptedUpstream::stream({delta("one")}, false);
  t.replicas[1]->script = ScriptedUpstream::stream({delta("two") + end(4, 1)});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    auto request = chat(true);
    request.body["response_format"] = json::object{{"type", "json_object"}};
    EXPECT_FALSE(co_await t.ask(std::move(request), &sink));
    EXPECT_THAT(t.replicas[1]->seen, IsEmpty());
  };
  t.run(body());
}

TEST(ServiceRouting, ASilentEngineIsGivenUpForAnother) {
  auto options = pool_of(2, [](router::ModelRouting& model) { model.first_token_timeout = json::Duration{1}; });
  ServiceUnderTest t(options);
  t.replicas[0]->script = t.replicas[0]->silence();
  t.replicas[1]->script = ScriptedUpstream::stream({delta("two") + end(4, 1)});
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    // The wheel's next tick is far later than the answer of an engine that speaks at once.
    const auto outcome = co_await t.ask(chat(true), &sink);
    EXPECT_TRUE(outcome);
    co_await t.replicas[0]->until_cancelled(1);
  };
  t.run(body());
}

TEST(ServiceRouting, APauseThatIsTooLongIsAnError) {
  auto options = pool_of(1, [](router::ModelRouting& model) { model.stall_timeout = json::Duration{1}; });
  ServiceUnderTest t(options);
  t.replicas[0]->script = t.replicas[0]->stall(delta("one"));
  auto body = [&]() -> Task<void> {
    KeepingSink sink;
    const auto outcome = co_await t.ask(chat(true), &sink);
    EXPECT_EQ(outcome.error().code, ErrorCode::kEngineTimeout);
    co_await t.replicas[0]->until_cancelled(1);
  };
  t.run(body());
}

TEST(ServiceRouting, TheTimeOfARequestIsItsOwn) {
  ServiceUnderTest t(pool_of(1));
  t.replicas[0]->script = t.replicas[0]->silence();
  auto body = [&]() -> Task<void> {
    auto request = chat();
    request.options.timeout = std::chrono::milliseconds(1);
    const auto outcome = co_await t.ask(std::move(request));
    EXPECT_EQ(outcome.error().code, ErrorCode::kEngineTimeout);
    EXPECT_THAT(outcome.error().message, HasSubstr("within the 1 ms"));
  };
  t.run(body());
}

TEST(ServiceRouting, ASlowEmbeddingIsAskedForTwice) {
  auto options = pool_of(2, [](router::ModelRouting& model) { model.hedge_after = json::Duration{1}; });
  ServiceUnderTest t(options);
  t.replicas[0]->script = t.replicas[0]->silence();
  t.replicas[1]->script =
      ScriptedUpstream::answer(200, R"({"data":[{"embedding":[1],"index":0}],"usage":{"prompt_tokens":1}})");
  auto body = [&]() -> Task<void> {
    auto request = ServiceUnderTest::chat(R"({"model":"p","input":"a"})");
    request.operation = Operation::kEmbedding;
    const auto outcome = co_await t.ask(std::move(request));
    EXPECT_TRUE(outcome);
    co_await t.replicas[0]->until_cancelled(1);
    EXPECT_EQ(t.router.find("r0/x")->requests_in_flight(), 0);
    EXPECT_EQ(t.router.find("r1/x")->requests_in_flight(), 0);
  };
  t.run(body());
}

TEST(ServiceRouting, OfTwoTheOneWhoseAnswerItIsIsNamed) {
  auto options = pool_of(2, [](router::ModelRouting& model) { model.hedge_after = json::Duration{1}; });
  ServiceUnderTest t(options);
  Event slow_began(t.loop.executor());
  bool began = false;
  // The slow one's head comes after the fast one's, and before the rest of its answer.
  t.replicas[0]->script = [&](net::Exchange& exchange, const json::object&) -> Task<void> {
    co_await t.replicas[1]->until_seen(1);
    co_await exchange.begin_stream(200, "application/json");
    while (!exchange.cancelled().cancelled()) co_await boost::asio::post(t.loop.executor(), use_task);
  };
  t.replicas[1]->script = [&](net::Exchange& exchange, const json::object&) -> Task<void> {
    co_await exchange.begin_stream(200, "application/json");
    while (!began) co_await slow_began.wait();
    co_await exchange.write(R"({"data":[{"embedding":[1],"index":0}],"usage":{"prompt_tokens":1}})");
    co_await exchange.end_stream();
  };
  auto body = [&]() -> Task<void> {
    std::vector<std::string> served;
    auto request = ServiceUnderTest::chat(R"({"model":"p","input":"a"})");
    request.operation = Operation::kEmbedding;
    request.options.on_served = [&](const Served& who) {
      served.emplace_back(who.engine);
      if (who.engine != "r0/x") return;
      began = true;
      slow_began.notify();
    };
    EXPECT_TRUE(co_await t.ask(std::move(request)));
    EXPECT_EQ(served.back(), "r1/x");
  };
  t.run(body());
}

TEST(ServiceRouting, ThreeFailuresOpenTheBreaker) {
  auto options = pool_of(1, [](router::ModelRouting& model) { model.retries = 0; });
  ServiceUnderTest t(options);
  t.replicas[0]->script = ScriptedUpstream::answer(500, R"({"error":{"message":"no"}})");
  auto body = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(co_await t.ask(chat()));
    const auto refused = co_await t.ask(chat());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
    EXPECT_GT(refused.error().retry_after_s, 30);
    EXPECT_EQ(t.replicas[0]->seen.size(), 3U);
  };
  t.run(body());
}

TEST(ServiceRouting, WhatMayNotLeaveTheMachineIsRefused) {
  auto options = pool_of(2, [](router::ModelRouting& model) {
    model.locality = router::LocalityRule::kLocalOnly;
    model.fallbacks = {"r1/x"};
  });
  options.change_replica = [](engines::ProviderSettings& settings) { settings.locality = engines::Locality::kRemote; };
  ServiceUnderTest t(options);
  auto body = [&]() -> Task<void> {
    const auto refused = co_await t.ask(chat());
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_THAT(refused.error().message, HasSubstr("local_only"));
    EXPECT_THAT(t.replicas[0]->seen, IsEmpty());
    EXPECT_THAT(t.replicas[1]->seen, IsEmpty());
  };
  t.run(body());
}

// A split, a target or a shadow that leads to a model which may not leave keeps its requests here, whatever the name
// that was asked for may do.
TEST(ServiceRouting, TheRuleOfEveryNameOnTheWayHolds) {
  const std::vector<std::function<void(router::ModelRouting&)>> ways{
      [](router::ModelRouting& model) {
        model.targets.clear();
        model.split = {{.model = "kept"}};
      },
      [](router::ModelRouting& model) { model.targets = {{.model = "r1/x"}}; },
      [](router::ModelRouting& model) {
        model.targets = {{.model = "r1/x"}};
        model.fallbacks = {"kept"};
      },
  };
  for (const auto& way : ways) {
    auto options = pool_of(2, way);
    router::ModelRouting kept;
    kept.locality = router::LocalityRule::kLocalOnly;
    options.routing.models.emplace("r1/x", kept);
    kept.targets = {{.model = "r0/x"}};
    options.routing.models.emplace("kept", kept);
    options.change_replica = [](engines::ProviderSettings& settings) {
      settings.locality = engines::Locality::kRemote;
    };
    ServiceUnderTest t(options);
    auto body = [&]() -> Task<void> {
      const auto refused = co_await t.ask(chat());
      EXPECT_FALSE(refused);
      if (!refused) {
        EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
      }
      EXPECT_THAT(t.replicas[0]->seen, IsEmpty());
      EXPECT_THAT(t.replicas[1]->seen, IsEmpty());
    };
    t.run(body());
  }
}

// Who is told of a request that left the machine hears of it whatever comes of it.
TEST(ServiceRouting, WhatHasLeftTheMachineIsToldEvenWhenItFails) {
  auto options = pool_of(1);
  options.change_replica = [](engines::ProviderSettings& settings) { settings.locality = engines::Locality::kRemote; };
  ServiceUnderTest t(options);
  t.replicas[0]->script = ScriptedUpstream::answer(400, R"({"error":{"message":"bad"}})");
  auto body = [&]() -> Task<void> {
    std::vector<bool> left;
    auto request = chat();
    request.options.on_served = [&](const Served& who) { left.push_back(who.leaves_machine); };
    EXPECT_FALSE(co_await t.ask(std::move(request)));
    EXPECT_EQ(left, std::vector<bool>{true});
  };
  t.run(body());
}

TEST(ServiceRouting, AShadowGetsACopyAndNobodyWaitsForIt) {
  auto options = pool_of(2, [](router::ModelRouting& model) {
    model.targets.pop_back();
    model.shadow = {{.model = "r1/x", .weight = 1}};
  });
  ServiceUnderTest t(options);
  t.replicas[0]->script = ScriptedUpstream::answer(200, std::string(kAnswer));
  t.replicas[1]->script = t.replicas[1]->silence();
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(co_await t.ask(chat()));
    co_await t.replicas[1]->until_seen(1);
    EXPECT_EQ(json::string_or(t.replicas[1]->seen.at(0).body, "model"), "x");
  };
  t.run(body());
}

TEST(ServiceRouting, ACallerStaysWithItsVersion) {
  auto options = pool_of(2, [](router::ModelRouting& model) {
    model.split = {{.model = "r0/x", .weight = 1}, {.model = "r1/x", .weight = 1}};
    model.targets.clear();
  });
  ServiceUnderTest t(options);
  for (auto& replica : t.replicas) replica->script = ScriptedUpstream::answer(200, std::string(kAnswer));
  auto body = [&]() -> Task<void> {
    for (int user = 0; user < 20; ++user) {
      const auto before = t.replicas[0]->seen.size();
      for (int i = 0; i < 3; ++i) {
        auto request = chat();
        request.body["user"] = "u" + std::to_string(user);
        EXPECT_TRUE(co_await t.ask(std::move(request)));
      }
      EXPECT_EQ((t.replicas[0]->seen.size() - before) % 3, 0U);
    }
    EXPECT_GT(t.replicas[0]->seen.size(), 0U);
    EXPECT_GT(t.replicas[1]->seen.size(), 0U);
  };
  t.run(body());
}

TEST(ServiceRouting, TheSameQuestionIsAnsweredFromTheCache) {
  ServiceUnderTest t(pool_of(1));
  t.replicas[0]->script = ScriptedUpstream::answer(200, std::string(kAnswer));
  auto body = [&]() -> Task<void> {
    std::vector<std::string> told;
    for (int i = 0; i < 2; ++i) {
      auto request = chat();
      request.body["temperature"] = 0;
      request.options.cache = true;
      request.options.on_served = [&](const Served& who) { told.emplace_back(who.cache); };
      const auto outcome = co_await t.ask(std::move(request));
      EXPECT_TRUE(outcome);
      EXPECT_THAT(outcome->body, HasSubstr(R"("content":"hello")"));
    }
    EXPECT_EQ(told, (std::vector<std::string>{"miss", "hit"}));
    EXPECT_EQ(t.replicas[0]->seen.size(), 1U);
    // A stream is made of it.
    KeepingSink sink;
    auto request = chat(true);
    request.body["temperature"] = 0;
    request.options.cache = true;
    EXPECT_TRUE(co_await t.ask(std::move(request), &sink));
    EXPECT_EQ(t.replicas[0]->seen.size(), 1U);
    EXPECT_FALSE(sink.payloads.empty());
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::inference
