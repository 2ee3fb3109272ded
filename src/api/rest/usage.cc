// /api/v1/usage and /api/v1/audit: what was used, and who did what.
#include <array>

#include "api/handlers.h"
#include "api/rest/administration.h"
#include "api/rest/csv.h"
#include "api/rest/query.h"
#include "base/strings.h"

namespace llm::api::rest {

using access::AccessAdmin;
using access::Principal;

namespace {

constexpr std::array<std::string_view, 9> kColumns{
    "day", "project", "key", "model", "requests", "failed", "input_tokens", "cached_tokens", "output_tokens"};

// By "format" of the query, which is taken out of it, else by Accept.
Result<bool> wants_csv(const net::Headers& headers, json::object& query) {
  if (const auto* given = json::find(query, "format")) {
    const bool csv = *given == "csv";
    if (!csv && *given != "json") {
      return fail(ErrorCode::kInvalidArgument, "expected \"csv\" or \"json\"", "/format");
    }
    query.erase("format");
    return csv;
  }
  const auto accept = headers.get("accept");
  if (!accept) return false;
  for (const auto range : split(*accept, ',')) {
    const auto type = trim(range.substr(0, range.find(';')));
    if (iequals(type, "text/csv")) return true;
    if (iequals(type, "application/json") || type == "*/*") return false;
  }
  return false;
}

// "day,model" is what people write in an address.
void split_list(json::object& query, std::string_view name) {
  const auto* given = json::find(query, name);
  if (!given || !given->is_string()) return;
  const std::string text(given->get_string());
  json::array list;
  for (const auto item : split(text, ',')) list.emplace_back(trim(item));
  query[name] = std::move(list);
}

}  // namespace

Task<Result<void>> usage(Call& call) {
  auto query = parse_query(call.query);
  if (!query) co_return fail(std::move(query.error()));
  const auto csv = wants_csv(call.exchange.headers(), *query);
  if (!csv) co_return fail(csv.error());
  split_list(*query, "by");
  // What was booked until now is in the answer, unless the database is away: then older sums, or its error, are.
  auto work = [query = std::move(*query), access = call.services.access](AccessAdmin& admin, const Principal& actor) {
    (void)access->usage.flush();
    return admin.usage(query, actor);
  };
  auto result = co_await administer(call, std::move(work));
  if (!result) co_return fail(std::move(result.error()));
  if (!*csv) co_return co_await call.exchange.respond(200, "application/json", json::write(*result));
  const auto* rows = json::find(*result, "usage");
  const std::string text = to_csv(rows && rows->is_array() ? rows->get_array() : json::array(), kColumns);
  call.exchange.response_headers().add("Content-Disposition", "attachment; filename=\"usage.csv\"");
  co_return co_await call.exchange.respond(200, "text/csv; charset=utf-8; header=present", text);
}

Task<Result<void>> audit(Call& call) {
  auto query = parse_query(call.query);
  if (!query) co_return fail(std::move(query.error()));
  auto work = [query = std::move(*query), access = call.services.access](AccessAdmin& admin, const Principal& actor) {
    (void)access->audit.flush();
    return admin.audit(query, actor);
  };
  co_return co_await answer_administration(call, std::move(work));
}

}  // namespace llm::api::rest
