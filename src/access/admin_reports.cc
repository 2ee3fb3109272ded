#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>

#include "access/admin.h"
#include "access/admin_requests.h"
#include "access/timestamp.h"
#include "base/strings.h"
#include "store/audit_table.h"
#include "store/usage_tables.h"

// AccessAdmin: usage and the audit trail.
namespace llm::access {
namespace {

constexpr std::int64_t kDay = 86'400'000;
constexpr std::int64_t kDefaultDays = 30;

Result<std::int64_t> time_of(const std::optional<std::string>& text, std::int64_t unset, std::string_view pointer) {
  if (!text) return unset;
  const auto time = parse_time(*text);
  if (time) return *time;
  return fail(ErrorCode::kInvalidArgument,
              "expected a date or a time such as \"2026-01-31\" or \"2026-01-31T12:00:00Z\"", std::string(pointer));
}

std::string day_text(std::int64_t day) {
  return format_time(day * kDay).substr(0, std::string_view("2026-01-31").size());
}

// What an actor may look at: its own project, or any.
Result<std::string> project_of(const std::string& asked, const Principal& actor) {
  if (actor.may(Permission::kAdmin)) return asked;
  if (asked.empty() || asked == actor.project()) return std::string(actor.project());
  return fail(ErrorCode::kPermissionDenied, "other projects are seen by an admin", "/project");
}

struct Dimensions {
  bool day = false;
  bool project = false;
  bool key = false;
  bool model = false;
};

// A list, or names between commas as in a URL.
Result<Dimensions> dimensions_of(const json::StringOrList& by) {
  Dimensions out;
  for (const std::string& item : by.items) {
    for (const std::string_view name : split(item, ',')) {
      if (name == "day") {
        out.day = true;
      } else if (name == "project") {
        out.project = true;
      } else if (name == "key") {
        out.key = true;
      } else if (name == "model") {
        out.model = true;
      } else {
        return fail(ErrorCode::kInvalidArgument, "expected \"day\", \"project\", \"key\" or \"model\"", "/by");
      }
    }
  }
  return out;
}

void add(UsageEntry& sum, const store::UsageRow& row) {
  sum.requests += row.requests;
  sum.failed += row.failed;
  sum.input_tokens += row.input_tokens;
  sum.cached_tokens += row.cached_tokens;
  sum.output_tokens += row.output_tokens;
}

void sum_up(UsageAnswer& answer, const std::vector<store::UsageRow>& rows, const Dimensions& by) {
  std::map<std::tuple<std::int64_t, std::string, std::string, std::string>, UsageEntry> sums;
  for (const store::UsageRow& row : rows) {
    UsageEntry& entry =
        sums[{by.day ? row.day : 0, by.project ? row.project : "", by.key ? row.key : "", by.model ? row.model : ""}];
    if (by.day) entry.day = day_text(row.day);
    if (by.project) entry.project = row.project;
    if (by.key) entry.key = row.key;
    if (by.model) entry.model = row.model;
    add(entry, row);
    add(answer.total, row);
  }
  for (auto& [place, entry] : sums) answer.usage.push_back(std::move(entry));
}

}  // namespace

Result<json::object> AccessAdmin::usage(json::object document, const Principal& actor) {
  const auto request = json::decode<UsageRequest>(document);
  if (!request) return fail(request.error());
  const auto by = dimensions_of(request->by);
  if (!by) return fail(by.error());
  const auto project = project_of(request->project, actor);
  if (!project) return fail(project.error());
  const auto to = time_of(request->to, now_ms_(), "/to");
  if (!to) return fail(to.error());
  const auto from = time_of(request->from, std::max<std::int64_t>(0, *to - (kDefaultDays - 1) * kDay), "/from");
  if (!from) return fail(from.error());
  if (*from / kDay > *to / kDay) return fail(ErrorCode::kInvalidArgument, "expected a day up to \"to\"", "/from");
  const store::UsageQuery query{.from_day = *from / kDay,
                                .to_day = *to / kDay,
                                .project = *project,
                                .key = request->key,
                                .model = request->model};
  const auto rows = database_.read([&](store::Session& session) { return store::usage(session, query); });
  if (!rows) return fail(rows.error());
  UsageAnswer answer;
  answer.from = day_text(query.from_day);
  answer.to = day_text(query.to_day);
  sum_up(answer, *rows, *by);
  return json::encode(answer);
}

Result<json::object> AccessAdmin::audit(json::object document, const Principal& actor) {
  const auto request =
      json::decode<AuditRequest>(typed_query(std::move(document), json::Fields<AuditRequest>::table()));
  if (!request) return fail(request.error());
  const auto project = project_of(request->project, actor);
  if (!project) return fail(project.error());
  const auto from = time_of(request->from, 0, "/from");
  if (!from) return fail(from.error());
  const auto to = time_of(request->to, 0, "/to");
  if (!to) return fail(to.error());
  const store::AuditQuery query{.from = *from,
                                .to = *to,
                                .principal = request->principal,
                                .project = *project,
                                .action = request->action,
                                .limit = request->limit,
                                .before_id = request->before};
  auto entries = database_.read([&](store::Session& session) { return store::audit(session, query); });
  if (!entries) return fail(std::move(entries.error()));
  AuditAnswer answer;
  for (const store::AuditEntry& entry : *entries) {
    auto record = json::parse(entry.row.record);
    json::object shown =
        record && record->is_object() ? std::move(record->get_object()) : json::object{{"record", entry.row.record}};
    shown["id"] = entry.id;
    answer.records.push_back(std::move(shown));
  }
  if (std::ssize(*entries) == request->limit) answer.next = entries->back().id;
  return json::encode(answer);
}

}  // namespace llm::access
