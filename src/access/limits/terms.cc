#include "access/limits/terms.h"

#include <algorithm>

#include "access/limits/period.h"

namespace llm::access {
namespace {

// The greatest limit there can be (policy.cc). A count above that says no more, and sums of it stay far from overflow.
constexpr std::int64_t kMostAmount = 1'000'000'000'000'000;

std::int64_t within(std::int64_t amount) {
  return std::clamp<std::int64_t>(amount, 0, kMostAmount);
}

}  // namespace

std::string_view to_string(Scope scope) {
  switch (scope) {
    case Scope::kKey:
      return "key";
    case Scope::kProject:
      return "project";
    case Scope::kModel:
      return "model";
    case Scope::kAddress:
      return "address";
  }
  return "";
}

std::string_view to_string(LimitKind kind) {
  constexpr std::array<std::string_view, kLimitKinds> kNames{
      "requests",           "input_tokens",   "output_tokens",    "requests_per_day",
      "requests_per_month", "tokens_per_day", "tokens_per_month", "concurrent",
  };
  return kNames[static_cast<std::size_t>(kind)];
}

Amounts::Amounts(std::int64_t requests, std::int64_t input_tokens, std::int64_t output_tokens)
    : rates{within(requests), within(input_tokens), within(output_tokens)} {}

LimitTerms LimitTerms::of(const LimitPolicy& policy) {
  LimitTerms terms;
  terms.empty = policy.empty();
  if (policy.requests) terms.rates[0] = RateTerms::of(*policy.requests);
  if (policy.input_tokens) terms.rates[1] = RateTerms::of(*policy.input_tokens);
  if (policy.output_tokens) terms.rates[2] = RateTerms::of(*policy.output_tokens);
  terms.quotas = {policy.requests_per_day.value_or(-1), policy.requests_per_month.value_or(-1),
                  policy.tokens_per_day.value_or(-1), policy.tokens_per_month.value_or(-1)};
  terms.has_quotas = std::ranges::any_of(terms.quotas, [](std::int64_t quota) { return quota >= 0; });
  if (policy.concurrent) terms.concurrent = *policy.concurrent;
  return terms;
}

Moment::Moment(std::int64_t now_ns)
    : ns(now_ns), periods{period_of(Period::kDay, ms()), period_of(Period::kMonth, ms())} {}

}  // namespace llm::access
