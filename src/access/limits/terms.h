#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "access/limits/gcra.h"
#include "access/limits/policy.h"

// What one set of limits says, in the form that counting needs.
namespace llm::access {

// Whose limit it is. Accounts are locked in this order.
enum class Scope : std::uint8_t { kKey, kProject, kModel, kAddress };
std::string_view to_string(Scope scope);

enum class LimitKind : std::uint8_t {
  kRequests,  // rates
  kInputTokens,
  kOutputTokens,
  kRequestsPerDay,  // quotas
  kRequestsPerMonth,
  kTokensPerDay,
  kTokensPerMonth,
  kConcurrent,
};
std::string_view to_string(LimitKind kind);  // "requests", "tokens_per_day" …
inline constexpr std::size_t kRateKinds = 3;
inline constexpr std::size_t kQuotaKinds = 4;
inline constexpr std::size_t kLimitKinds = 8;
inline LimitKind quota_kind(std::size_t quota) {
  return static_cast<LimitKind>(kRateKinds + quota);
}
inline bool monthly(std::size_t quota) {
  return quota % 2 == 1;
}
inline bool of_tokens(std::size_t quota) {
  return quota >= 2;
}

using RateAmounts = std::array<std::int64_t, kRateKinds>;
using QuotaAmounts = std::array<std::int64_t, kQuotaKinds>;

// What is asked for, or was used: requests, input and output tokens.
struct Amounts {
  RateAmounts rates{};

  Amounts() = default;
  Amounts(std::int64_t requests, std::int64_t input_tokens, std::int64_t output_tokens);  // negative: 0
  std::int64_t quota(std::size_t number) const { return of_tokens(number) ? tokens() : rates[0]; }
  std::int64_t tokens() const { return rates[1] + rates[2]; }
};

struct LimitTerms {
  std::array<std::optional<RateTerms>, kRateKinds> rates;
  QuotaAmounts quotas{-1, -1, -1, -1};  // -1: none
  std::int64_t concurrent = -1;         // -1: no limit
  bool has_quotas = false;
  bool empty = true;

  static LimitTerms of(const LimitPolicy& policy);
};

// The time, and the periods of quotas that it lies in.
struct Moment {
  std::int64_t ns = 0;
  std::array<std::int64_t, 2> periods{};  // the day and the month

  explicit Moment(std::int64_t now_ns);
  std::int64_t ms() const { return ns / 1'000'000; }
  std::int64_t period(std::size_t quota) const { return periods[quota % 2]; }
};

}  // namespace llm::access
