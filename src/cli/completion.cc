#include "cli/completion.h"

#include <fmt/format.h>
#include <vector>

#include "base/strings.h"
#include "cli/client_config.h"

namespace llm::cli {
namespace {

// What completes a value, by the name the parser gives it.
enum class Values { kNone, kFiles, kModels, kClients, kCommands, kChoices };

Values values_of(const ArgumentSpec& argument) {
  if (argument.value == "FILE" || argument.value == "DIRECTORY") return Values::kFiles;
  if (argument.value == "MODEL") return Values::kModels;
  if (argument.value == "CLIENT") return Values::kClients;
  if (argument.value == "COMMAND") return Values::kCommands;
  return argument.choices().empty() ? Values::kNone : Values::kChoices;
}

std::string joined(const std::vector<std::string>& words, std::string_view separator = " ") {
  return fmt::format("{}", fmt::join(words, separator));
}

std::vector<std::string> command_names(const CommandSpec& program) {
  std::vector<std::string> names;
  for (const CommandSpec& command : program.commands) names.push_back(command.name);
  return names;
}

std::vector<std::string> with_aliases(const CommandSpec& command) {
  std::vector<std::string> names{command.name};
  names.insert(names.end(), command.aliases.begin(), command.aliases.end());
  return names;
}

// `text` with a backslash before each of `special`.
std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.contains(c)) out += '\\';
    out += c;
  }
  return out;
}

// For single quotes of a POSIX shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

// --- bash

std::string bash_action(const CommandSpec& program, const ArgumentSpec& argument) {
  switch (values_of(argument)) {
    case Values::kFiles:
      return "_llm_mcp_reply_files";
    case Values::kModels:
      return "_llm_mcp_reply \"$(llm-mcp list --quiet 2>/dev/null)\"";
    case Values::kClients:
      return fmt::format("_llm_mcp_reply '{}'", joined(client_ids()));
    case Values::kCommands:
      return fmt::format("_llm_mcp_reply '{}'", joined(command_names(program)));
    case Values::kChoices:
      return fmt::format("_llm_mcp_reply '{}'", joined(argument.choices()));
    case Values::kNone:
      return ":";
  }
  return ":";
}

// The cases of `previous` that take a value, and the option words of a command.
void bash_options(std::string& out, const CommandSpec& program, const CommandSpec& command, std::string_view indent) {
  for (const ArgumentSpec& argument : command.arguments) {
    if (argument.positional || argument.value.empty()) continue;
    out += fmt::format("{}{}) {}; return ;;\n", indent, joined(argument.names, "|"), bash_action(program, argument));
  }
}

std::string option_words(const CommandSpec& command) {
  std::string words;
  for (const ArgumentSpec& argument : command.arguments) {
    if (!argument.positional) words += joined(argument.names) + " ";
  }
  return words;
}

std::string value_options(const CommandSpec& program) {
  std::vector<std::string> names;
  for (const ArgumentSpec& argument : program.arguments) {
    if (!argument.positional && !argument.value.empty()) names.push_back(joined(argument.names, "|"));
  }
  return joined(names, "|");
}

void bash_command(std::string& out, const CommandSpec& program, const CommandSpec& command) {
  out += fmt::format("    {})\n", joined(with_aliases(command), "|"));
  std::string options;
  bash_options(options, program, command, "        ");
  if (!options.empty()) out += fmt::format("      case $previous in\n{}      esac\n", options);
  out += fmt::format("      if [[ $current == -* ]]; then _llm_mcp_reply \"$options {}\"; return; fi\n",
                     trim(option_words(command)));
  int place = 0;
  std::string places;
  for (const ArgumentSpec& argument : command.arguments) {
    if (!argument.positional) continue;
    ++place;
    places += fmt::format("        {}) {} ;;\n", argument.repeats ? "*" : fmt::to_string(place),
                          bash_action(program, argument));
  }
  if (!places.empty()) out += fmt::format("      case $place in\n{}      esac\n", places);
  out += "      ;;\n";
}

