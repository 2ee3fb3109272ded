#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/client_config.h"
#include "cli/client_config_file.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/installation.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

namespace fs = std::filesystem;

// "FILE:3:5: message" where the error has a place.
Error in_file(Error error, const fs::path& path) {
  std::string at = path.string();
  for (const ErrorDetail& detail : error.details) {
    if (const auto* number = std::get_if<std::int64_t>(&detail.value)) at += fmt::format(":{}", *number);
  }
  if (error.details.empty()) return error;
  error.message = fmt::format("{}: {}; nothing was changed", at, error.message);
  error.details.clear();
  error.code = ErrorCode::kConflict;
  return error;
}

Result<Client> client_of(const CommandContext& context, const std::string& id, const std::string& config_file) {
  auto clients = find_clients(context.env);
  if (!clients && config_file.empty()) return fail(std::move(clients.error()));
  if (!clients)
    clients = find_clients([](const std::string& name) -> std::optional<std::string> {
      return name == "HOME" ? std::optional<std::string>("/") : std::nullopt;
    });
  auto client = choose_client(*clients, id);
  if (client && !config_file.empty()) client->file = config_file;
  return client;
}

Result<ServerCommand> server_command(const CommandContext& context, const InstallArguments& arguments) {
  ServerCommand command{.program = program_path().string(), .arguments = {"stdio"}, .environment = {}};
  if (command.program.empty()) return fail(ErrorCode::kIo, "this system does not say where this program is");
  if (!context.global.config.empty()) {
    std::error_code error;
    const fs::path absolute = fs::absolute(context.global.config, error);
    command.arguments.insert(command.arguments.end(), {"--config", absolute.string()});
  }
  for (const Flag& flag : context.global.settings) {
    command.arguments.insert(command.arguments.end(), {"--set", flag.path + "=" + flag.text});
  }
  std::ranges::copy(arguments.arguments, std::back_inserter(command.arguments));
  for (const std::string& text : arguments.environment) {
    const auto equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("--env: expected NAME=VALUE, got \"{}\"", text));
    }
    command.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  const auto is_text = [](std::string_view text) { return valid_utf8(text) && !text.contains('\0'); };
  const bool all_text = is_text(command.program) && std::ranges::all_of(command.arguments, is_text) &&
                        std::ranges::all_of(arguments.environment, is_text);
  if (!all_text) {
    return fail(ErrorCode::kInvalidArgument,
                "configuration files hold UTF-8 only: look at --arg, --env and the path of this program");
  }
  return command;
}

// What `install` and `uninstall` have in common: a file, a new text for it, and what to say about it.
struct Edit {
  Client client;
  std::string name;
  ClientFile file;
  std::string text;
  std::string action;  // installed, updated, unchanged, removed, absent
  bool dry_run = false;
};

Result<int> carry_out(CommandContext& context, const Edit& edit, json::object document) {
  fs::path backup;
  const bool changes = edit.text != edit.file.text || (edit.action == "installed" && !edit.file.state);
  if (changes && !edit.dry_run) {
    auto done = replace_client_file(edit.file, edit.text, std::chrono::system_clock::now());
    if (!done) return fail(std::move(done.error()));
    backup = std::move(*done);
  }
  Terminal& terminal = context.terminal;
  if (terminal.json()) {
    document["client"] = edit.client.id;
    document["name"] = edit.name;
    document["file"] = edit.file.path.string();
    document["action"] = edit.action;
    document["dry_run"] = edit.dry_run;
    document["backup"] = backup.empty() ? json::value(nullptr) : json::value(backup.string());
    terminal.result(document);
    return kExitSuccess;
  }
  const std::string file = printable(edit.file.path.string());
  if (!changes) {
    terminal.line(edit.action == "absent"
                      ? fmt::format("Nothing to do: {} has no server \"{}\" ({})", edit.client.title, edit.name, file)
                      : fmt::format("Nothing to do: {} is set up ({})", edit.client.title, file));
    return kExitSuccess;
  }
  terminal.line(fmt::format("{}{} \"{}\" {} {}", edit.dry_run ? "Would be done: " : "", edit.action, edit.name,
                            edit.action == "removed" ? "from" : "in", file));
  if (!backup.empty()) terminal.note(fmt::format("The file as it was: {}", printable(backup.string())));
  if (!edit.dry_run) terminal.note(fmt::format("{}: {}", edit.client.title, edit.client.reload));
  return kExitSuccess;
}

