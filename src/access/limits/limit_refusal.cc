#include "access/limits/limit_refusal.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <string>

#include "access/timestamp.h"
#include "base/strings.h"

namespace llm::access {
namespace {

// 1,000,000
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

std::string counted(std::int64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", grouped(number), noun, number == 1 ? "" : "s");
}

std::string per_window(std::int64_t ms) {
  switch (ms) {
    case 1'000:
      return "per second";
    case 60'000:
      return "per minute";
    case 3'600'000:
      return "per hour";
    case 86'400'000:
      return "per day";
    default:
      return "in " + format_duration_ms(ms);
  }
}

std::string_view noun_of(LimitKind kind) {
  switch (kind) {
    case LimitKind::kInputTokens:
      return "input token";
    case LimitKind::kOutputTokens:
      return "output token";
    case LimitKind::kTokensPerDay:
    case LimitKind::kTokensPerMonth:
      return "token";
    default:
      return "request";
  }
}

std::string whose(Scope scope, std::string_view name) {
  if (scope == Scope::kAddress) return fmt::format("address {}", name);
  return fmt::format("{} \"{}\"", to_string(scope), name);
}

int seconds_up(std::int64_t ns) {
  const std::int64_t seconds = ns / 1'000'000'000 + (ns % 1'000'000'000 > 0 ? 1 : 0);
  return static_cast<int>(std::clamp<std::int64_t>(seconds, 1, std::numeric_limits<int>::max()));
}

std::string quota_message(const Refusal& refusal, const std::string& who) {
  const bool month = refusal.kind == LimitKind::kRequestsPerMonth || refusal.kind == LimitKind::kTokensPerMonth;
  const std::string all =
      fmt::format("{} of {}", counted(refusal.limit, noun_of(refusal.kind)), month ? "this month" : "today");
  const std::string again = format_time(refusal.period_end_ms);
  if (refusal.left == 0) return fmt::format("{} has used its {}; it starts again on {}", who, all, again);
  return fmt::format("{} has {} left of its {}, and this request may need {}; ask for less, or wait until {}", who,
                     grouped(refusal.left), all, grouped(refusal.needed), again);
}

std::string message_of(const Refusal& refusal) {
  const std::string who = whose(refusal.scope, refusal.name ? std::string_view(*refusal.name) : std::string_view());
  switch (refusal.kind) {
    case LimitKind::kRequests:
    case LimitKind::kInputTokens:
    case LimitKind::kOutputTokens:
      return fmt::format("{} is limited to {} {}; try again in {} s", who,
                         counted(refusal.limit, noun_of(refusal.kind)), per_window(refusal.window_ms),
                         seconds_up(refusal.wait_ns));
    case LimitKind::kConcurrent:
      return fmt::format("{} is limited to {} at once; try again when one has ended", who,
                         counted(refusal.limit, "request"));
    default:
      return quota_message(refusal, who);
  }
}

}  // namespace

Error refusal_error(const Refusal& refusal) {
  return Error{ErrorCode::kRateLimited, message_of(refusal), {}, {}, 0}
      .with("limit", refusal.limit)
      .with("scope", std::string(to_string(refusal.scope)))
      .with("kind", std::string(to_string(refusal.kind)))
      .retry_after(seconds_up(refusal.wait_ns));
}

Error unknown_limit_error(Scope scope, std::string_view name, const Error& cause) {
  return Error{
      ErrorCode::kUnavailable,
      fmt::format("the limits of {} cannot be checked now: {}; try again soon", whose(scope, name), cause.message),
      {},
      {},
      0}
      .retry_after(1);
}

}  // namespace llm::access
