// What requests may take, in one gateway: all limits or none, giving back, debts, quotas and their periods, addresses,
// changes of policy, and what refusals say.
#include "access/limits/limiter.h"

#include <gtest/gtest.h>
#include <optional>
#include <vector>

#include "access/limits/limiter_fixture.h"

namespace llm::access {
namespace {

using namespace std::chrono_literals;

class LimiterTest : public ::testing::Test {
 protected:
  Limiter& limiter(LimiterSettings settings = {}) {
    if (!limiter_) limiter_ = std::make_unique<Limiter>(std::move(settings), nullptr, "g1", clock_.ns());
    return *limiter_;
  }
  Result<Reservation> reserve(const Principal& principal, const Demand& demand = {}, std::string_view model = "m") {
    auto done = limiter().try_reserve(principal, model, demand, &report_);
    if (!done) return fail(ErrorCode::kInternal, "a limiter in memory has nothing to fetch");
    return std::move(*done);
  }
  // How many requests pass, one after the other, each settled as it was reserved.
  int passes(const Principal& principal, int most = 100, std::string_view model = "m") {
    int count = 0;
    for (; count < most; ++count) {
      auto one = reserve(principal, {}, model);
      if (!one) break;
      one->settle(0, 0);
    }
    return count;
  }

  ManualClock clock_;
  std::unique_ptr<Limiter> limiter_;
  LimitReport report_;
};

TEST_F(LimiterTest, WhoHasNoLimitGetsAnEmptyReservation) {
  auto one = reserve(key_of("a", {}));
  ASSERT_TRUE(one);
  EXPECT_TRUE(one->empty());
  EXPECT_EQ(report_.requests.limit, -1);
  EXPECT_FALSE(limiter().output_limited(key_of("a", {}), "m"));
}

TEST_F(LimiterTest, LimitsRequests) {
  const Principal ci = key_of("ci", {.requests = per_minute(60, 3)});
  EXPECT_EQ(passes(ci), 3);
  clock_.advance(1s);
  EXPECT_EQ(passes(ci), 1);
  const auto refused = reserve(ci);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(refused.error().message, "key \"ci\" is limited to 60 requests per minute; try again in 1 s");
  EXPECT_EQ(refused.error().retry_after_s, 1);
  EXPECT_EQ(
      refused.error().details,
      (std::vector<ErrorDetail>{{"limit", 60}, {"scope", std::string("key")}, {"kind", std::string("requests")}}));
  EXPECT_EQ(report_.requests.limit, 60);
  EXPECT_EQ(report_.requests.remaining, 0);
  EXPECT_EQ(report_.requests.reset_ms, 3'000);
  EXPECT_EQ(report_.requests.window_ms, 60'000);
  EXPECT_EQ(report_.requests.name, "key");
}

TEST_F(LimiterTest, KeysAreCountedApartAndProjectsTogether) {
  const LimitPolicy project{.requests = per_minute(5)};
  const Principal a = key_of("a", {.requests = per_minute(3)}, project, "team");
  const Principal b = key_of("b", {.requests = per_minute(3)}, project, "team");
  EXPECT_EQ(passes(a), 3);
  EXPECT_EQ(passes(b), 2);
  EXPECT_EQ(reserve(b).error().message, "project \"team\" is limited to 5 requests per minute; try again in 12 s");
  EXPECT_EQ(passes(key_of("b", {.requests = per_minute(3)}, project, "other")), 1)
      << "the same key, of which 2 are used";
}

TEST_F(LimiterTest, TakesFromAllLimitsOrNone) {
  const LimitPolicy project{.input_tokens = per_minute(100)};
  const Principal a = key_of("a", {.requests = per_minute(10), .concurrent = 5, .tokens_per_day = 1'000}, project, "p");
  auto one = reserve(a, {.input_tokens = 60});
  ASSERT_TRUE(one);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(reserve(a, {.input_tokens = 60}));
  std::vector<Reservation> more;
  for (int i = 0; i < 4; ++i) {
    auto next = reserve(a, {.input_tokens = 10});
    ASSERT_TRUE(next) << i;
    more.push_back(std::move(*next));
  }
  EXPECT_EQ(reserve(a).error().message, "key \"a\" is limited to 5 requests at once; try again when one has ended");
  more.clear();
  EXPECT_EQ(reserve(a)->report().requests.remaining, 8);
}

TEST_F(LimiterTest, GivesEverythingBackThatIsNotSettled) {
  const Principal a = key_of("a", {.requests = per_minute(2),
                                   .input_tokens = per_minute(100),
                                   .output_tokens = per_minute(100),
                                   .concurrent = 1,
                                   .requests_per_day = 2,
                                   .tokens_per_month = 200});
  for (int i = 0; i < 20; ++i) {
    auto one = reserve(a, {.input_tokens = 100, .output_tokens = 100});
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_EQ(report_.requests.remaining, 1);
    EXPECT_EQ(report_.input_tokens.remaining, 0);
    EXPECT_EQ(report_.output_tokens.remaining, 0);
  }
  auto kept = reserve(a, {.input_tokens = 100, .output_tokens = 100});
  ASSERT_TRUE(kept);
  kept->keep_request();
  kept = Reservation();
  auto last = reserve(a, {.input_tokens = 100, .output_tokens = 100});
  ASSERT_TRUE(last) << "the tokens came back";
  EXPECT_EQ(report_.requests.remaining, 0) << "the request did not";
  last->settle(10, 20);
  EXPECT_FALSE(reserve(a));
  EXPECT_EQ(report_.input_tokens.remaining, 90);
  EXPECT_EQ(report_.output_tokens.remaining, 80);
}

TEST_F(LimiterTest, ReservationsMove) {
  const Principal a = key_of("a", {.concurrent = 1});
  auto one = reserve(a);
  ASSERT_TRUE(one);
  Reservation first = std::move(*one);
  one = Reservation();
  EXPECT_FALSE(reserve(a));
  Reservation second;
  second = std::move(first);
  first = Reservation();
  EXPECT_FALSE(reserve(a));
  second = Reservation();
  EXPECT_TRUE(reserve(a));
}

TEST_F(LimiterTest, AReservationOutlivesItsLimiter) {
  auto one = reserve(key_of("a", {.requests = per_minute(1), .concurrent = 1}));
  limiter_.reset();
  one->settle(1, 1);
}

TEST_F(LimiterTest, ADemandAboveTheBurstCountsAsTheBurst) {
  const Principal a = key_of("a", {.input_tokens = per_minute(100)});
  auto one = reserve(a, {.input_tokens = 5'000});
  ASSERT_TRUE(one) << "else it would never be granted";
  one->settle(5'000, 0);
  const auto refused = reserve(a, {.input_tokens = 1});
  EXPECT_EQ(refused.error().message, "key \"a\" is limited to 100 input tokens per minute; try again in 2941 s")
      << "and the rest is a debt";
  clock_.advance(2'941s);
  EXPECT_TRUE(reserve(a, {.input_tokens = 1}));
}

TEST_F(LimiterTest, SettlesTheTruth) {
  const Principal a = key_of("a", {.output_tokens = per_minute(1'000), .tokens_per_day = 10'000});
  auto one = reserve(a, {.input_tokens = 50, .output_tokens = 500});
  one->settle(40, 620);
  (void)reserve(a);
  EXPECT_EQ(report_.output_tokens.remaining, 380);
  EXPECT_EQ(report_.input_tokens.remaining, 10'000 - 660) << "of the quota";
  reserve(a)->settle(INT64_MAX, INT64_MAX);
  EXPECT_FALSE(reserve(a, {.output_tokens = 1}));
  const Principal b = key_of("b", {.output_tokens = per_minute(1'000)});
  reserve(b, {.output_tokens = -7})->settle(-5, -5);
  (void)reserve(b);
  EXPECT_EQ(report_.output_tokens.remaining, 1'000);
}

TEST_F(LimiterTest, QuotasOfDaysAndMonths) {
  // 2026-11-30T23:59:58Z
  clock_.set(1'796'083'198'000'000'000);
  const Principal a = key_of("a", {.requests_per_day = 3}, {.tokens_per_month = 1'000'000}, "x");
  EXPECT_EQ(passes(a), 3);
  EXPECT_EQ(reserve(a).error().message,
            "key \"a\" has used its 3 requests of today; it starts again on 2026-12-01T00:00:00Z");
  EXPECT_EQ(reserve(a).error().retry_after_s, 2);
  const Principal b = key_of("b", {}, {.tokens_per_month = 1'000'000}, "x");
  reserve(b, {.input_tokens = 1'000'000})->settle(999'990, 0);
  const auto refused = reserve(b, {.output_tokens = 500});
  EXPECT_EQ(
      refused.error().message,
      "project \"x\" has 10 left of its 1,000,000 tokens of this month, and this request may need 500; ask for less, "
      "or wait until 2026-12-01T00:00:00Z");
  reserve(b, {.output_tokens = 10})->settle(0, 10);
  EXPECT_EQ(reserve(b).error().message,
            "project \"x\" has used its 1,000,000 tokens of this month; it starts again on 2026-12-01T00:00:00Z");
  EXPECT_EQ(reserve(b).error().details[2].value, (std::variant<std::int64_t, std::string>("tokens_per_month")));
  clock_.advance(1'999ms);
  EXPECT_FALSE(reserve(b));
  EXPECT_FALSE(reserve(a));
  clock_.advance(1ms);
  EXPECT_TRUE(reserve(b));
  EXPECT_EQ(passes(a), 3);
}

TEST_F(LimiterTest, AReservationBelongsToThePeriodItWasMadeIn) {
  clock_.set(1'796'083'198'000'000'000);
  const Principal a = key_of("a", {.tokens_per_day = 100});
  auto before = reserve(a, {.input_tokens = 100});
  auto charged = reserve(a, {.input_tokens = 100});
  ASSERT_TRUE(before);
  EXPECT_FALSE(charged);
  clock_.advance(3s);
  auto after = reserve(a, {.input_tokens = 60});
  ASSERT_TRUE(after);
  before->settle(500, 0);  // neither a debt nor a gift to the new day
  EXPECT_TRUE(reserve(a, {.input_tokens = 40}));
  EXPECT_FALSE(reserve(a, {.input_tokens = 41}));
  // A clock that is set back does not open the old day again, nor empty the new one.
  clock_.advance(-3s);
  EXPECT_FALSE(reserve(a, {.input_tokens = 41}));
}

TEST_F(LimiterTest, AQuotaOfNothingLetsNothingThrough) {
  EXPECT_FALSE(reserve(key_of("a", {.requests_per_month = 0})));
  EXPECT_FALSE(reserve(key_of("b", {.tokens_per_day = 0})));
}

TEST_F(LimiterTest, OtherWindowsAndSingularsInMessages) {
  const Principal a = key_of("a", {.requests = Rate{.count = 1, .window = json::Duration{90'000}, .burst = {}}});
  EXPECT_EQ(passes(a), 1);
  EXPECT_EQ(reserve(a).error().message, "key \"a\" is limited to 1 request in 1 min 30 s; try again in 90 s");
}

TEST_F(LimiterTest, SaysTheLongestWait) {
  const Principal a = key_of("a", {.requests = per_minute(60, 1)}, {.requests = per_minute(1)}, "p");
  EXPECT_EQ(passes(a), 1);
  EXPECT_EQ(reserve(a).error().retry_after_s, 60) << "trying again in one second would be in vain";
}

TEST_F(LimiterTest, DefaultsHoldWhereNothingElseIsSaid) {
  limiter({.defaults = {.key = {.requests = per_minute(2), .concurrent = 1}, .project = {.requests = per_minute(7)}}});
  EXPECT_EQ(passes(key_of("a", {})), 2);
  EXPECT_EQ(passes(key_of("b", {.requests = per_minute(4)})), 4);
  auto one = reserve(key_of("c", {.input_tokens = per_minute(5)}));
  ASSERT_TRUE(one);
  EXPECT_FALSE(reserve(key_of("c", {.input_tokens = per_minute(5)}))) << "one at once, by the default";
  EXPECT_EQ(passes(key_of("d", {.requests = per_minute(100), .concurrent = 9})), 0) << "the project's seven are used";
}

TEST_F(LimiterTest, AChangeOfPolicyKeepsTheCounts) {
  EXPECT_EQ(passes(key_of("a", {.requests = per_minute(10), .requests_per_day = 50})), 10);
  EXPECT_EQ(passes(key_of("a", {.requests = per_minute(25), .requests_per_day = 50})), 15);
  EXPECT_EQ(passes(key_of("a", {.requests = per_minute(25), .requests_per_day = 50})), 0);
  EXPECT_EQ(passes(key_of("a", {.requests_per_day = 30})), 5) << "25 of the day are used";
  EXPECT_EQ(passes(key_of("a", {})), 100);
  EXPECT_EQ(passes(key_of("a", {.requests = per_minute(5)})), 0) << "what was used while it was 25";
}

TEST_F(LimiterTest, ModelsHaveLimitsOverAllCallers) {
  limiter({.defaults = {.models = {{"llama*", {.requests = per_minute(3)}}, {"*:70b", {.concurrent = 1}}}}});
  const Principal local;
  EXPECT_EQ(passes(local, 2, "llama3:8b"), 2);
  EXPECT_EQ(passes(key_of("a", {}), 9, "llama3:8b"), 1);
  EXPECT_EQ(reserve(local, {}, "llama3:8b").error().message,
            "model \"llama3:8b\" is limited to 3 requests per minute; try again in 20 s");
  EXPECT_EQ(passes(local, 9, "llama3:70b"), 3) << "each model for itself";
  EXPECT_EQ(passes(local, 9, "qwen"), 9);
  auto one = reserve(local, {}, "qwen:70b");
  EXPECT_FALSE(reserve(local, {}, "qwen:70b"));
}

TEST_F(LimiterTest, AddressesAreCountedOverAllTheirKeys) {
  limiter({.defaults = {.address = {.requests = per_minute(3)}}});
  const auto from = [](const std::string& key, const std::string& address) {
    Principal principal = key_of(key, {});
    principal.address = address;
    return principal;
  };
  EXPECT_EQ(passes(from("a", "192.0.2.1"), 2), 2);
  EXPECT_EQ(passes(from("b", "192.0.2.1")), 1);
  EXPECT_EQ(reserve(from("b", "192.0.2.1")).error().message,
            "address 192.0.2.1 is limited to 3 requests per minute; try again in 20 s");
  EXPECT_EQ(passes(from("b", "::ffff:192.0.2.1")), 0) << "the same over another socket";
  EXPECT_EQ(passes(from("a", "192.0.2.2")), 3);
  EXPECT_EQ(passes(from("a", "2001:db8::1")), 3);
  EXPECT_EQ(passes(from("a", "2001:db8::ffff:2")), 0) << "one network of 64 bits";
  EXPECT_EQ(passes(from("a", "2001:db8:0:1::1")), 3);
  EXPECT_EQ(passes(from("a", "")), 100) << "a Unix socket has none";
  EXPECT_EQ(passes({.address = "192.0.2.1"}), 100) << "nor has the local user a limit";
}

TEST_F(LimiterTest, RemembersOnlySoManyAddresses) {
  limiter({.defaults = {.address = {.requests = per_minute(1), .concurrent = 1}}, .max_addresses = 4});
  const auto from = [](int last) {
    Principal principal = key_of("a", {});
    principal.address = "192.0.2." + std::to_string(last);
    return principal;
  };
  auto held = reserve(from(0));
  ASSERT_TRUE(held);
  held->keep_request();
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(passes(from(i)), 1);
  EXPECT_EQ(passes(from(1)), 0) << "used last";
  for (int i = 4; i < 100; ++i) EXPECT_EQ(passes(from(i)), 1) << i;
  EXPECT_FALSE(reserve(from(0))) << "a running request keeps its address";
  EXPECT_EQ(passes(from(2)), 1) << "forgotten: memory is bounded";
  // An idle one goes before one that is counted.
  clock_.advance(60s);
  EXPECT_EQ(passes(from(99)), 1);
  EXPECT_EQ(passes(from(200)), 1);
  EXPECT_EQ(passes(from(201)), 1);
  EXPECT_EQ(passes(from(99)), 0);
}

TEST_F(LimiterTest, SaysHowMuchAnAnswerMayHave) {
  const Principal a = key_of("a", {.output_tokens = per_minute(500)}, {.tokens_per_day = 1'000}, "p");
  EXPECT_EQ(limiter().output_limited(a, "m"), 500);
  auto one = reserve(a, {.input_tokens = 300, .output_tokens = 400});
  EXPECT_EQ(limiter().output_limited(a, "m"), 100);
  clock_.advance(60s);
  EXPECT_EQ(limiter().output_limited(a, "m"), 300) << "of the quota";
  one->settle(300, 700);
  EXPECT_EQ(limiter().output_limited(a, "m"), 1) << "and reserving it says why not";
  EXPECT_FALSE(limiter().output_limited(key_of("b", {.requests = per_minute(1), .requests_per_day = 1}), "m"));
}

TEST(LimitPolicyFields, ReadAndWriteWhatAKeyHas) {
  const auto policy = json::decode<LimitPolicy>(
      *json::parse(R"({"requests":{"count":60,"window":"1m"},"tokens_per_month":1000000,"concurrent":4})"));
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_EQ(policy->requests, per_minute(60));
  EXPECT_EQ(policy->tokens_per_month, 1'000'000);
  EXPECT_EQ(policy->concurrent, 4U);
  EXPECT_FALSE(policy->empty());
  EXPECT_EQ(json::decode<LimitPolicy>(json::encode(*policy)), *policy);
  EXPECT_TRUE(LimitPolicy().empty());
  for (const std::string_view wrong :
       {R"({"requests":{"count":0}})", R"({"requests":{}})", R"({"requests":{"count":1,"window":"1ms"}})",
        R"({"requests":{"count":1,"burst":0}})", R"({"concurrent":0})", R"({"tokens_per_day":-1})",
        R"({"requests":{"count":1e18}})", R"({"tokens":1})"}) {
    EXPECT_FALSE(json::decode<LimitPolicy>(*json::parse(wrong))) << wrong;
  }
}

}  // namespace
}  // namespace llm::access
