// versions, promote, rollback, export, gc: what a name stands for, stood for, and what nothing needs any more.
#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/store_operation.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

void show_versions(CommandContext& context, const json::object& answer) {
  TextTable table(
      {{""}, {"VERSION"}, {"CREATED"}, {"SIZE", Align::kRight}, {"SOURCE"}, {"BY"}, {"ALIASES"}, {"NOTES"}});
  for (const json::value& item : list_of(answer, "versions")) {
    if (!item.is_object()) continue;
    const json::object& one = item.get_object();
    table.add({json::bool_or(one, "current") ? "*" : "", short_version(json::string_or(one, "version")),
               text_of(one, "created"), bytes_text(one, "size"), text_of(one, "source"), text_of(one, "creator"),
               list_text(one, "aliases"), text_of(one, "notes")});
  }
  context.terminal.out(table.text(context.terminal));
  for (const json::value& problem : list_of(answer, "problems")) {
    if (problem.is_string()) context.terminal.note(printable(problem.get_string()));
  }
  if (!list_of(answer, "history").empty()) {
    context.terminal.note(fmt::format("Back to what it was before: llm-mcp rollback {}", text_of(answer, "name")));
  }
}

// What a name stands for after a change.
int report_move(CommandContext& context, const json::object& answer) {
  if (context.terminal.json()) {
    context.terminal.result(answer);
  } else if (!context.terminal.quiet()) {
    const std::string_view before = json::string_or(answer, "before");
    const bool same = before == json::string_or(answer, "version");
    context.terminal.line(fmt::format("{} is {}{}{}", text_of(answer, "name"), same ? "still " : "now ",
                                      short_version(json::string_or(answer, "version")),
                                      same || before.empty() ? "" : fmt::format(" (was {})", short_version(before))));
  }
  return kExitSuccess;
}

// As the gateway's process would find it, wherever that was started.
Result<std::string> absolute_path(const CommandContext& context, const std::string& text) {
  std::error_code error;
  const auto path = std::filesystem::absolute(expand_home(text, context.env), error);
  if (error) return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", text, error.message()));
  return path.lexically_normal().string();
}

}  // namespace

Result<int> run_command(CommandContext& context, const VersionsArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto answer = operate_store(context, *setup, "version.list", {{"name", arguments.model}});
  if (!answer) return fail(std::move(answer.error()));
  if (context.terminal.json()) {
    context.terminal.result(*answer);
  } else {
    show_versions(context, *answer);
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const PromoteArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  json::object body{{"name", arguments.from}};
  if (!arguments.to.empty()) body["to"] = arguments.to;
  auto answer = operate_store(context, *setup, "version.promote", std::move(body));
  if (!answer) return fail(std::move(answer.error()));
  return report_move(context, *answer);
}

Result<int> run_command(CommandContext& context, const RollbackArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto answer = operate_store(context, *setup, "version.rollback", {{"name", arguments.name}});
  if (!answer) return fail(std::move(answer.error()));
  return report_move(context, *answer);
}

Result<int> run_command(CommandContext& context, const ExportArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto directory = absolute_path(context, arguments.directory);
  if (!directory) return fail(std::move(directory.error()));
  auto answer = operate_store(context, *setup, "model.export", {{"name", arguments.model}, {"directory", *directory}},
                              "exporting " + arguments.model);
  if (!answer) return fail(std::move(answer.error()));
  if (context.terminal.json()) {
    context.terminal.result(*answer);
  } else if (!context.terminal.quiet()) {
    context.terminal.line(fmt::format("exported {} ({}) to {}", short_version(json::string_or(*answer, "version")),
                                      bytes_text(*answer, "size"), text_of(*answer, "directory")));
    context.terminal.note("Elsewhere: llm-mcp import FOLDER checks every file against SHA256SUMS and takes it in.");
  }
  return kExitSuccess;
}

Result<json::object> import_bundle(CommandContext& context, const Setup& setup, const ImportArguments& arguments) {
  if (arguments.move || arguments.hardlink || arguments.if_missing || !arguments.sha256.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "import: a folder is a bundle, checked by its own checksums; only --name and --replace go with it");
  }
  auto directory = absolute_path(context, arguments.file);
  if (!directory) return fail(std::move(directory.error()));
  json::object body{{"directory", *directory}};
  if (!arguments.name.empty()) body["name"] = arguments.name;
  if (arguments.replace) body["replace"] = true;
  return operate_store(context, setup, "model.import_bundle", std::move(body), "importing " + arguments.file);
}

Result<int> run_command(CommandContext& context, const GcArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto answer =
      operate_store(context, *setup, "model.gc",
                    {{"dry_run", arguments.dry_run}, {"versions", arguments.versions}, {"partial", arguments.partial}});
  if (!answer) return fail(std::move(answer.error()));
  if (context.terminal.json()) {
    context.terminal.result(*answer);
    return kExitSuccess;
  }
  TextTable table({{"KIND"}, {"NAME"}, {"SIZE", Align::kRight}});
  for (const json::value& item : list_of(*answer, "items")) {
    if (!item.is_object()) continue;
    const json::object& one = item.get_object();
    table.add({text_of(one, "kind"), text_of(one, "name"), bytes_text(one, "bytes")});
  }
  if (!table.empty()) context.terminal.out(table.text(context.terminal));
  const std::string bytes = bytes_text(*answer, "bytes");
  const std::string_view done = arguments.dry_run ? "would be free" : "are free";
  context.terminal.note(table.empty() ? "Nothing to collect."
                                      : fmt::format("{} {}.", bytes.empty() ? "0 bytes" : bytes, done));
  return kExitSuccess;
}

}  // namespace llm::cli
