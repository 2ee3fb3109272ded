#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/paths.h"
#include "json/json.h"

namespace llm::cli {

enum class Style { kPlain, kBold, kDim, kRed, kGreen, kYellow, kCyan };

struct TerminalSettings {
  bool json = false;   // results as JSON on standard output
  bool quiet = false;  // nothing but results and errors
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool can_redraw = false;  // standard error understands "back to the line's start" and "erase"
  bool color_out = false;
  bool color_err = false;
  bool utf8 = false;       // may output hold more than ASCII?
  std::size_t width = 80;  // columns
};

// What the process is connected to. Colours only on terminals, unless NO_COLOR is set (no-color.org) or TERM is "dumb".
TerminalSettings detect_terminal(const EnvLookup& env);

// Where a command writes. Results go to standard output, everything about the way there to standard error. One thread
// at a time.
class Terminal {
 public:
  using Write = std::function<void(std::string_view text)>;

  Terminal(TerminalSettings settings, Write out, Write err);
  explicit Terminal(TerminalSettings settings);  // the process's own standard output and error

  const TerminalSettings& settings() const { return settings_; }
  bool json() const { return settings_.json; }
  bool quiet() const { return settings_.quiet; }

  void out(std::string_view text) { out_(text); }
  void line(std::string_view text);           // to standard output, with a line end
  void result(const json::object& document);  // one line of JSON on standard output
  void err(std::string_view text) { err_(text); }
  void note(std::string_view text);      // a line on standard error, unless --quiet
  void error(std::string_view message);  // "llm-mcp: message" on standard error
  void error(const Error& failure);

  // Text in a style where that stream has colours, else the text itself.
  std::string styled(Style style, std::string_view text) const;      // for standard output
  std::string styled_err(Style style, std::string_view text) const;  // for standard error

 private:
  TerminalSettings settings_;
  Write out_;
  Write err_;
};

// Without what could take over a terminal: control characters but line feed and tab, DEL, C1 controls and
// bidirectional overrides are dropped. For text from models and files that goes to a terminal.
std::string printable(std::string_view text);

// The next code point of well-formed UTF-8 and how many bytes it takes; U+FFFD and 1 for a byte that fits nowhere.
struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 0;
};
CodePoint next_code_point(std::string_view text);

}  // namespace llm::cli
