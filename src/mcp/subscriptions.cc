#include "mcp/subscriptions.h"

#include <fmt/format.h>
#include <utility>

namespace llm::mcp {
namespace {

constexpr std::size_t kMostSubjects = 1000;  // URIs, and tasks, of one request

std::string subscription_meta(std::string_view id) {
  return fmt::format(R"("_meta":{{"{}":{}}})", meta::kSubscriptionId, id);
}

std::set<std::string, std::less<>> strings_of(const json::object& wanted, std::string_view key) {
  std::set<std::string, std::less<>> out;
  const json::value* found = json::find(wanted, key);
  if (found == nullptr || !found->is_array()) return out;
  for (const auto& element : found->get_array()) {
    if (element.is_string() && out.size() < kMostSubjects) out.emplace(element.get_string());
  }
  return out;
}

void append_strings(json::object& out, std::string_view key, const std::set<std::string, std::less<>>& strings) {
  if (!strings.empty()) out[key] = json::array(strings.begin(), strings.end());
}

}  // namespace

Subscriptions::Filter Subscriptions::agree(const json::object& wanted, const Caller& caller) const {
  Filter filter{.tools = server_.tools_change() && json::bool_or(wanted, "toolsListChanged"),
                .prompts = server_.prompts_change() && json::bool_or(wanted, "promptsListChanged"),
                .resources = server_.resources_change() && json::bool_or(wanted, "resourcesListChanged"),
                .uris = {},
                .tasks = {}};
  const auto resources = server_.resources().resources();
  if (resources->subscribable) {
    filter.uris = strings_of(wanted, "resourceSubscriptions");
    // What nobody knows may come to be; what the caller may not see it does not hear of.
    std::erase_if(filter.uris, [&](const auto& uri) {
      const FoundResource found = find_resource(*resources, uri);
      return found.read != nullptr && !found.watchable_by(caller.principal);
    });
  }
  if (server_.tasks() != nullptr && caller.has_extension(kTasksExtension)) filter.tasks = strings_of(wanted, "taskIds");
  return filter;
}

void Subscriptions::listen(const json::object& params, const Caller& caller, ReplyTo to) {
  const json::value* wanted = json::find(params, "notifications");
  if (wanted == nullptr || !wanted->is_object()) {
    return calls_.refuse(
        to, invalid_params("the wanted notifications must be an object that may be empty.", "/params/notifications"));
  }
  Open opened{.to = std::move(to), .filter = agree(wanted->get_object(), caller), .principal = caller.principal.id};
  const Filter& filter = opened.filter;
  json::object agreed;
  if (filter.tools) agreed["toolsListChanged"] = true;
  if (filter.prompts) agreed["promptsListChanged"] = true;
  if (filter.resources) agreed["resourcesListChanged"] = true;
  append_strings(agreed, "resourceSubscriptions", filter.uris);
  append_strings(agreed, "taskIds", filter.tasks);
  notify(opened, "notifications/subscriptions/acknowledged", fmt::format(R"("notifications":{})", json::write(agreed)));
  if (filter.resources || !filter.uris.empty()) opened.interest = server_.changes().interest();
  std::string id = opened.to.id.json;
  open_.emplace(std::move(id), std::move(opened));
}

// `members`: of the params, beside `_meta`; may be empty.
void Subscriptions::notify(const Open& listener, std::string_view method, std::string_view members) {
  calls_.notify(method,
                fmt::format("{{{}{}{}}}", subscription_meta(listener.to.id.json), members.empty() ? "" : ",", members),
                listener.to.channel);
}

void Subscriptions::on_change(const Change& change) {
  for (const auto& [id, listener] : open_) {
    const Filter& filter = listener.filter;
    switch (change.kind) {
      case Change::Kind::kTools:
        if (filter.tools) notify(listener, "notifications/tools/list_changed", "");
        break;
      case Change::Kind::kPrompts:
        if (filter.prompts) notify(listener, "notifications/prompts/list_changed", "");
        break;
      case Change::Kind::kResources:
        if (filter.resources) notify(listener, "notifications/resources/list_changed", "");
        break;
      case Change::Kind::kResource:
        if (filter.uris.contains(change.subject)) {
          std::string uri = R"("uri":)";
          json::append_quoted(uri, change.subject);
          notify(listener, "notifications/resources/updated", uri);
        }
        break;
      case Change::Kind::kTask:
        if (filter.tasks.contains(change.subject) && change.principal == listener.principal &&
            change.detail.size() > 2) {
          notify(listener, "notifications/tasks", std::string_view(change.detail).substr(1, change.detail.size() - 2));
        }
        break;
    }
  }
}

void Subscriptions::cancel(const RequestId& id) {
  const auto found = open_.find(id.json);
  if (found == open_.end()) return;
  const ReplyTo to = std::move(found->second.to);
  open_.erase(found);
  calls_.drop(to);
}

void Subscriptions::cancel_channel(Channel channel) {
  std::erase_if(open_, [&](const auto& entry) { return entry.second.to.channel == channel; });
}

// The cancellation page of the specification asks for the notification, the subscriptions page for the result.
void Subscriptions::close() {
  for (const auto& [id, listener] : std::exchange(open_, {})) {
    calls_.notify("notifications/cancelled", fmt::format(R"({{"requestId":{}}})", id), listener.to.channel);
    calls_.answer(listener.to,
                  fmt::format(R"({{"resultType":"complete","_meta":{{"{}":{},"{}":{}}}}})", meta::kSubscriptionId, id,
                              meta::kServerInfo, server_.implementation(modern_revision())));
  }
}

}  // namespace llm::mcp
