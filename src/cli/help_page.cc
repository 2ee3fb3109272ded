#include <algorithm>
#include <fmt/format.h>

#include "cli/help_text.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

constexpr std::string_view kDescription =
    "llm-mcp makes local language models usable by everything that wants one: MCP clients over stdio and HTTP, any "
    "OpenAI SDK, programs over REST and WebSocket. It starts, watches and stops the engines that do the inference, or "
    "uses servers that already run. Nothing leaves the machine unless the configuration says so.";

constexpr std::string_view kProgramExamples =
    "llm-mcp pull hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF --name smollm2\n"
    "llm-mcp chat smollm2 'Why is the sky blue?'\n"
    "llm-mcp serve  # then: curl http://127.0.0.1:10833/v1/models\n"
    "llm-mcp doctor  # what is wrong, and how to mend it";

constexpr std::pair<std::string_view, std::string_view> kEnvironment[] = {
    {"LLM_MCP_CONFIG", "The configuration file, where --config does not name one."},
    {"LLM_MCP_SECTION__KEY",
     "Any setting, for example LLM_MCP_SERVER__PORT=8080. Stronger than the file, weaker than "
     "flags."},
    {"XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR", "Where the files below are."},
    {"NO_COLOR", "Set to anything: no colours."},
};

constexpr std::pair<std::string_view, std::string_view> kFiles[] = {
    {"~/.config/llm-mcp/llm-mcp.yaml", "The configuration; see llm-mcp config reference."},
    {"~/.local/share/llm-mcp/models/", "The model store."},
    {"$XDG_RUNTIME_DIR/llm-mcp/gateway.sock",
     "The gateway's Unix socket; without that variable in "
     "/tmp/llm-mcp-UID/. Beside it: gateway.pid, gateway.json, and the log "
     "of a gateway in the background."},
};

constexpr std::pair<std::string_view, std::string_view> kExitStatus[] = {
    {"0", "Success."},
    {"1", "Failure."},
    {"2", "Wrong arguments or a wrong configuration."},
    {"3", "No such model, file or alias."},
    {"4", "The gateway or an engine is not available."},
    {"130", "Interrupted by Ctrl-C."},
};

class Page {
 public:
  explicit Page(const Terminal& terminal)
      : terminal_(terminal), width_(std::clamp<std::size_t>(terminal.settings().width, 40, 100)) {}

  void heading(std::string_view text) {
    if (!text_.empty()) text_ += '\n';
    text_ += terminal_.styled(Style::kBold, text) + "\n";
  }
  void paragraph(std::string_view text) {
    if (!text.empty()) text_ += wrap(text, width_, 2) + "\n";
  }
  // A term and what it means; beside each other where the term is short.
  void entry(std::string_view term, std::string_view meaning, std::size_t column) {
    std::string described = wrap(meaning, width_, column);
    const std::size_t size = display_width(term) + 2;
    text_ += "  " + terminal_.styled(Style::kCyan, term);
    if (size + 2 > column) {
      text_ += "\n" + described;
    } else {
      text_.append(column - size, ' ');
      text_ += described.substr(std::min(column, described.size()));
    }
    text_ += '\n';
  }
  void examples(std::string_view lines) {
    while (!lines.empty()) {
      const std::size_t end = std::min(lines.find('\n'), lines.size());
      const std::string_view line = lines.substr(0, end);
      lines.remove_prefix(std::min(end + 1, lines.size()));
      const std::size_t remark = line.find("  # ");
      text_ += fmt::format("  {}", line.substr(0, remark));
      if (remark != std::string_view::npos) text_ += terminal_.styled(Style::kDim, line.substr(remark));
      text_ += '\n';
    }
  }
  std::string take() { return std::move(text_); }

 private:
  const Terminal& terminal_;
  std::size_t width_;
  std::string text_;
};

std::string term_of(const ArgumentSpec& argument) {
  if (argument.positional) return argument.value;
  std::string term;
  for (const std::string& name : argument.names) term += (term.empty() ? "" : ", ") + name;
  if (!argument.value.empty()) term += " " + argument.value;
  return term;
}

std::string synopsis(const CommandSpec& command) {
  std::string text = "llm-mcp " + command.name;
  if (std::ranges::any_of(command.arguments, [](const auto& one) { return !one.positional; })) text += " [options]";
  for (const ArgumentSpec& argument : command.arguments) {
    if (!argument.positional) continue;
    const std::string value = argument.value + (argument.repeats ? "..." : "");
    text += argument.required ? " " + value : " [" + value + "]";
  }
  return text;
}

void add_arguments(Page& page, const CommandSpec& command, bool positional, std::string_view heading) {
  std::size_t column = 16;
  for (const ArgumentSpec& argument : command.arguments) {
    column = std::max(column, std::min<std::size_t>(display_width(term_of(argument)) + 4, 30));
  }
  bool first = true;
  for (const ArgumentSpec& argument : command.arguments) {
    if (argument.positional != positional) continue;
    if (std::exchange(first, false)) page.heading(heading);
    page.entry(term_of(argument), argument.description, column);
  }
}

template <std::size_t N>
void add_entries(Page& page, std::string_view heading,
                 const std::pair<std::string_view, std::string_view> (&entries)[N], std::size_t column) {
  page.heading(heading);
  for (const auto& [term, meaning] : entries) page.entry(term, meaning, column);
}

std::string program_page(const CommandSpec& program, const Terminal& terminal) {
  Page page(terminal);
  page.heading("USAGE");
  page.paragraph("llm-mcp [options] COMMAND [arguments]\nllm-mcp COMMAND --help");
  page.heading("DESCRIPTION");
  page.paragraph(kDescription);
  page.heading("COMMANDS");
  std::string_view group;
  for (const CommandHelp& command : command_help()) {
    if (command.group != group) page.paragraph(terminal.styled(Style::kBold, command.group));
    group = command.group;
    page.entry("  " + std::string(command.name), command.summary, 16);
  }
  add_arguments(page, program, false, "OPTIONS");
  page.heading("EXAMPLES");
  page.examples(kProgramExamples);
  add_entries(page, "ENVIRONMENT", kEnvironment, 26);
  add_entries(page, "FILES", kFiles, 8);
  add_entries(page, "EXIT STATUS", kExitStatus, 8);
  return page.take();
}

}  // namespace

std::string help_page(const CommandSpec& program, std::string_view command, const Terminal& terminal) {
  const auto spec = std::ranges::find_if(program.commands, [&](const CommandSpec& one) {
    return one.name == command || std::ranges::find(one.aliases, command) != one.aliases.end();
  });
  if (spec == program.commands.end()) return program_page(program, terminal);
  Page page(terminal);
  page.heading("USAGE");
  page.paragraph(synopsis(*spec));
  page.heading("DESCRIPTION");
  page.paragraph(spec->summary + ".");
  const CommandHelp* help = find_command_help(spec->name);
  if (help) page.paragraph(help->description);
  if (!spec->aliases.empty()) page.paragraph(fmt::format("Also called {}.", fmt::join(spec->aliases, ", ")));
  add_arguments(page, *spec, true, "ARGUMENTS");
  add_arguments(page, *spec, false, "OPTIONS");
  add_arguments(page, program, false, "OPTIONS OF EVERY COMMAND");
  if (help && !help->examples.empty()) {
    page.heading("EXAMPLES");
    page.examples(help->examples);
  }
  page.heading("EXIT STATUS");
  std::string statuses;
  for (const auto& [status, meaning] : kExitStatus) statuses += fmt::format("{} {} ", status, meaning);
  page.paragraph(statuses);
  return page.take();
}

}  // namespace llm::cli
