#include "mcp/legacy_era.h"

#include <fmt/format.h>
#include <utility>

#include "mcp/authorization.h"
#include "mcp/prompt_methods.h"
#include "mcp/resource_methods.h"
#include "mcp/tool_methods.h"

namespace llm::mcp {
namespace {

constexpr std::size_t kMostSubscriptions = 1000;

}  // namespace

LegacyEra::LegacyEra(const Server& server, Calls& calls, access::Principal principal)
    : server_(server),
      calls_(calls),
      caller_(std::make_shared<const Caller>(Caller{.principal = std::move(principal)})) {}

void LegacyEra::set_principal(const access::Principal& principal) {
  const access::Principal& now = caller_->principal;
  if (now.identity == principal.identity && now.address == principal.address && now.id == principal.id) return;
  Caller caller = *caller_;
  caller.principal = principal;
  caller_ = std::make_shared<const Caller>(std::move(caller));
  if (subscribed_.empty()) return;
  const auto resources = server_.resources().resources();
  std::erase_if(subscribed_, [&](const auto& uri) { return !find_resource(*resources, uri).watchable_by(principal); });
  if (subscribed_.empty()) interest_.end();
}

LegacyEra::Method LegacyEra::find_method(std::string_view name) {
  static constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"ping", &LegacyEra::ping},
      {"tools/call", &LegacyEra::tools_call},
      {"tools/list", &LegacyEra::tools_list},
      {"initialize", &LegacyEra::initialize},
      {"resources/list", &LegacyEra::resources_list},
      {"resources/templates/list", &LegacyEra::resource_templates_list},
      {"resources/read", &LegacyEra::resources_read},
      {"resources/subscribe", &LegacyEra::resources_subscribe},
      {"resources/unsubscribe", &LegacyEra::resources_unsubscribe},
      {"prompts/list", &LegacyEra::prompts_list},
      {"prompts/get", &LegacyEra::prompts_get},
      {"completion/complete", &LegacyEra::completion},
      {"logging/setLevel", &LegacyEra::set_level},
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

Origin LegacyEra::origin() const {
  return {.revision = revision_, .caller = caller_, .log_level = log_level_};
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
  Caller caller{.principal = caller_->principal, .client = read_client_info(json::find(request.params, "clientInfo"))};
  if (json::value* capabilities = request.params.if_contains("capabilities");
      capabilities && capabilities->is_object()) {
    caller.capabilities = std::move(capabilities->get_object());
  }
  caller_ = std::make_shared<const Caller>(std::move(caller));
  log_level_ = LogLevel::kInfo;
  subscribed_.clear();
  interest_.end();
  initialized_ = true;
  calls_.answer(to,
                fmt::format(R"({{"protocolVersion":"{}","capabilities":{},"serverInfo":{}{}{}}})", revision_->version,
                            server_.capabilities(*revision_), server_.implementation(*revision_),
                            server_.instructions_member(), server_.session_meta()));
}

void LegacyEra::ping(Request&, ReplyTo to) {
  calls_.answer(to, "{}");
}

void LegacyEra::tools_list(Request& request, ReplyTo to) {
  list_tools(server_, calls_, origin(), request.params, to);
}

void LegacyEra::tools_call(Request& request, ReplyTo to) {
  call_tool(server_, calls_, origin(), request.params, std::move(to));
}

void LegacyEra::resources_list(Request& request, ReplyTo to) {
  list_resources(server_, calls_, origin(), request.params, std::move(to));
}

void LegacyEra::resource_templates_list(Request& request, ReplyTo to) {
  list_resource_templates(server_, calls_, origin(), request.params, to);
}

void LegacyEra::resources_read(Request& request, ReplyTo to) {
  read_resource(server_, calls_, origin(), request.params, std::move(to));
}

void LegacyEra::resources_subscribe(Request& request, ReplyTo to) {
  const json::value* uri = json::find(request.params, "uri");
  if (uri == nullptr || !uri->is_string()) {
    return calls_.refuse(to, invalid_params("the resource's URI must be given as a string.", "/params/uri"));
  }
  const auto resources = server_.resources().resources();
  if (!resources->subscribable) {
    return calls_.refuse(to, {kMethodNotFound, "Method not found: the resources of this server never change.", {}});
  }
  const FoundResource found = find_resource(*resources, uri->get_string());
  if (found.read == nullptr) {
    return calls_.refuse(to, {kResourceNotFound, "Resource not found.", json::write(json::object{{"uri", *uri}})});
  }
  if (!found.watchable_by(caller_->principal)) return calls_.refuse(to, not_permitted(found.permission));
  if (subscribed_.size() >= kMostSubscriptions && !subscribed_.contains(uri->get_string())) {
    return calls_.refuse(
        to, {kInternalError, fmt::format("Too many subscriptions: at most {} a session.", kMostSubscriptions), {}});
  }
  if (subscribed_.empty()) interest_ = server_.changes().interest();
  subscribed_.emplace(uri->get_string());
  calls_.answer(to, "{}");
}

void LegacyEra::resources_unsubscribe(Request& request, ReplyTo to) {
  const json::value* uri = json::find(request.params, "uri");
  if (uri == nullptr || !uri->is_string()) {
    return calls_.refuse(to, invalid_params("the resource's URI must be given as a string.", "/params/uri"));
  }
  subscribed_.erase(std::string(uri->get_string()));
  if (subscribed_.empty()) interest_.end();
  calls_.answer(to, "{}");
}

void LegacyEra::prompts_list(Request& request, ReplyTo to) {
  list_prompts(server_, calls_, origin(), request.params, to);
}

void LegacyEra::prompts_get(Request& request, ReplyTo to) {
  get_prompt(server_, calls_, origin(), request.params, std::move(to));
}

void LegacyEra::completion(Request& request, ReplyTo to) {
  complete(server_, calls_, origin(), request.params, std::move(to));
}

void LegacyEra::set_level(Request& request, ReplyTo to) {
  const auto level = parse_log_level(json::string_or(request.params, "level"));
  if (!level) {
    return calls_.refuse(to, invalid_params("a level is one of debug, info, notice, warning, error, critical, alert, "
                                            "emergency.",
                                            "/params/level"));
  }
  log_level_ = *level;
  calls_.answer(to, "{}");
}

bool LegacyEra::wants_changes() const {
  return !subscribed_.empty() ||
         (initialized_ && (server_.tools_change() || server_.prompts_change() || server_.resources_change()));
}

void LegacyEra::on_change(const Change& change) {
  if (!initialized_) return;
  switch (change.kind) {
    case Change::Kind::kTools:
      if (server_.tools_change()) calls_.notify("notifications/tools/list_changed", "{}");
      break;
    case Change::Kind::kPrompts:
      if (server_.prompts_change()) calls_.notify("notifications/prompts/list_changed", "{}");
      break;
    case Change::Kind::kResources:
      if (server_.resources_change()) calls_.notify("notifications/resources/list_changed", "{}");
      break;
    case Change::Kind::kResource:
      if (subscribed_.contains(change.subject)) {
        std::string params = R"({"uri":)";
        json::append_quoted(params, change.subject);
        params.push_back('}');
        calls_.notify("notifications/resources/updated", params);
      }
      break;
    case Change::Kind::kTask:
      break;  // an extension of the modern era
  }
}

}  // namespace llm::mcp
