#include "access/limits/rate_limit_headers.h"

#include <algorithm>
#include <charconv>

#include "access/limits/account.h"

namespace llm::access {
namespace {

constexpr std::int64_t kMostInteger = 999'999'999'999'999;  // of a structured field: RFC 9651 section 3.3.1

void append(std::string& out, std::int64_t number) {
  char digits[24];
  const auto end =
      std::to_chars(digits, digits + sizeof(digits), std::clamp<std::int64_t>(number, 0, kMostInteger)).ptr;
  out.append(digits, end);
}

std::string text(std::int64_t number) {
  std::string out;
  append(out, number);
  return out;
}

std::int64_t seconds_up(std::int64_t ms) {
  return (std::max<std::int64_t>(0, ms) + 999) / 1'000;
}

// "250ms", "1s", "6m0s", "1h0m0s"
std::string duration(std::int64_t ms) {
  if (ms > 0 && ms < 1'000) return text(ms) + "ms";
  const std::int64_t seconds = seconds_up(ms);
  std::string out;
  if (seconds >= 3'600) {
    append(out, seconds / 3'600);
    out += 'h';
  }
  if (seconds >= 60) {
    append(out, seconds / 60 % 60);
    out += 'm';
  }
  append(out, seconds % 60);
  out += 's';
  return out;
}

struct Row {
  const LimitStanding* standing;
  std::string_view kind;
  bool tokens;
};

void append_name(std::string& out, const Row& row) {
  if (!out.empty()) out += ", ";
  out += '"';
  out += row.standing->name;
  out += row.kind;
  out += '"';
}

}  // namespace

std::vector<RateLimitHeader> rate_limit_headers(const LimitReport& report) {
  std::vector<RateLimitHeader> headers;
  std::string policy;
  std::string standing;
  for (const Row& row : {Row{&report.requests, "-requests", false}, Row{&report.input_tokens, "-input-tokens", true},
                         Row{&report.output_tokens, "-output-tokens", true}}) {
    if (row.standing->limit < 0) continue;
    append_name(policy, row);
    policy += ";q=";
    append(policy, row.standing->limit);
    if (row.tokens) policy += ";qu=\"tokens\"";
    policy += ";w=";
    append(policy, seconds_up(row.standing->window_ms));
    append_name(standing, row);
    standing += ";r=";
    append(standing, row.standing->remaining);
    standing += ";t=";
    append(standing, seconds_up(row.standing->reset_ms));
  }
  if (policy.empty()) return headers;
  headers.reserve(8);
  headers.push_back({"RateLimit-Policy", std::move(policy)});
  headers.push_back({"RateLimit", std::move(standing)});
  if (const LimitStanding& requests = report.requests; requests.limit >= 0) {
    headers.push_back({"x-ratelimit-limit-requests", text(requests.limit)});
    headers.push_back({"x-ratelimit-remaining-requests", text(requests.remaining)});
    headers.push_back({"x-ratelimit-reset-requests", duration(requests.reset_ms)});
  }
  LimitStanding tokens;
  if (report.input_tokens.limit >= 0) tighten(tokens, report.input_tokens);
  if (report.output_tokens.limit >= 0) tighten(tokens, report.output_tokens);
  if (tokens.limit >= 0) {
    headers.push_back({"x-ratelimit-limit-tokens", text(tokens.limit)});
    headers.push_back({"x-ratelimit-remaining-tokens", text(tokens.remaining)});
    headers.push_back({"x-ratelimit-reset-tokens", duration(tokens.reset_ms)});
  }
  return headers;
}

}  // namespace llm::access
