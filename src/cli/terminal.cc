#include "cli/terminal.h"

#include <cerrno>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/strings.h"

namespace llm::cli {
namespace {

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return;  // a reader that is gone: SIGPIPE has ended us already, or nobody wants to know
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::size_t terminal_width(const EnvLookup& env) {
  for (const int fd : {STDERR_FILENO, STDOUT_FILENO}) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  }
  if (const auto columns = env("COLUMNS")) {
    if (const auto number = parse_number<std::size_t>(*columns); number && *number > 0) return *number;
  }
  return 80;
}

// The locale's character set, by the order that POSIX gives these variables (XBD 8.2).
bool locale_is_utf8(const EnvLookup& env) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const auto value = env(name);
    if (!value || value->empty()) continue;
    const std::string lower = to_lower(*value);
    return lower.contains("utf-8") || lower.contains("utf8");
  }
  return false;
}

std::string_view escape_of(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kRed:
      return "\x1b[31m";
    case Style::kGreen:
      return "\x1b[32m";
    case Style::kYellow:
      return "\x1b[33m";
    case Style::kCyan:
      return "\x1b[36m";
  }
  return "";
}

std::string in_style(bool color, Style style, std::string_view text) {
  if (!color || style == Style::kPlain || text.empty()) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(style), text);
}

bool may_harm(char32_t c) {
  if (c < 0x20) return c != '\n' && c != '\t';
  if (c >= 0x7f && c < 0xa0) return true;
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

TerminalSettings detect_terminal(const EnvLookup& env) {
  TerminalSettings settings;
  settings.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  settings.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  settings.err_is_terminal = ::isatty(STDERR_FILENO) == 1;
  const bool dumb = env("TERM").value_or("dumb") == "dumb";
  settings.can_redraw = settings.err_is_terminal && !dumb;
  const bool plain = dumb || !env("NO_COLOR").value_or("").empty();
  settings.color_out = settings.out_is_terminal && !plain;
  settings.color_err = settings.err_is_terminal && !plain;
  settings.utf8 = locale_is_utf8(env);
  settings.width = terminal_width(env);
  return settings;
}

Terminal::Terminal(TerminalSettings settings, Write out, Write err)
    : settings_(settings), out_(std::move(out)), err_(std::move(err)) {}

Terminal::Terminal(TerminalSettings settings)
    : Terminal(
          settings, [](std::string_view text) { write_all(STDOUT_FILENO, text); },
          [](std::string_view text) { write_all(STDERR_FILENO, text); }) {}

void Terminal::line(std::string_view text) {
  out_(fmt::format("{}\n", text));
}

void Terminal::result(const json::object& document) {
  line(json::write(document));
}

void Terminal::note(std::string_view text) {
  if (!settings_.quiet) err_(fmt::format("{}\n", text));
}

void Terminal::error(std::string_view message) {
  const std::string_view rest = trim(message);
  err_(fmt::format("{} {}\n", styled_err(Style::kRed, "llm-mcp:"),
                   settings_.err_is_terminal ? printable(rest) : std::string(rest)));
}

void Terminal::error(const Error& failure) {
  error(to_string(failure));
}

std::string Terminal::styled(Style style, std::string_view text) const {
  return in_style(settings_.color_out, style, text);
}

std::string Terminal::styled_err(Style style, std::string_view text) const {
  return in_style(settings_.color_err, style, text);
}

CodePoint next_code_point(std::string_view text) {
  constexpr CodePoint kBroken{0xfffd, 1};
  if (text.empty()) return {};
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return kBroken;
  char32_t value = lead & (0xffU >> (bytes + 1));
  for (std::size_t at = 1; at < bytes; ++at) {
    const auto next = static_cast<unsigned char>(text[at]);
    if ((next & 0xc0U) != 0x80U) return kBroken;
    value = (value << 6) | (next & 0x3fU);
  }
  return {value, bytes};
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint next = next_code_point(text);
    if (!may_harm(next.value)) out.append(text.substr(0, next.bytes));
    text.remove_prefix(next.bytes);
  }
  return out;
}

}  // namespace llm::cli
