#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"

namespace llm::observe {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
std::string_view to_string(LogLevel level);                      // "trace" … "off"
std::optional<LogLevel> parse_log_level(std::string_view text);  // the same words, in any case

enum class LogFormat : std::uint8_t {
  kAuto,  // text when standard error is a terminal, else JSON
  kJson,  // one JSON object per line
  kText,
};
enum class LogColor : std::uint8_t {
  kAuto,  // on a terminal, unless NO_COLOR is set or TERM is "dumb"
  kAlways,
  kNever,
};

struct LogSettings {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kAuto;
  LogColor color = LogColor::kAuto;  // text only
  std::string file;                  // empty: standard error; else lines are appended to this file
};

// One typed value beside a message; made on the stack for the length of the call, so it only refers to its texts.
// The names "ts", "level" and "msg" are the line's own: a field so named is written with a leading underscore.
struct LogField {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogField(std::string_view field_name, std::string_view text) : name(field_name), value(text) {}
  LogField(std::string_view field_name, const char* text) : name(field_name), value(std::string_view(text)) {}
  LogField(std::string_view field_name, const std::string& text) : name(field_name), value(std::string_view(text)) {}
  LogField(std::string_view field_name, std::same_as<bool> auto flag) : name(field_name), value(flag) {}
  LogField(std::string_view field_name, std::signed_integral auto number)
      : name(field_name), value(static_cast<std::int64_t>(number)) {}
  LogField(std::string_view field_name, std::unsigned_integral auto number)
    requires(!std::same_as<decltype(number), bool>)
      : name(field_name), value(static_cast<std::uint64_t>(number)) {}
  LogField(std::string_view field_name, std::floating_point auto number)
      : name(field_name), value(static_cast<double>(number)) {}

  std::string_view name;
  Value value;
};
using LogFields = std::initializer_list<LogField>;

// What takes finished lines (with their LF) instead of a file. Called by one thread at a time; must not log itself.
using LogTarget = std::function<void(LogLevel level, std::string_view line)>;

// The log. Every member may be called by any thread. A line is formatted once, into a buffer of the calling thread,
// and written with one system call. Writing never fails the caller: an error or a reader that does not keep up (a pipe
// that stays full for 50 ms) costs the line and is counted. SIGPIPE is expected to be ignored by the program.
//
//   log.info("engine started", {{"model", name}, {"pid", 12}, {"ms", 1.5}});
//
// Neither messages nor fields may hold prompts, completions or secrets; see redact(). Control characters, terminal
// escapes and bidirectional overrides are written as escapes: a value cannot forge a line.
class Log {
 public:
  Log();  // writes nothing
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Opens the log that the settings describe; missing folders of the file are made. An Error says which file and why.
  static Result<std::unique_ptr<Log>> open(const LogSettings& settings);
  // Writes to `target`; kAuto means JSON. For tests (see LogCapture) and for forwarding.
  static std::unique_ptr<Log> to_target(LogTarget target, LogLevel level = LogLevel::kTrace,
                                        LogFormat format = LogFormat::kJson);

  bool enabled(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }
  LogLevel level() const { return level_.load(std::memory_order_relaxed); }
  void set_level(LogLevel level);  // stays off for a log that writes nothing

  void trace(std::string_view message, LogFields fields = {}) { log(LogLevel::kTrace, message, fields); }
  void debug(std::string_view message, LogFields fields = {}) { log(LogLevel::kDebug, message, fields); }
  void info(std::string_view message, LogFields fields = {}) { log(LogLevel::kInfo, message, fields); }
  void warn(std::string_view message, LogFields fields = {}) { log(LogLevel::kWarn, message, fields); }
  void error(std::string_view message, LogFields fields = {}) { log(LogLevel::kError, message, fields); }
  void log(LogLevel level, std::string_view message, LogFields fields) {
    log(level, message, std::span(fields.begin(), fields.size()));
  }
  // For fields that are gathered at run time.
  void log(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    if (enabled(level)) write(level, message, fields);
  }

  // Opens the file anew (after a log rotation moved it); nothing to do for standard error. On failure the old one
  // stays.
  Result<void> reopen();
  // Lines lost so far.
  std::uint64_t write_errors() const;

 private:
  struct Impl;
  Log(std::unique_ptr<Impl> impl, LogLevel level);
  void write(LogLevel level, std::string_view message, std::span<const LogField> fields);

  std::atomic<LogLevel> level_{LogLevel::kOff};
  std::unique_ptr<Impl> impl_;  // null: writes nothing
};

// What may be said of a secret: "<redacted 32 bytes>".
std::string redact(std::string_view secret);

}  // namespace llm::observe
