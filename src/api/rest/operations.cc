// The table of operations (inference/operations/operation.h) over HTTP.
#include "api/handlers.h"
#include "api/rest/answers.h"
#include "api/rest/query.h"
#include "base/strings.h"
#include "inference/operations/operation.h"

namespace llm::api::rest {
namespace {

// What a query can only say as text, as the JSON that it looks like.
json::value as_json(const json::value& given) {
  if (!given.is_string()) return given;
  const std::string_view text = given.get_string();
  if (text == "true") return true;
  if (text == "false") return false;
  if (const auto number = parse_number<std::int64_t>(text)) return *number;
  return given;
}

Task<Result<void>> run_operation(const inference::OperationRow* row, Call& call) {
  json::object arguments;
  bool stream = false;
  if (row->method == "GET" || row->method == "DELETE") {
    const auto query = parse_query(call.query);
    if (!query) co_return fail(query.error());
    for (const auto& member : *query) arguments[member.key()] = as_json(member.value());
  } else {
    if (row->long_running) {
      const auto wanted = wants_stream(call.body);
      if (!wanted) co_return fail(wanted.error());
      stream = *wanted;
    }
    arguments = json::object(call.body, arguments.storage());
    arguments.erase("stream");
  }
  if (row->path.find("{name}") != std::string_view::npos) arguments["name"] = call.name;
  auto models = call.models();
  co_return co_await answer_or_stream(call, stream, "", [&](inference::EventSink sink, CancelToken cancel) {
    return models.operate(std::string(row->name), std::move(arguments), std::move(sink), std::move(cancel));
  });
}

}  // namespace

std::vector<Route> operation_routes() {
  std::vector<Route> routes;
  for (const auto& row : inference::operations()) {
    const bool has_body = row.method != "GET" && row.method != "DELETE";
    routes.push_back({row.method, row.path, row.permission, has_body ? Body::kJson : Body::kNone,
                      [row = &row](Call& call) { return run_operation(row, call); }, row.summary});
  }
  return routes;
}

}  // namespace llm::api::rest
