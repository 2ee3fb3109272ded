#include "access/limits/policy.h"

namespace llm::access {

bool LimitPolicy::empty() const {
  return *this == LimitPolicy{};
}

LimitPolicy overlay(const LimitPolicy& own, const LimitPolicy& base) {
  LimitPolicy out = own;
  if (!out.requests) out.requests = base.requests;
  if (!out.input_tokens) out.input_tokens = base.input_tokens;
  if (!out.output_tokens) out.output_tokens = base.output_tokens;
  if (!out.concurrent) out.concurrent = base.concurrent;
  if (!out.requests_per_day) out.requests_per_day = base.requests_per_day;
  if (!out.requests_per_month) out.requests_per_month = base.requests_per_month;
  if (!out.tokens_per_day) out.tokens_per_day = base.tokens_per_day;
  if (!out.tokens_per_month) out.tokens_per_month = base.tokens_per_month;
  return out;
}

}  // namespace llm::access

namespace llm::json {
namespace {

constexpr double kSecond = 1'000;
constexpr double kMonth = 31.0 * 24 * 3600 * kSecond;
constexpr double kMostUnits = 1e15;  // of one limit: its arithmetic (gcra.h) is exact up to there
constexpr double kMostConcurrent = 1e6;

}  // namespace

using access::LimitDefaults;
using access::LimitPolicy;
using access::Rate;

const Table<Rate>& Fields<Rate>::table() {
  static const Table<Rate> table{
      "rate limit",
      {
          field("count", &Rate::count,
                {.description = "Units in any window.", .required = true, .minimum = 1, .maximum = kMostUnits}),
          field("window", &Rate::window,
                {.description = "Its length. The limit refills evenly, not at the end of a window.",
                 .minimum = kSecond,
                 .maximum = kMonth}),
          field("burst", &Rate::burst,
                {.description = "Units that may be used at once after a pause; without it, count.",
                 .minimum = 1,
                 .maximum = kMostUnits}),
      }};
  return table;
}

const Table<LimitPolicy>& Fields<LimitPolicy>::table() {
  using P = LimitPolicy;
  static const Table<P> table{
      "limits",
      {
          field("requests", &P::requests, {.description = "Requests in a window."}),
          field(
              "input_tokens", &P::input_tokens,
              {.description = "Tokens of prompts in a window. Reserved by an upper bound, settled by the true count."}),
          field("output_tokens", &P::output_tokens,
                {.description = "Tokens generated in a window. Reserved by max_tokens, settled by the true count."}),
          field("concurrent", &P::concurrent,
                {.description = "Requests at once.", .minimum = 1, .maximum = kMostConcurrent}),
          field("requests_per_day", &P::requests_per_day,
                {.description = "Requests in a day (UTC).", .minimum = 0, .maximum = kMostUnits}),
          field("requests_per_month", &P::requests_per_month,
                {.description = "Requests in a calendar month (UTC).", .minimum = 0, .maximum = kMostUnits}),
          field("tokens_per_day", &P::tokens_per_day,
                {.description = "Tokens of prompts and answers in a day (UTC).", .minimum = 0, .maximum = kMostUnits}),
          field("tokens_per_month", &P::tokens_per_month,
                {.description = "Tokens of prompts and answers in a calendar month (UTC).",
                 .minimum = 0,
                 .maximum = kMostUnits}),
      }};
  return table;
}

const Table<LimitDefaults>& Fields<LimitDefaults>::table() {
  using D = LimitDefaults;
  static const Table<D> table{
      "access limits",
      {
          field("key", &D::key, {.description = "Of each key; what a key sets itself replaces it, field by field."}),
          field("project", &D::project, {.description = "Of each project; what a project sets itself replaces it."}),
          field(
              "address", &D::address,
              {.description = "Of each client address over all its keys; an IPv6 network of 64 bits is one address."}),
          field("models", &D::models,
                {.description = "Of models over all callers, by pattern (* for any text); each model counts by itself.",
                 .max_items = 1000}),
      }};
  return table;
}

}  // namespace llm::json
