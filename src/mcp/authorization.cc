#include "mcp/authorization.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/error.h"

namespace llm::mcp {
namespace {

using access::Permission;
using access::Principal;

std::optional<Permission> unless(const Principal& caller, Permission needed) {
  return caller.may(needed) ? std::nullopt : std::optional(needed);
}

std::optional<Permission> of_tool(const Server& server, std::string_view name, const Principal& caller) {
  const auto tools = server.tools().tools();
  const auto found = tools->by_name.find(name);
  if (found == tools->by_name.end() || found->second->tool.open_to(caller)) return std::nullopt;
  return found->second->tool.permission;
}

std::optional<Permission> of_resource(const Server& server, std::string_view uri, const Principal& caller) {
  const auto resources = server.resources().resources();
  const FoundResource found = find_resource(*resources, uri);
  return found.read != nullptr ? unless(caller, found.permission) : std::nullopt;
}

std::optional<Permission> of_prompt(const Server& server, std::string_view name, const Principal& caller) {
  const auto prompts = server.prompts().prompts();
  const auto found = std::ranges::find_if(*prompts, [&](const auto& one) { return one->name == name; });
  return found != prompts->end() ? unless(caller, (*found)->permission) : std::nullopt;
}

std::optional<Permission> of_reference(const Server& server, const json::object& ref, const Principal& caller) {
  if (json::string_or(ref, "type") == "ref/prompt") return of_prompt(server, json::string_or(ref, "name"), caller);
  const auto resources = server.resources().resources();
  const std::string_view uri = json::string_or(ref, "uri");
  for (const auto& one : resources->templates) {
    if (one.info.uri_template == uri) return unless(caller, one.info.permission);
  }
  return of_resource(server, uri, caller);
}

}  // namespace

std::optional<Permission> missing_permission(const Server& server, std::string_view method, const json::object& params,
                                             const Principal& caller) {
  if (caller.local()) return std::nullopt;
  if (method == "tools/call") return of_tool(server, json::string_or(params, "name"), caller);
  if (method == "resources/read" || method == "resources/subscribe") {
    return of_resource(server, json::string_or(params, "uri"), caller);
  }
  if (method == "prompts/get") return of_prompt(server, json::string_or(params, "name"), caller);
  if (method == "completion/complete") {
    const json::value* ref = json::find(params, "ref");
    if (ref != nullptr && ref->is_object()) return of_reference(server, ref->get_object(), caller);
  }
  return std::nullopt;
}

Refusal not_permitted(Permission needed) {
  return {describe(ErrorCode::kPermissionDenied).json_rpc,
          fmt::format("Permission denied: this needs the permission \"{}\".", to_string(needed)),
          fmt::format(R"({{"permission":"{}"}})", to_string(needed))};
}

}  // namespace llm::mcp