// A model's name may hold a colon, at which bash parts words: the word is taken from the line instead, and what is
// before its last colon is cut from the replies.
constexpr std::string_view kBashHead = R"(# bash completion for llm-mcp; made by: llm-mcp completion bash
_llm_mcp_reply() {
  local colon=
  if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then colon=${current%"${current##*:}"}; fi
  local IFS=$' \t\n'
  COMPREPLY=($(compgen -W "$1" -- "$current"))
  local at
  for at in "${!COMPREPLY[@]}"; do COMPREPLY[at]=${COMPREPLY[at]#"$colon"}; done
}
_llm_mcp_reply_files() {
  local IFS=$'\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -f -- "$current"))
}
_llm_mcp() {
  COMPREPLY=()
  local line=${COMP_LINE:0:COMP_POINT} words word command= place=0 skip=
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local last=$((${#words[@]} - 1))
  local current=${words[last]} previous=${words[last - 1]}
  for word in "${words[@]:1:last-1}"; do
    if [[ $skip ]]; then skip=; continue; fi
    case $word in
)";

std::string bash_script(const CommandSpec& program) {
  std::string out(kBashHead);
  std::vector<std::string> takes{value_options(program)};
  for (const CommandSpec& command : program.commands) {
    if (std::string names = value_options(command); !names.empty()) takes.push_back(std::move(names));
  }
  out += fmt::format("      {}) skip=1 ;;\n", joined(takes, "|"));
  out += "      -*) ;;\n";
  out += "      *) if [[ $command ]]; then place=$((place + 1)); else command=$word; fi ;;\n";
  out += "    esac\n  done\n  place=$((place + 1))\n";
  out += fmt::format("  local options='{}'\n  case $previous in\n", trim(option_words(program)));
  bash_options(out, program, program, "    ");
  out += "  esac\n  case $command in\n";
  out += fmt::format(
      "    '') if [[ $current == -* ]]; then _llm_mcp_reply \"$options\"; else _llm_mcp_reply '{}'; fi ;;\n",
      joined(command_names(program)));
  for (const CommandSpec& command : program.commands) bash_command(out, program, command);
  return out + "  esac\n}\ncomplete -F _llm_mcp llm-mcp\n";
}

// --- zsh

std::string zsh_action(const CommandSpec& program, const ArgumentSpec& argument) {
  switch (values_of(argument)) {
    case Values::kFiles:
      return "_files";
    case Values::kModels:
      return "_llm_mcp_models";
    case Values::kClients:
      return fmt::format("({})", joined(client_ids()));
    case Values::kCommands:
      return fmt::format("({})", joined(command_names(program)));
    case Values::kChoices:
      return fmt::format("({})", joined(argument.choices()));
    case Values::kNone:
      return " ";
  }
  return " ";
}

std::string zsh_argument(const CommandSpec& program, const ArgumentSpec& argument) {
  const std::string action = zsh_action(program, argument);
  const std::string value = escaped(argument.value, ":[]\\");
  if (argument.positional) return shell_quoted(fmt::format("{}:{}:{}", argument.repeats ? "*" : "", value, action));
  std::string out;
  for (const std::string& name : argument.names) {
    if (!out.empty()) out += ' ';
    std::string text =
        fmt::format("{}{}[{}]", argument.repeats ? "*" : "", name, escaped(argument.description, ":[]\\"));
    if (!argument.value.empty()) text += fmt::format(":{}:{}", value, action);
    out += shell_quoted(text);
  }
  return out;
}

std::string zsh_arguments(const CommandSpec& program, const CommandSpec& command, std::string_view indent) {
  std::string out;
  for (const ArgumentSpec& argument : command.arguments) {
    out += fmt::format(" \\\n{}{}", indent, zsh_argument(program, argument));
  }
  return out;
}

std::string zsh_script(const CommandSpec& program) {
  std::string out =
      "#compdef llm-mcp\n"
      "# zsh completion for llm-mcp; made by: llm-mcp completion zsh\n"
      "_llm_mcp_models() {\n"
      "  local -a models\n"
      "  models=(${(f)\"$(llm-mcp list --quiet 2>/dev/null)\"})\n"
      "  compadd -a models\n"
      "}\n"
      "_llm_mcp() {\n"
      "  local context state state_descr line\n"
      "  typeset -A opt_args\n";
  out += fmt::format("  _arguments -C{} \\\n    '1:command:->command' '*::argument:->argument'\n",
                     zsh_arguments(program, program, "    "));
  out += "  case $state in\n    command)\n      local -a commands\n      commands=(\n";
  for (const CommandSpec& command : program.commands) {
    out +=
        fmt::format("        {}\n", shell_quoted(fmt::format("{}:{}", command.name, escaped(command.summary, ":\\"))));
  }
  out += "      )\n      _describe command commands\n      ;;\n    argument)\n      case $line[1] in\n";
  for (const CommandSpec& command : program.commands) {
    out +=
        fmt::format("        {})\n          _arguments{}{}\n          ;;\n", joined(with_aliases(command), "|"),
                    zsh_arguments(program, program, "            "), zsh_arguments(program, command, "            "));
  }
  out += "      esac\n      ;;\n  esac\n}\n";
  return out + "if [ \"$funcstack[1]\" = _llm_mcp ]; then _llm_mcp \"$@\"; else compdef _llm_mcp llm-mcp; fi\n";
}

// --- fish

std::string fish_quoted(std::string_view text) {
  return "'" + escaped(text, "'\\") + "'";
}

std::string fish_values(const CommandSpec& program, const ArgumentSpec& argument) {
  switch (values_of(argument)) {
    case Values::kFiles:
      return " -F";
    case Values::kModels:
      return " -f -a '(llm-mcp list --quiet 2>/dev/null)'";
    case Values::kClients:
      return fmt::format(" -f -a {}", fish_quoted(joined(client_ids())));
    case Values::kCommands:
      return fmt::format(" -f -a {}", fish_quoted(joined(command_names(program))));
    case Values::kChoices:
      return fmt::format(" -f -a {}", fish_quoted(joined(argument.choices())));
    case Values::kNone:
      return "";
  }
  return "";
}

void fish_arguments(std::string& out, const CommandSpec& program, const CommandSpec& command,
                    const std::string& condition) {
  for (const ArgumentSpec& argument : command.arguments) {
    if (argument.positional) {
      const std::string values = fish_values(program, argument);
      if (!values.empty()) out += fmt::format("complete -c llm-mcp{}{}\n", condition, values);
      continue;
    }
    std::string names;
    for (const std::string& name : argument.names) {
      names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    out += fmt::format("complete -c llm-mcp{}{}{}{} -d {}\n", condition, names, argument.value.empty() ? "" : " -r",
                       argument.value.empty() ? "" : fish_values(program, argument), fish_quoted(argument.description));
  }
}

std::string fish_script(const CommandSpec& program) {
  std::string out =
      "# fish completion for llm-mcp; made by: llm-mcp completion fish\n"
      "complete -c llm-mcp -f\n";
  fish_arguments(out, program, program, "");
  for (const CommandSpec& command : program.commands) {
    out += fmt::format("complete -c llm-mcp -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       fish_quoted(command.summary));
  }
  for (const CommandSpec& command : program.commands) {
    const std::string names = joined(with_aliases(command));
    fish_arguments(out, program, command, fmt::format(" -n '__fish_seen_subcommand_from {}'", names));
  }
  return out;
}

}  // namespace

Result<std::string> completion_script(const CommandSpec& program, std::string_view shell) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  if (shell == "fish") return fish_script(program);
  return fail(ErrorCode::kInvalidArgument, fmt::format("no completion for \"{}\"; there is bash, zsh and fish", shell));
}

}  // namespace llm::cli
