#include "mcp/legacy_era.h"

#include <fmt/format.h>
#include <utility>

#include "mcp/tool_methods.h"

namespace llm::mcp {

LegacyEra::Method LegacyEra::find_method(std::string_view name) {
  static constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"ping", &LegacyEra::ping},
      {"tools/call", &LegacyEra::tools_call},
      {"tools/list", &LegacyEra::tools_list},
      {"initialize", &LegacyEra::initialize},
  };
  for (const auto& [method, function] : kMethods) {
    if (method == name) return function;
  }
  return nullptr;
}

void LegacyEra::on_request(Request& request, ReplyTo to) {
  const Method method = find_method(request.method);
  if (method == nullptr) {
    return calls_.refuse(to, {kMethodNotFound, fmt::format("Method not found: '{}'.", request.method), {}});
  }
  (this->*method)(request, std::move(to));
}

// MCP 2025-11-25 "Version negotiation": a supported version is echoed, any other answered with one that we support.
void LegacyEra::initialize(Request& request, ReplyTo to) {
  if (to.batch) {
    return calls_.refuse(to, {kInvalidRequest, "Invalid request: initialize must not be part of a batch.", {}});
  }
  const json::value* version = json::find(request.params, "protocolVersion");
  if (version == nullptr || !version->is_string()) {
    return calls_.refuse(to, {kInvalidParams,
                              fmt::format("Invalid params: name the protocol version you speak, such as \"{}\" (at "
                                          "/params/protocolVersion)",
                                          latest_legacy_revision().version),
                              {}});
  }
  const Revision* wanted = find_revision(version->get_string());
  revision_ = wanted != nullptr && !wanted->modern ? wanted : &latest_legacy_revision();
  client_ = read_client_info(json::find(request.params, "clientInfo"));
  initialized_ = true;
  calls_.answer(to,
                fmt::format(R"({{"protocolVersion":"{}","capabilities":{},"serverInfo":{}{}}})", revision_->version,
                            server_.capabilities(), server_.implementation(*revision_), server_.instructions_member()));
}

void LegacyEra::ping(Request&, ReplyTo to) {
  calls_.answer(to, "{}");
}

void LegacyEra::tools_list(Request& request, ReplyTo to) {
  list_tools(server_, calls_, *revision_, request.params, to);
}

void LegacyEra::tools_call(Request& request, ReplyTo to) {
  call_tool(server_, calls_, *revision_, request.params, client_, std::move(to));
}

}  // namespace llm::mcp
