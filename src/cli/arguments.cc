// What was typed: the words of a command line, or what is wrong with them.
#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>

#include "base/strings.h"
#include "cli/command_tree.h"

namespace llm::cli {
namespace {

std::vector<std::string> option_names(const CLI::Option& option) {
  std::vector<std::string> names;
  if (option.get_positional()) return {option.get_name(true)};
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

CommandSpec describe(const CLI::App& app) {
  CommandSpec spec{app.get_name(), app.get_aliases(), app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr() && app.get_parent()) continue;
    const bool takes_value = option->get_type_size_max() > 0;
    spec.arguments.push_back({option_names(*option), takes_value ? option->get_type_name() : "",
                              option->get_description(), option->get_positional(), option->get_required(),
                              takes_value && option->get_items_expected_max() > 1});
  }
  for (const CLI::App* command : app.get_subcommands({})) spec.commands.push_back(describe(*command));
  return spec;
}

const CLI::App* selected(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? nullptr : commands.front();
}

std::string did_you_mean(std::string_view wanted, const std::vector<std::string>& candidates) {
  const auto near = nearest(wanted, candidates);
  return near.empty() ? std::string() : fmt::format("; did you mean {}?", fmt::join(near, " or "));
}

std::string_view help_hint(const CLI::App* command) {
  return command ? "llm-mcp " : "llm-mcp --help";
}

// The first word that nothing takes.
std::string unexpected(const CLI::App& app, const std::string& word) {
  const CLI::App* command = selected(app);
  std::vector<std::string> candidates;
  if (!word.starts_with("-")) {
    if (command) {
      return fmt::format("{}: unexpected argument \"{}\" (llm-mcp {} --help shows its usage)", command->get_name(),
                         word, command->get_name());
    }
    for (const CLI::App* one : app.get_subcommands({})) candidates.push_back(one->get_name());
    const std::string meant = did_you_mean(word, candidates);
    return fmt::format("unknown command \"{}\"{}", word, meant.empty() ? " (llm-mcp --help lists them)" : meant);
  }
  const std::string name = word.substr(0, word.find('='));
  for (const CLI::App* one : {&app, command}) {
    if (!one) continue;
    for (const CLI::Option* option : one->get_options()) {
      if (!option->get_positional()) std::ranges::move(option_names(*option), std::back_inserter(candidates));
    }
  }
  const std::string meant = did_you_mean(name, candidates);
  const std::string where = command ? command->get_name() + ": " : std::string();
  if (!meant.empty()) return fmt::format("{}unknown option {}{}", where, name, meant);
  return fmt::format("{}unknown option {} (after \"--\" words may start with a dash; {}{} shows the options)", where,
                     name, help_hint(command), command ? command->get_name() + " --help" : "");
}

Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string message;
  const CLI::App* command = selected(app);
  const auto rest = app.remaining(true);
  const auto unknown = std::ranges::find_if(rest, [](const std::string& word) { return word != "--"; });
  if (unknown != rest.end()) {
    message = unexpected(app, *unknown);
  } else if (dynamic_cast<const CLI::RequiredError*>(&error) && command) {
    const std::string_view what = error.what();
    const bool named = what.ends_with(" is required");
    message = fmt::format("{}: {} is missing (llm-mcp {} --help shows its usage)", command->get_name(),
                          named ? what.substr(0, what.size() - 12) : what, command->get_name());
  } else if (const std::string_view what = error.what(); what.contains(" required ") && what.contains(": ")) {
    message = fmt::format("{}: a value is missing", what.substr(0, what.find(": ")));
  } else {
    message = what;
  }
  return {ErrorCode::kInvalidArgument, std::move(message), {}, {}, 0};
}

TcpListen tcp_of(const std::string& text) {
  if (text == "optional") return TcpListen::kOptional;
  return text == "off" ? TcpListen::kOff : TcpListen::kRequired;
}

CommandArguments command_of(const std::string& name, Parsed& parsed) {
  const std::map<std::string_view, CommandArguments> commands{
      {"serve", ServeArguments{tcp_of(parsed.tcp)}},
      {"stdio", parsed.stdio},
      {"chat", parsed.chat},
      {"pull", parsed.pull},
      {"import", parsed.import},
      {"list", ListArguments{}},
      {"show", parsed.show},
      {"rm", parsed.remove},
      {"alias", parsed.alias},
      {"versions", parsed.versions},
      {"promote", parsed.promote},
      {"rollback", parsed.rollback},
      {"export", parsed.export_model},
      {"gc", parsed.gc},
      {"ps", EnginesArguments{}},
      {"load", parsed.load},
      {"unload", parsed.unload},
      {"status", StatusArguments{}},
      {"stop", StopArguments{}},
      {"install", parsed.install},
      {"uninstall", parsed.uninstall},
      {"keys", parsed.keys},
      {"projects", parsed.projects},
      {"users", parsed.users},
      {"roles", parsed.roles},
      {"usage", parsed.usage},
      {"audit", parsed.audit},
      {"providers", parsed.providers},
      {"engine", parsed.engine},
      {"doctor", parsed.doctor},
      {"config", parsed.config},
      {"completion", parsed.completion},
      {"version", VersionArguments{}},
      {"help", parsed.help},
  };
  const auto found = commands.find(name);
  return found == commands.end() ? CommandArguments(HelpArguments{}) : found->second;
}

Result<void> check_help(const CLI::App& app, const std::string& command) {
  if (command.empty()) return {};
  std::vector<std::string> names;
  for (const CLI::App* one : app.get_subcommands({})) {
    if (one->check_name(command)) return {};
    names.push_back(one->get_name());
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("there is no command \"{}\"{}", command, did_you_mean(command, names)));
}

}  // namespace

Result<Invocation> parse_arguments(std::span<const std::string> arguments) {
  CommandTree tree;
  CLI::App& app = tree.app();
  Parsed& parsed = tree.parsed();
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 wants the last word first
  } catch (const CLI::CallForHelp&) {
    const CLI::App* command = selected(app);
    return Invocation{parsed.global, HelpArguments{command ? command->get_name() : ""}};
  } catch (const CLI::ParseError& error) {
    return fail(usage_error(app, error));
  }
  if (parsed.version) return Invocation{parsed.global, VersionArguments{}};
  const CLI::App* command = selected(app);
  if (auto known = check_help(app, parsed.help.command); !known) return fail(std::move(known.error()));
  return Invocation{parsed.global, command_of(command ? command->get_name() : "help", parsed)};
}

std::vector<std::string> ArgumentSpec::choices() const {
  std::vector<std::string> out;
  if (!value.contains('|')) return out;
  for (const std::string_view choice : split(value, '|')) out.emplace_back(choice);
  return out;
}

CommandSpec describe_arguments() {
  CommandTree tree;
  return describe(tree.app());
}

}  // namespace llm::cli
