#include "mcp/context.h"

#include <algorithm>
#include <array>

namespace llm::mcp {
namespace {

constexpr std::array<std::string_view, 8> kLevels{"debug", "info",     "notice", "warning",
                                                  "error", "critical", "alert",  "emergency"};

const json::object* member(const json::object& object, std::string_view key) {
  const json::value* found = json::find(object, key);
  return found != nullptr ? found->if_object() : nullptr;
}

}  // namespace

std::string_view to_string(LogLevel level) {
  return kLevels[static_cast<std::size_t>(level)];
}

std::optional<LogLevel> parse_log_level(std::string_view name) {
  const auto found = std::ranges::find(kLevels, name);
  if (found == kLevels.end()) return std::nullopt;
  return static_cast<LogLevel>(found - kLevels.begin());
}

bool Caller::can_answer(std::string_view method, const json::object& params) const {
  if (method == "elicitation/create") {
    const json::object* elicitation = member(capabilities, "elicitation");
    if (elicitation == nullptr) return false;
    if (json::string_or(params, "mode") == "url") return elicitation->contains("url");
    return elicitation->contains("form") || !elicitation->contains("url");  // an empty object means forms
  }
  if (method == "sampling/createMessage") {
    const json::object* sampling = member(capabilities, "sampling");
    if (sampling == nullptr) return false;
    const bool tools = params.contains("tools") || params.contains("toolChoice");
    return !tools || sampling->contains("tools");
  }
  return method == "roots/list" && member(capabilities, "roots") != nullptr;
}

bool Caller::has_extension(std::string_view id) const {
  const json::object* extensions = member(capabilities, "extensions");
  return extensions != nullptr && member(*extensions, id) != nullptr;
}

const json::object* Context::input(std::string_view key) const {
  return member(inputs, key);
}

}  // namespace llm::mcp
