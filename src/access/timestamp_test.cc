#include "access/timestamp.h"

#include <gtest/gtest.h>

namespace llm::access {
namespace {

TEST(Timestamp, GoesBothWays) {
  struct Case {
    const char* text;
    std::int64_t ms;
  };
  const Case cases[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"2026-11-22T21:19:44Z", 1795382384000},
      {"2026-11-22T21:19:44.007Z", 1795382384007},
      {"2024-02-29T23:59:59Z", 1709251199000},
      {"9999-12-31T23:59:59Z", 253402300799000},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(parse_time(c.text), c.ms) << c.text;
    EXPECT_EQ(format_time(c.ms), c.text);
  }
}

TEST(Timestamp, OtherWaysToWriteIt) {
  const std::int64_t noon = *parse_time("2026-01-31T12:00:00Z");
  for (const char* text : {"2026-01-31t12:00:00z", "2026-01-31 12:00:00Z", "2026-01-31T13:30:00+01:30",
                           "2026-01-31T07:00:00.000-05:00", "2026-01-31T12:00:00.0009Z"}) {
    EXPECT_EQ(parse_time(text), noon) << text;
  }
  EXPECT_EQ(parse_time("2026-01-31"), *parse_time("2026-01-31T00:00:00Z"));
}

TEST(Timestamp, WhatIsNone) {
  for (const char* text :
       {"", "2026", "2026-02-30", "2026-13-01", "1969-12-31", "2026-01-31T", "2026-01-31T12:00:00", "2026-01-31T12:00Z",
        "2026-01-31T24:00:00Z", "2026-01-31T12:60:00Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00Zx",
        "2026-01-31T12:00:00+1:00", "1970-01-01T00:00:00+01:00", "+026-01-31", "2026-1-31", "tomorrow"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(Expiry, AFutureTimeOrALengthOfTime) {
  EXPECT_EQ(parse_expiry("90d", 1'000), 1'000 + 90LL * 86'400'000);
  EXPECT_EQ(parse_expiry("1h30m", 0), 5'400'000);
  EXPECT_EQ(parse_expiry("2026-11-22T21:19:44Z", 5), 1795382384000);
  for (const char* text : {"", "0d", "-1", "5", "90", "d", "never", "99999999999d", "1e30d"}) {
    EXPECT_FALSE(parse_expiry(text, 0)) << text;
  }
}

}  // namespace
}  // namespace llm::access
