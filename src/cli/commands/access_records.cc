// usage, audit: what was written down about requests.
#include <filesystem>
#include <fmt/format.h>

#include "access/audit/audit_log.h"
#include "api/rest/csv.h"
#include "cli/access_wiring.h"
#include "cli/commands/admin_access.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

constexpr std::string_view kTold[] = {"day", "project", "key", "model"};
constexpr std::string_view kCounted[] = {"requests", "failed", "input_tokens", "cached_tokens", "output_tokens"};

json::object query_of(const UsageArguments& arguments) {
  json::object query;
  const auto put = [&query](std::string_view name, const std::string& text) {
    if (!text.empty()) query[name] = text;
  };
  put("from", arguments.from);
  put("to", arguments.to);
  put("project", arguments.project);
  put("key", arguments.key);
  put("model", arguments.model);
  std::string by;
  for (const auto& column : arguments.by) by += (by.empty() ? "" : ",") + column;
  put("by", by);
  return query;
}

// Only the columns that were asked for.
std::vector<std::string_view> told_columns(const json::array& rows) {
  std::vector<std::string_view> columns;
  for (const auto name : kTold) {
    if (!rows.empty() && rows[0].is_object() && rows[0].get_object().contains(name)) columns.push_back(name);
  }
  return columns;
}

std::string usage_table(const json::object& answer, const Terminal& terminal) {
  const auto* rows = json::find(answer, "usage");
  if (!rows || !rows->is_array()) return {};
  const auto told = told_columns(rows->get_array());
  std::vector<TextTable::Column> columns;
  for (const auto name : told)
    columns.push_back({name == "day" ? "DAY" : name == "project" ? "PROJECT" : name == "key" ? "KEY" : "MODEL"});
  for (const std::string title : {"REQUESTS", "FAILED", "INPUT", "CACHED", "OUTPUT"})
    columns.push_back({title, Align::kRight});
  TextTable table(columns);
  const auto add = [&](const json::object& row, bool total) {
    std::vector<std::string> cells;
    for (const auto name : told) cells.push_back(total ? (cells.empty() ? "total" : "") : text_of(row, name));
    for (const auto name : kCounted) cells.push_back(fmt::to_string(json::int_or(row, name)));
    table.add(std::move(cells));
  };
  for (const auto& row : rows->get_array()) {
    if (row.is_object()) add(row.get_object(), false);
  }
  if (const auto* total = json::find(answer, "total"); total && total->is_object() && !told.empty()) {
    add(total->get_object(), true);
  }
  return table.text(terminal);
}

json::array chains_in(const json::object& found) {
  const auto* chains = json::find(found, "chains");
  return chains != nullptr && chains->is_array() ? chains->get_array() : json::array();
}

Result<int> verify(CommandContext& context, const Setup& setup, const AuditArguments& arguments) {
  Result<json::object> found = json::object();
  if (!arguments.directory.empty()) {
    const std::filesystem::path directory = expand_home(arguments.directory, context.env);
    found = access::verify_audit(directory, nullptr);
    // Nothing in the place that somebody named is not a trail that is whole.
    if (found && chains_in(*found).empty()) {
      return fail(ErrorCode::kNotFound, fmt::format("there are no audit files in {}", directory.string()));
    }
  } else {
    const auto paths = access_paths(setup.installation);
    found = access::verify_audit_trail(setup.config.settings.access, paths, context.env);
  }
  if (!found) return fail(std::move(found.error()));
  if (context.terminal.json()) {
    context.terminal.result(*found);
    return kExitSuccess;
  }
  const json::array chains = chains_in(*found);
  for (const auto& item : chains) {
    if (!item.is_object()) continue;
    const auto& chain = item.get_object();
    context.terminal.line(fmt::format("{}: {} records, {} to {}", text_of(chain, "chain"),
                                      json::int_or(chain, "records"), json::int_or(chain, "first"),
                                      json::int_or(chain, "last")));
  }
  context.terminal.line(chains.empty() ? "There is no audit trail yet." : "The audit trail is whole.");
  return kExitSuccess;
}

Result<int> list(CommandContext& context, const Setup& setup, const AuditArguments& arguments) {
  json::object query;
  const auto put = [&query](std::string_view name, const std::string& text) {
    if (!text.empty()) query[name] = text;
  };
  put("from", arguments.from);
  put("to", arguments.to);
  put("principal", arguments.principal);
  put("action", arguments.what);
  if (arguments.limit) query["limit"] = *arguments.limit;
  auto admin = AdminAccess::open(context, setup);
  if (!admin) return fail(std::move(admin.error()));
  auto answer = (*admin)->call("GET", resource_path("audit"), query,
                               [query](auto& local, auto& actor) { return local.audit(query, actor); });
  if (!answer) return fail(std::move(answer.error()));
  if (context.terminal.json()) {
    context.terminal.result(*answer);
    return kExitSuccess;
  }
  TextTable table({{"TIME"}, {"PRINCIPAL"}, {"PROJECT"}, {"ACTION"}, {"TARGET"}, {"ADDRESS"}, {"OUTCOME"}});
  if (const auto* records = json::find(*answer, "records"); records && records->is_array()) {
    for (const auto& item : records->get_array()) {
      if (!item.is_object()) continue;
      const auto& record = item.get_object();
      table.add({text_of(record, "time"), text_of(record, "principal"), text_of(record, "project"),
                 text_of(record, "action"), text_of(record, "target"), text_of(record, "address"),
                 text_of(record, "outcome")});
    }
  }
  if (table.empty()) {
    context.terminal.note("There are no such records.");
  } else {
    context.terminal.out(table.text(context.terminal));
  }
  return kExitSuccess;
}

}  // namespace

Result<int> run_command(CommandContext& context, const UsageArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto admin = AdminAccess::open(context, *setup);
  if (!admin) return fail(std::move(admin.error()));
  const json::object query = query_of(arguments);
  auto answer = (*admin)->call("GET", resource_path("usage"), query,
                               [query](auto& local, auto& actor) { return local.usage(query, actor); });
  if (!answer) return fail(std::move(answer.error()));
  if (context.terminal.json()) {
    context.terminal.result(*answer);
  } else if (arguments.csv) {
    const auto* rows = json::find(*answer, "usage");
    if (rows && rows->is_array()) {
      auto columns = told_columns(rows->get_array());
      columns.insert(columns.end(), std::begin(kCounted), std::end(kCounted));
      context.terminal.out(api::rest::to_csv(rows->get_array(), columns));
    }
  } else {
    context.terminal.out(usage_table(*answer, context.terminal));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const AuditArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  return arguments.action == "verify" ? verify(context, *setup, arguments) : list(context, *setup, arguments);
}

}  // namespace llm::cli
