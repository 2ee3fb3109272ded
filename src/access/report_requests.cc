#include "access/admin_requests.h"
#include "access/stored_settings.h"

// Field tables: usage and the audit trail.
namespace llm {

using namespace access;  // the tables of one folder's types
using json::field;
using json::FieldOptions;

namespace {

constexpr FieldOptions text(std::string_view description) {
  return {.description = description, .max_length = access::bounds::kPatternLength};
}

}  // namespace

const json::Table<UsageRequest>& json::Fields<UsageRequest>::table() {
  using R = UsageRequest;
  static const Table<R> table{
      "usage query",
      {
          field("from", &R::from, text("The first day (UTC); absent: 29 days before the last.")),
          field("to", &R::to, text("The last day; absent: today.")),
          field("by", &R::by,
                {.description = "What is told apart: \"day\", \"project\", \"key\", \"model\".",
                 .max_length = 64,
                 .max_items = 8}),
          field("project", &R::project, text("Only this project.")),
          field("key", &R::key, text("Only this key.")),
          field("model", &R::model, text("Only this model.")),
      }};
  return table;
}

const json::Table<UsageEntry>& json::Fields<UsageEntry>::table() {
  using E = UsageEntry;
  static const Table<E> table{
      "usage",
      {
          field("day", &E::day, {.description = "The day in UTC."}),
          field("project", &E::project, {.description = "The project."}),
          field("key", &E::key, {.description = "The key's id; \"local\" for the local user."}),
          field("model", &E::model, {.description = "The model."}),
          field("requests", &E::requests, {.description = "Requests."}),
          field("failed", &E::failed, {.description = "Of those, the ones that failed."}),
          field("input_tokens", &E::input_tokens, {.description = "Tokens of prompts."}),
          field("cached_tokens", &E::cached_tokens, {.description = "Of those, the ones from a cache."}),
          field("output_tokens", &E::output_tokens, {.description = "Tokens of answers."}),
      }};
  return table;
}

const json::Table<UsageAnswer>& json::Fields<UsageAnswer>::table() {
  using A = UsageAnswer;
  static const Table<A> table{
      "usage answer",
      {
          field("from", &A::from, {.description = "The first day.", .required = true}),
          field("to", &A::to, {.description = "The last day.", .required = true}),
          field("usage", &A::usage, {.description = "Sums, by what was asked for.", .required = true}),
          field("total", &A::total, {.description = "The sum of all.", .required = true}),
      }};
  return table;
}

const json::Table<AuditRequest>& json::Fields<AuditRequest>::table() {
  using R = AuditRequest;
  static const Table<R> table{
      "audit query",
      {
          field("from", &R::from, text("From this time on.")),
          field("to", &R::to, text("Up to this time.")),
          field("principal", &R::principal, text("Who: \"key:<id>\", \"token:<issuer>:<subject>\", \"local\".")),
          field("project", &R::project, text("Only this project.")),
          field("action", &R::action, text("What: a name or its beginning (\"key.\").")),
          field("limit", &R::limit, {.description = "Records in one answer.", .minimum = 1, .maximum = 1'000}),
          field("before", &R::before, {.description = "The `next` of the answer before.", .minimum = 0}),
      }};
  return table;
}

const json::Table<AuditAnswer>& json::Fields<AuditAnswer>::table() {
  using A = AuditAnswer;
  static const Table<A> table{
      "audit answer",
      {
          field("records", &A::records, {.description = "The newest first.", .required = true}),
          field("next", &A::next, {.description = "`before` of the next query, if there may be more."}),
      }};
  return table;
}

}  // namespace llm
