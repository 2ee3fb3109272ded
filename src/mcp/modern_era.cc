#include "mcp/modern_era.h"

#include <fmt/format.h>
#include <optional>
#include <utility>

#include "mcp/tool_methods.h"

namespace llm::mcp {
namespace {

const json::object* meta_of(const json::object& params) {
  const json::value* found = json::find(params, "_meta");
  return found != nullptr ? found->if_object() : nullptr;
}

Refusal bad_meta(std::string_view key, std::string_view what) {
  return {kInvalidParams, fmt::format("Invalid params: every request needs _meta[\"{}\"], {}.", key, what), {}};
}

// MCP 2026-07-28 "Request metadata": what every request must say about itself.
std::optional<Refusal> check_meta(const json::object& params) {
  static const json::object kNone;
  const json::object* found = meta_of(params);
  const json::object& fields = found != nullptr ? *found : kNone;

  const json::value* version = json::find(fields, meta::kProtocolVersion);
  if (version == nullptr || !version->is_string()) {
    return bad_meta(meta::kProtocolVersion, fmt::format("a string such as \"{}\"", modern_revision().version));
  }
  if (version->get_string() != modern_revision().version) {
    Refusal refusal{kUnsupportedProtocolVersion, "Unsupported protocol version.", R"({"supported":[)"};
    json::append_quoted(refusal.data, modern_revision().version);
    refusal.data.append(R"(],"requested":)");
    json::append_quoted(refusal.data, version->get_string());
    refusal.data.push_back('}');
    return refusal;
  }
  const json::value* capabilities = json::find(fields, meta::kClientCapabilities);
  if (capabilities == nullptr || !capabilities->is_object()) {
    return bad_meta(meta::kClientCapabilities, "an object that may be empty");
  }
  return std::nullopt;
}

std::string subscription_meta(const RequestId& id) {
  return fmt::format(R"("_meta":{{"{}":{}}})", meta::kSubscriptionId, id.json);
}

}  // namespace

bool ModernEra::speaks(const json::object& params) {
  const json::object* fields = meta_of(params);
  return fields != nullptr && (fields->contains(meta::kProtocolVersion) || fields->contains(meta::kClientCapabilities));
}

bool ModernEra::owns(std::string_view method) {
  return method == "server/discover" || method == "subscriptions/listen";
}

ModernEra::Method ModernEra::find_method(std::string_view name) {
  static constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"tools/call", &ModernEra::tools_call},
      {"tools/list", &ModernEra::tools_list},
      {"server/discover", &ModernEra::discover},
      {"subscriptions/listen", &ModernEra::listen},
  };
  for (const auto& [method, function] : kMethods) {
    if (method == name) return function;
  }
  return nullptr;
}

void ModernEra::on_request(Request& request, ReplyTo to) {
  if (const auto refusal = check_meta(request.params)) return calls_.refuse(to, *refusal);
  const Method method = find_method(request.method);
  if (method == nullptr) {
    return calls_.refuse(
        to, {kMethodNotFound,
             fmt::format("Method not found: '{}' (in revision {}).", request.method, modern_revision().version),
             {}});
  }
  (this->*method)(request, std::move(to));
}

void ModernEra::discover(Request&, ReplyTo to) {
  calls_.answer(to, fmt::format(R"({{"resultType":"complete","supportedVersions":["{}"],"capabilities":{}{}{}{}}})",
                                modern_revision().version, server_.capabilities(), server_.instructions_member(),
                                server_.cache_members(), server_.meta_member()));
}

void ModernEra::tools_list(Request& request, ReplyTo to) {
  list_tools(server_, calls_, modern_revision(), request.params, to);
}

void ModernEra::tools_call(Request& request, ReplyTo to) {
  const json::object* fields = meta_of(request.params);
  const ClientInfo client = read_client_info(json::find(*fields, meta::kClientInfo));
  call_tool(server_, calls_, modern_revision(), request.params, client, std::move(to));
}

// Nothing here changes while the server runs, so the agreed filter is empty and the stream stays silent until one side
// ends it.
void ModernEra::listen(Request& request, ReplyTo to) {
  const json::value* filter = json::find(request.params, "notifications");
  if (filter == nullptr || !filter->is_object()) {
    return calls_.refuse(to, {kInvalidParams,
                              "Invalid params: the wanted notifications must be an object that may be empty (at "
                              "/params/notifications)",
                              {}});
  }
  calls_.notify("notifications/subscriptions/acknowledged",
                fmt::format(R"({{{},"notifications":{{}}}})", subscription_meta(to.id)));
  std::string id = to.id.json;
  listens_.emplace(std::move(id), std::move(to));
}

void ModernEra::cancel_listen(const RequestId& id) {
  const auto found = listens_.find(id.json);
  if (found == listens_.end()) return;
  calls_.drop(found->second);
  listens_.erase(found);
}

// The cancellation page of the specification asks for the notification, the subscriptions page for the result.
void ModernEra::close() {
  for (const auto& [id, to] : std::exchange(listens_, {})) {
    calls_.notify("notifications/cancelled", fmt::format(R"({{"requestId":{}}})", id));
    calls_.answer(to, fmt::format(R"({{"resultType":"complete","_meta":{{"{}":{},"{}":{}}}}})", meta::kSubscriptionId,
                                  id, meta::kServerInfo, server_.implementation(modern_revision())));
  }
}

}  // namespace llm::mcp
