#include "mcp/modern_era.h"

#include <expected>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "mcp/prompt_methods.h"
#include "mcp/resource_methods.h"
#include "mcp/tasks/task_methods.h"
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
std::optional<Refusal> check_meta(const json::object& fields) {
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

std::expected<Origin, Refusal> read_origin(const json::object& params, const access::Principal& principal) {
  static const json::object kNone;
  const json::object* found = meta_of(params);
  const json::object& fields = found != nullptr ? *found : kNone;
  if (auto refusal = check_meta(fields)) return std::unexpected(std::move(*refusal));
  Origin origin{.revision = &modern_revision(),
                .caller = std::make_shared<const Caller>(
                    Caller{.principal = principal,
                           .client = read_client_info(json::find(fields, meta::kClientInfo)),
                           .capabilities = json::find(fields, meta::kClientCapabilities)->get_object()})};
  if (const json::value* level = json::find(fields, meta::kLogLevel); level != nullptr && !level->is_null()) {
    origin.log_level = level->is_string() ? parse_log_level(level->get_string()) : std::nullopt;
    if (!origin.log_level) {
      return std::unexpected(invalid_params("not a log level.", json::pointer_join("/params/_meta", meta::kLogLevel)));
    }
  }
  return origin;
}

// The part of a multi round-trip request that its client repeats: answers and state.
std::optional<Refusal> read_round(json::object& params, Origin& origin) {
  if (json::value* responses = params.if_contains("inputResponses"); responses != nullptr && !responses->is_null()) {
    if (!responses->is_object()) return invalid_params("answers must be an object by key.", "/params/inputResponses");
    for (const auto& member : responses->get_object()) {
      if (member.value().is_object()) continue;
      return invalid_params("an answer must be an object.", json::pointer_join("/params/inputResponses", member.key()));
    }
    origin.inputs = std::move(responses->get_object());
  }
  if (const json::value* state = json::find(params, "requestState"); state != nullptr && !state->is_null()) {
    if (!state->is_string()) return invalid_params("the state must be a string.", "/params/requestState");
    origin.sealed_state = state->get_string();
    if (origin.sealed_state.empty()) return invalid_params("the state is not one of ours.", "/params/requestState");
  }
  return std::nullopt;
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
      {"resources/list", &ModernEra::resources_list},
      {"resources/templates/list", &ModernEra::resource_templates_list},
      {"resources/read", &ModernEra::resources_read},
      {"prompts/list", &ModernEra::prompts_list},
      {"prompts/get", &ModernEra::prompts_get},
      {"completion/complete", &ModernEra::completion},
      {"tasks/get", &ModernEra::tasks},
      {"tasks/update", &ModernEra::tasks},
      {"tasks/cancel", &ModernEra::tasks},
  };
  for (const auto& [method, function] : kMethods) {
    if (method == name) return function;
  }
  return nullptr;
}

void ModernEra::on_request(Request& request, ReplyTo to) {
  auto origin = read_origin(request.params, principal_);
  if (!origin) return calls_.refuse(to, origin.error());
  const Method method = find_method(request.method);
  if (method == nullptr || (method == &ModernEra::tasks && server_.tasks() == nullptr)) {
    return calls_.refuse(
        to, {kMethodNotFound,
             fmt::format("Method not found: '{}' (in revision {}).", request.method, modern_revision().version),
             {}});
  }
  (this->*method)(request, std::move(*origin), std::move(to));
}

void ModernEra::discover(Request&, Origin, ReplyTo to) {
  calls_.answer(to, fmt::format(R"({{"resultType":"complete","supportedVersions":["{}"],"capabilities":{}{}{}{}}})",
                                modern_revision().version, server_.capabilities(modern_revision()),
                                server_.instructions_member(), server_.cache_members(), server_.discover_meta()));
}

void ModernEra::tools_list(Request& request, Origin origin, ReplyTo to) {
  list_tools(server_, calls_, origin, request.params, to);
}

void ModernEra::tools_call(Request& request, Origin origin, ReplyTo to) {
  if (const auto refusal = read_round(request.params, origin)) return calls_.refuse(to, *refusal);
  call_tool(server_, calls_, std::move(origin), request.params, std::move(to));
}

void ModernEra::resources_list(Request& request, Origin origin, ReplyTo to) {
  list_resources(server_, calls_, std::move(origin), request.params, std::move(to));
}

void ModernEra::resource_templates_list(Request& request, Origin origin, ReplyTo to) {
  list_resource_templates(server_, calls_, origin, request.params, to);
}

void ModernEra::resources_read(Request& request, Origin origin, ReplyTo to) {
  if (const auto refusal = read_round(request.params, origin)) return calls_.refuse(to, *refusal);
  read_resource(server_, calls_, std::move(origin), request.params, std::move(to));
}

void ModernEra::prompts_list(Request& request, Origin origin, ReplyTo to) {
  list_prompts(server_, calls_, origin, request.params, to);
}

void ModernEra::prompts_get(Request& request, Origin origin, ReplyTo to) {
  if (const auto refusal = read_round(request.params, origin)) return calls_.refuse(to, *refusal);
  get_prompt(server_, calls_, std::move(origin), request.params, std::move(to));
}

void ModernEra::completion(Request& request, Origin origin, ReplyTo to) {
  complete(server_, calls_, std::move(origin), request.params, std::move(to));
}

void ModernEra::listen(Request& request, Origin origin, ReplyTo to) {
  subscriptions_.listen(request.params, *origin.caller, std::move(to));
}

void ModernEra::tasks(Request& request, Origin origin, ReplyTo to) {
  handle_task_method(server_, calls_, request.method, std::move(origin), request.params, std::move(to));
}

}  // namespace llm::mcp
