#include "router/routing_settings.h"

#include <gmock/gmock.h>

namespace llm::router {
namespace {

using ::testing::HasSubstr;

RoutingSettings settings_of(std::string_view text) {
  auto decoded = json::decode<RoutingSettings>(json::parse(text).value());
  EXPECT_TRUE(decoded) << to_string(decoded.error());
  return decoded.value_or(RoutingSettings{});
}
Error wrong(std::string_view text) {
  const auto checked = check_routing(settings_of(text));
  EXPECT_FALSE(checked) << text;
  return checked ? Error{} : checked.error();
}

TEST(RoutingSettings, ReadsEverything) {
  const auto settings = settings_of(R"({
    "policy": "prefix", "locality": "local_only", "retries": 1, "retry_budget": 0.5, "broken_stream": "continue",
    "timeout": "5m", "hedge_after": "200ms", "bounded_load": 1.5, "breaker": {"failures": 5, "open_for": "10s"},
    "outlier": {"error_rate": 0.3, "window": 50, "eject_for": "1m", "most_ejected": 0.25},
    "health": {"interval": 0, "timeout": "1s", "slow_start": 0},
    "models": {"m": {"targets": [{"model": "a", "weight": 2, "priority": -1}, {"model": "ollama/b"}],
                     "shadow": [{"model": "c", "weight": 0.1}], "fallbacks": ["d", "e"], "policy": "priority",
                     "stall_timeout": "10s", "cache": false}}})");
  EXPECT_EQ(settings.policy, Policy::kPrefix);
  EXPECT_EQ(settings.breaker.open_for.ms, 10'000);
  EXPECT_EQ(settings.outlier.window, 50U);
  const auto& model = settings.models.at("m");
  EXPECT_EQ(model.targets[0].priority, -1);
  EXPECT_EQ(model.targets[1].weight, 1);
  EXPECT_EQ(model.policy, Policy::kPriority);
  EXPECT_EQ(model.cache, false);
  EXPECT_TRUE(check_routing(settings));
}

TEST(RoutingSettings, DefaultsAreWhatTheReferenceSays) {
  const auto settings = settings_of("{}");
  EXPECT_TRUE(check_routing(settings));
  EXPECT_EQ(settings.breaker.failures, 3U);
  EXPECT_EQ(settings.breaker.open_for.ms, 60'000);
  for (const auto& row : json::reference<RoutingSettings>()) EXPECT_FALSE(row.description.empty()) << row.path;
}

TEST(RoutingSettings, BoundsPointAtThePlace) {
  for (const auto& [text, pointer] : std::vector<std::pair<std::string, std::string>>{
           {R"({"bounded_load": 0.9})", "/bounded_load"},
           {R"({"breaker": {"failures": 0}})", "/breaker/failures"},
           {R"({"outlier": {"error_rate": 0}})", "/outlier/error_rate"},
           {R"({"outlier": {"window": 257}})", "/outlier/window"},
           {R"({"outlier": {"most_ejected": 1.1}})", "/outlier/most_ejected"},
           {R"({"timeout": -1})", "/timeout"},
           {R"({"policy": "random"})", "/policy"},
           {R"({"models": {"m": {"targets": [{"weight": 1}]}}})", "/models/m/targets/0"},
           {R"({"models": {"m": {"split": [{"model": "a", "weight": -1}]}}})", "/models/m/split/0/weight"},
           {R"({"models": {"m": {"fallbacks": [""]}}})", "/models/m/fallbacks/0"}}) {
    const auto decoded = json::decode<RoutingSettings>(json::parse(text).value());
    ASSERT_FALSE(decoded) << text;
    EXPECT_THAT(decoded.error().pointer, ::testing::StartsWith(pointer)) << text;
  }
}

TEST(RoutingSettings, WeightsAndShares) {
  EXPECT_EQ(wrong(R"({"models": {"m": {"targets": [{"model": "a"}, {"model": "b", "weight": 0}]}}})").pointer,
            "/models/m/targets/1/weight");
  EXPECT_EQ(wrong(R"({"models": {"m": {"split": [{"model": "a", "weight": 0}]}}})").pointer,
            "/models/m/split/0/weight");
  EXPECT_EQ(wrong(R"({"models": {"a/b": {"shadow": [{"model": "a", "weight": 1.5}]}}})").pointer,
            "/models/a~1b/shadow/0/weight");
  EXPECT_TRUE(check_routing(settings_of(R"({"models": {"m": {"shadow": [{"model": "a", "weight": 0}]}}})")));
  EXPECT_EQ(wrong(R"({"models": {"m": {"targets": [{"model": "a"}], "split": [{"model": "b"}]}}})").pointer,
            "/models/m/split");
}

TEST(RoutingSettings, NoCircles) {
  const auto self = wrong(R"({"models": {"m": {"targets": [{"model": "a"}, {"model": "m"}]}}})");
  EXPECT_EQ(self.pointer, "/models/m/targets/1/model");
  EXPECT_THAT(self.message, HasSubstr("m → m"));
  EXPECT_EQ(wrong(R"({"models": {"m": {"fallbacks": ["m"]}}})").pointer, "/models/m/fallbacks/0");
  const auto circle = wrong(R"({"models": {"a": {"split": [{"model": "b"}]}, "b": {"fallbacks": ["x", "c"]},
                                           "c": {"targets": [{"model": "a"}]}}})");
  EXPECT_EQ(circle.pointer, "/models/c/targets/0/model");
  EXPECT_THAT(circle.message, HasSubstr("a → b → c → a"));
  // The same name twice is none, nor is a split between a model and its successor.
  EXPECT_TRUE(check_routing(settings_of(R"({"models": {"a": {"fallbacks": ["b", "c"]}, "b": {"fallbacks": ["c"]},
                                            "q": {"split": [{"model": "q", "weight": 95}, {"model": "q2", "weight": 5}]}}})")));
}

}  // namespace
}  // namespace llm::router
