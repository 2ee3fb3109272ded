#include "mcp/client/parameter_headers.h"

#include <cmath>
#include <fmt/format.h>
#include <optional>

#include "mcp/client/http_link.h"

namespace llm::mcp {
namespace {

std::optional<std::string> value_text(const json::value& value) {
  if (const auto* text = value.if_string()) return encode_header_value(*text);
  if (const auto* flag = value.if_bool()) return *flag ? "true" : "false";
  if (const auto* number = value.if_int64()) return fmt::format_int(*number).str();
  if (const auto* number = value.if_uint64()) return fmt::format_int(*number).str();
  if (const auto* number = value.if_double(); number != nullptr && std::trunc(*number) == *number) {
    return fmt::format("{:.0f}", *number);
  }
  return std::nullopt;
}

const json::value* at_path(const json::object& arguments, std::span<const std::string> path) {
  const json::object* object = &arguments;
  const json::value* found = nullptr;
  for (const std::string& name : path) {
    found = object != nullptr ? json::find(*object, name) : nullptr;
    if (found == nullptr) return nullptr;
    object = found->if_object();
  }
  return found;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parameter_headers(std::span<const HeaderParameter> parameters,
                                                                   const json::object& arguments) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [header, path] : parameters) {
    const json::value* argument = at_path(arguments, path);
    if (argument == nullptr) continue;
    if (auto text = value_text(*argument)) out.emplace_back(header, std::move(*text));
  }
  return out;
}

}  // namespace llm::mcp