struct ClientState {
  bool present = false;
  std::string state;  // no, yes, other (another program or other arguments), error
  std::string error;
};

ClientState state_of(const Client& client, std::string_view name, const json::object& wanted) {
  ClientState out{.present = is_present(client), .state = "no", .error = {}};
  const auto file = read_client_file(client.file);
  auto found = file ? find_entry(client, file->text, name) : Result<std::optional<json::object>>(fail(file.error()));
  if (!found) {
    out.state = "error";
    out.error = in_file(found.error(), client.file).message;
  } else if (*found) {
    out.state = covers(**found, wanted) ? "yes" : "other";
  }
  return out;
}

Result<int> list_clients(CommandContext& context, const InstallArguments& arguments) {
  auto clients = find_clients(context.env);
  if (!clients) return fail(std::move(clients.error()));
  auto command = server_command(context, arguments);
  if (!command) return fail(std::move(command.error()));
  Terminal& terminal = context.terminal;
  json::array rows;
  TextTable table({{"CLIENT"}, {"HERE"}, {"SET UP"}, {"CONFIGURATION"}});
  for (const Client& client : *clients) {
    const ClientState state = state_of(client, arguments.name, entry_of(client, *command));
    json::object row{{"client", client.id},
                     {"title", client.title},
                     {"found", state.present},
                     {"configured", state.state},
                     {"file", client.file.string()}};
    if (!state.error.empty()) row["error"] = state.error;
    rows.push_back(std::move(row));
    table.add({std::string(client.id), state.present ? "yes" : "no", state.state, printable(client.file.string())});
  }
  if (terminal.json()) {
    terminal.result({{"clients", std::move(rows)}});
  } else {
    terminal.out(table.text(terminal));
  }
  return kExitSuccess;
}

}  // namespace

Result<int> run_command(CommandContext& context, const InstallArguments& arguments) {
  if (auto valid = check_server_name(arguments.name); !valid) return fail(std::move(valid.error()));
  if (arguments.list) return list_clients(context, arguments);
  if (arguments.client.empty()) {
    return fail(ErrorCode::kInvalidArgument, "install: CLIENT is missing (llm-mcp install --list shows the clients)");
  }
  auto client = client_of(context, arguments.client, arguments.config_file);
  if (!client) return fail(std::move(client.error()));
  auto command = server_command(context, arguments);
  if (!command) return fail(std::move(command.error()));
  const json::object entry = entry_of(*client, *command);
  if (arguments.print) {
    const std::string snippet = entry_snippet(*client, arguments.name, entry);
    if (!context.terminal.json()) {
      context.terminal.out(snippet);
    } else {
      context.terminal.result(
          {{"entry", entry}, {"client", client->id}, {"file", client->file.string()}, {"text", snippet}});
    }
    return kExitSuccess;
  }
  if (arguments.config_file.empty() && !is_present(*client)) {
    context.terminal.note(
        fmt::format("{} was not found here; its configuration is written all the same.", client->title));
  }
  auto file = read_client_file(client->file);
  if (!file) return fail(std::move(file.error()));
  auto found = find_entry(*client, file->text, arguments.name);
  if (!found) return fail(in_file(std::move(found.error()), file->path));
  auto text = set_entry(*client, file->text, arguments.name, entry);
  if (!text) return fail(in_file(std::move(text.error()), file->path));
  const std::string action = !*found ? "installed" : *text == file->text ? "unchanged" : "updated";
  return carry_out(context,
                   {.client = std::move(*client),
                    .name = arguments.name,
                    .file = std::move(*file),
                    .text = std::move(*text),
                    .action = action,
                    .dry_run = arguments.dry_run},
                   {{"entry", entry}});
}

Result<int> run_command(CommandContext& context, const UninstallArguments& arguments) {
  if (auto valid = check_server_name(arguments.name); !valid) return fail(std::move(valid.error()));
  auto client = client_of(context, arguments.client, arguments.config_file);
  if (!client) return fail(std::move(client.error()));
  auto file = read_client_file(client->file);
  if (!file) return fail(std::move(file.error()));
  auto text = remove_entry(*client, file->text, arguments.name);
  if (!text) return fail(in_file(std::move(text.error()), file->path));
  const std::string action = *text == file->text ? "absent" : "removed";
  return carry_out(context,
                   {.client = std::move(*client),
                    .name = arguments.name,
                    .file = std::move(*file),
                    .text = std::move(*text),
                    .action = action,
                    .dry_run = arguments.dry_run},
                   {});
}

}  // namespace llm::cli
