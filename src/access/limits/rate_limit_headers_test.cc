// Headers word by word.
#include "access/limits/rate_limit_headers.h"

#include <gtest/gtest.h>
#include <string>

namespace llm::access {
namespace {

std::string lines(const LimitReport& report) {
  std::string out;
  for (const RateLimitHeader& header : rate_limit_headers(report)) {
    out += header.name;
    out += ": " + header.value + "\n";
  }
  return out;
}

TEST(RateLimitHeaders, SayNothingWithoutLimits) {
  EXPECT_EQ(lines({}), "");
}

TEST(RateLimitHeaders, SayWhatIsLeft) {
  const LimitReport report{
      .requests = {.limit = 60, .remaining = 59, .reset_ms = 1'000, .window_ms = 60'000, .name = "key"},
      .input_tokens = {.limit = 10'000, .remaining = 400, .reset_ms = 57'601, .window_ms = 60'000, .name = "project"},
      .output_tokens = {.limit = 5'000, .remaining = 900, .reset_ms = 250, .window_ms = 60'000, .name = "model"}};
  EXPECT_EQ(
      lines(report),
      "RateLimit-Policy: \"key-requests\";q=60;w=60, \"project-input-tokens\";q=10000;qu=\"tokens\";w=60, "
      "\"model-output-tokens\";q=5000;qu=\"tokens\";w=60\n"
      "RateLimit: \"key-requests\";r=59;t=1, \"project-input-tokens\";r=400;t=58, \"model-output-tokens\";r=900;t=1\n"
      "x-ratelimit-limit-requests: 60\n"
      "x-ratelimit-remaining-requests: 59\n"
      "x-ratelimit-reset-requests: 1s\n"
      "x-ratelimit-limit-tokens: 10000\n"
      "x-ratelimit-remaining-tokens: 400\n"
      "x-ratelimit-reset-tokens: 58s\n");
}

TEST(RateLimitHeaders, LeaveOutWhatIsNotLimited) {
  const LimitReport report{
      .output_tokens = {.limit = 7, .remaining = 0, .reset_ms = 360'000, .window_ms = 3'600'000, .name = "key"}};
  EXPECT_EQ(lines(report),
            "RateLimit-Policy: \"key-output-tokens\";q=7;qu=\"tokens\";w=3600\n"
            "RateLimit: \"key-output-tokens\";r=0;t=360\n"
            "x-ratelimit-limit-tokens: 7\n"
            "x-ratelimit-remaining-tokens: 0\n"
            "x-ratelimit-reset-tokens: 6m0s\n");
}

TEST(RateLimitHeaders, WriteTimesAsDurations) {
  const auto reset = [](std::int64_t ms) {
    const LimitReport report{.requests = {.limit = 1, .reset_ms = ms, .window_ms = 1'000, .name = "key"}};
    return rate_limit_headers(report).at(4).value;
  };
  EXPECT_EQ(reset(0), "0s");
  EXPECT_EQ(reset(1), "1ms");
  EXPECT_EQ(reset(999), "999ms");
  EXPECT_EQ(reset(1'001), "2s");
  EXPECT_EQ(reset(59'999), "1m0s");
  EXPECT_EQ(reset(3'723'000), "1h2m3s");
}

TEST(RateLimitHeaders, KeepToTheIntegersOfStructuredFields) {
  const LimitReport report{
      .requests = {
          .limit = 1'000'000'000'000'000, .remaining = INT64_MAX, .reset_ms = -5, .window_ms = 60'000, .name = "key"}};
  const auto headers = rate_limit_headers(report);
  EXPECT_EQ(headers.at(0).value, "\"key-requests\";q=999999999999999;w=60");
  EXPECT_EQ(headers.at(1).value, "\"key-requests\";r=999999999999999;t=0");
}

}  // namespace
}  // namespace llm::access
