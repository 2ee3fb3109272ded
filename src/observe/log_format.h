#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "observe/log.h"

namespace llm::observe {

// How a line looks; Log calls these, and tests do. Each appends one line with its LF.

// {"ts":"2026-01-31T12:03:04.123Z","level":"info","msg":"engine started","model":"smollm2","pid":12}
void append_json_line(std::string& out, std::chrono::system_clock::time_point time, LogLevel level,
                      std::string_view message, std::span<const LogField> fields);

// 12:03:04.123 INFO  engine started model=smollm2 pid=12   (local time; values are quoted where they need it)
void append_text_line(std::string& out, std::chrono::system_clock::time_point time, LogLevel level,
                      std::string_view message, std::span<const LogField> fields, bool color);

}  // namespace llm::observe
