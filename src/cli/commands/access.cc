// keys, projects, users, roles: the same four verbs on four kinds of things.
#include <algorithm>
#include <chrono>
#include <fmt/format.h>

#include "access/timestamp.h"
#include "base/strings.h"
#include "cli/commands/admin_access.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

using access::AccessAdmin;
using access::Principal;

std::unexpected<Error> usage(const AccessArguments& arguments, std::string_view message) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} {}: {}", arguments.kind, arguments.action, message));
}

template <class T>
void put(json::object& body, std::string_view name, const std::optional<T>& given) {
  if (given) body[name] = *given;
}

void put(json::object& body, std::string_view name, const std::vector<std::string>& given) {
  if (given.empty()) return;
  json::array list;
  for (const auto& item : given) list.emplace_back(item);
  body[name] = std::move(list);
}

// "generate,models:read=qwen3*,llama3" -> {"permissions": […], "models": […]}
json::object rule_of(std::string_view text) {
  const auto equals = text.find('=');
  json::object rule;
  json::array permissions;
  for (const auto name : split(text.substr(0, equals), ',')) permissions.emplace_back(trim(name));
  rule["permissions"] = std::move(permissions);
  if (equals == std::string_view::npos) return rule;
  json::array models;
  for (const auto pattern : split(text.substr(equals + 1), ',')) models.emplace_back(trim(pattern));
  rule["models"] = std::move(models);
  return rule;
}

// What the options say, in the words of the REST API.
Result<json::object> body_of(const AccessArguments& arguments) {
  json::object body;
  put(body, "name", arguments.name);
  put(body, "role", arguments.role);
  put(body, "project", arguments.project);
  put(body, "user", arguments.user);
  put(body, "kind", arguments.user_kind);
  put(body, "description", arguments.description);
  put(body, "expires", arguments.expires);
  put(body, "overlap", arguments.overlap);
  put(body, "priority", arguments.priority);
  put(body, "weight", arguments.weight);
  put(body, "scopes", arguments.scopes);
  put(body, "models", arguments.models);
  put(body, "addresses", arguments.addresses);
  if (arguments.audit_prompts) body["audit_prompts"] = *arguments.audit_prompts == "on";
  put(body, "locality", arguments.locality);
  if (arguments.force) body["force"] = true;
  if (arguments.all) body["revoked"] = true;
  if (!arguments.rules.empty()) {
    json::array rules;
    for (const auto& text : arguments.rules) rules.push_back(rule_of(text));
    body["rules"] = std::move(rules);
  }
  if (arguments.limits) {
    auto limits = json::parse(*arguments.limits);
    if (!limits) return usage(arguments, fmt::format("--limits is not JSON: {}", limits.error().message));
    body["limits"] = std::move(*limits);
  }
  return body;
}

struct Step {
  std::string_view method;
  std::string path;
  AdminAccess::Local local;
  json::object body = {};
};

Step key_step(const std::string& action, const std::string& id, const json::object& body) {
  const std::string here = resource_path("keys", id);
  if (action == "create") {
    return {"POST", resource_path("keys"), [=](auto& admin, auto& actor) { return admin.create_key(body, actor); }};
  }
  if (action == "list") {
    return {"GET", resource_path("keys"), [=](auto& admin, auto& actor) { return admin.list_keys(body, actor); }};
  }
  if (action == "update") {
    return {"PATCH", here, [=](auto& admin, auto& actor) { return admin.update_key(id, body, actor); }};
  }
  if (action == "rotate") {
    return {"POST", resource_path("keys", id, "rotate"),
            [=](auto& admin, auto& actor) { return admin.rotate_key(id, body, actor); }};
  }
  if (action == "revoke") {
    return {"DELETE", body.contains("force") ? here + "?force=true" : here,
            [=](auto& admin, auto& actor) { return admin.revoke_key(id, body, actor); }};
  }
  return {"GET", here, [=](auto& admin, auto& actor) { return admin.show_key(id, actor); }};
}

Step project_step(const std::string& action, const std::string& id, const json::object& body) {
  const std::string here = resource_path("projects", id);
  if (action == "create") {
    return {"POST", resource_path("projects"),
            [=](auto& admin, auto& actor) { return admin.create_project(body, actor); }};
  }
  if (action == "list") {
    return {"GET", resource_path("projects"), [](auto& admin, auto& actor) { return admin.list_projects(actor); }};
  }
  if (action == "update") {
    return {"PATCH", here, [=](auto& admin, auto& actor) { return admin.update_project(id, body, actor); }};
  }
  if (action == "disable") {
    return {"DELETE", here, [=](auto& admin, auto& actor) { return admin.disable_project(id, actor); }};
  }
  return {"GET", here, [=](auto& admin, auto& actor) { return admin.show_project(id, actor); }};
}

Step user_step(const std::string& action, const std::string& id, const json::object& body) {
  const std::string here = resource_path("users", id);
  if (action == "create") {
    return {"POST", resource_path("users"), [=](auto& admin, auto& actor) { return admin.create_user(body, actor); }};
  }
  if (action == "list") {
    return {"GET", resource_path("users"), [=](auto& admin, auto& actor) { return admin.list_users(body, actor); }};
  }
  if (action == "update") {
    return {"PATCH", here, [=](auto& admin, auto& actor) { return admin.update_user(id, body, actor); }};
  }
  if (action == "disable") {
    return {"DELETE", here, [=](auto& admin, auto& actor) { return admin.disable_user(id, actor); }};
  }
  return {"GET", here, [=](auto& admin, auto& actor) { return admin.show_user(id, actor); }};
}

Step role_step(const std::string& action, const std::string& id, const json::object& body) {
  const std::string here = resource_path("roles", id);
  if (action == "create") {
    return {"POST", resource_path("roles"), [=](auto& admin, auto& actor) { return admin.create_role(body, actor); }};
  }
  if (action == "list") {
    return {"GET", resource_path("roles"), [](auto& admin, auto& actor) { return admin.list_roles(actor); }};
  }
  if (action == "update") {
    return {"PATCH", here, [=](auto& admin, auto& actor) { return admin.update_role(id, body, actor); }};
  }
  if (action == "remove") {
    return {"DELETE", here, [=](auto& admin, auto& actor) { return admin.remove_role(id, actor); }};
  }
  return {"GET", here, [=](auto& admin, auto& actor) { return admin.show_role(id, actor); }};
}

Step step_of(const std::string& kind, const std::string& action, const std::string& id, const json::object& body) {
  if (kind == "keys") return key_step(action, id, body);
  if (kind == "projects") return project_step(action, id, body);
  return kind == "users" ? user_step(action, id, body) : role_step(action, id, body);
}

// The words of the command line become those of the API: what is created takes its positional as name or id, enabling
// is an update.
Result<Step> plan(const AccessArguments& arguments) {
  auto body = body_of(arguments);
  if (!body) return fail(std::move(body.error()));
  std::string action = arguments.action;
  const std::string& id = arguments.id;
  const bool create = action == "create";
  if (create && !id.empty()) {
    if (arguments.kind == "projects") {
      (*body)["id"] = id;
      if (!body->contains("name")) (*body)["name"] = id;
    } else if (body->contains("name")) {
      if (arguments.kind != "users") return usage(arguments, "give the name once: as --name or by itself");
      (*body)["id"] = id;
    } else {
      (*body)["name"] = id;
    }
  }
  if (create && !body->contains("name")) return usage(arguments, "a name is missing");
  if (!create && action != "list" && id.empty()) return usage(arguments, "which one? Its id is missing");
  if (action == "list" && !id.empty()) return usage(arguments, "takes no id; show does");
  if (action == "enable") {
    action = "update";
    (*body)["disabled"] = false;
  }
  const bool bare = action == "show" || action == "disable" || action == "remove" ||
                    (action == "list" && (arguments.kind == "projects" || arguments.kind == "roles"));
  if (bare && !body->empty()) {
    return usage(arguments, fmt::format("takes no option for {}", std::string_view(body->begin()->key())));
  }
  Step step = step_of(arguments.kind, action, id, *body);
  step.body = step.method == "DELETE" ? json::object() : std::move(*body);
  return step;
}

std::string rules_text(const json::object& role) {
  std::string out;
  const auto* rules = json::find(role, "rules");
  if (!rules || !rules->is_array()) return out;
  for (const auto& item : rules->get_array()) {
    if (!item.is_object()) continue;
    const std::string models = list_text(item.get_object(), "models");
    out += fmt::format("{}{}{}", out.empty() ? "" : "; ", list_text(item.get_object(), "permissions"),
                       models.empty() ? "" : " on " + models);
  }
  return out;
}

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string listing(const std::string& kind, const json::array& items, const Terminal& terminal) {
  std::vector<TextTable::Column> columns;
  if (kind == "keys") columns = {{"ID"}, {"NAME"}, {"ROLE"}, {"PROJECT"}, {"STATE"}, {"EXPIRES"}, {"LAST USED"}};
  if (kind == "projects") columns = {{"ID"}, {"NAME"}, {"WEIGHT", Align::kRight}, {"CREATED"}, {"DISABLED"}};
  if (kind == "users") columns = {{"ID"}, {"NAME"}, {"KIND"}, {"ROLE"}, {"PROJECT"}, {"DISABLED"}};
  if (kind == "roles") columns = {{"NAME"}, {"RULES"}, {"DESCRIPTION"}};
  const std::int64_t now = now_ms();
  TextTable table(columns);
  for (const auto& value : items) {
    if (!value.is_object()) continue;
    const auto& item = value.get_object();
    const auto cell = [&item](std::string_view name) { return text_of(item, name); };
    if (kind == "keys") {
      table.add({cell("id"), cell("name"), cell("role"), cell("project"), cell("state"),
                 when_text(item, "expires", now), when_text(item, "last_used", now)});
    } else if (kind == "projects") {
      table.add({cell("id"), cell("name"), fmt::format("{:g}", json::number_or(item, "weight", 1)),
                 when_text(item, "created", now), when_text(item, "disabled", now)});
    } else if (kind == "users") {
      table.add(
          {cell("id"), cell("name"), cell("kind"), cell("role"), cell("project"), when_text(item, "disabled", now)});
    } else {
      table.add({cell("name"), rules_text(item), cell("description")});
    }
  }
  return table.empty() ? std::string() : table.text(terminal);
}

constexpr std::string_view kTimes[] = {"created", "expires", "last_used", "disabled", "revoked", "old_secret_until"};

// One thing with everything that is known about it.
std::string page(const json::object& item, const Terminal& terminal) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& member : item) {
    if (member.key() == "key") continue;
    std::string name = member.key();
    std::ranges::replace(name, '_', ' ');
    name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
    std::string text;
    if (member.key() == "rules") {
      text = rules_text(item);
    } else if (member.value().is_string()) {
      text = text_of(item, member.key());
      const auto time = std::ranges::find(kTimes, std::string_view(member.key())) != std::end(kTimes)
                            ? access::parse_time(text)
                            : std::nullopt;
      if (time) text += fmt::format(" ({})", when_text(*time, now_ms()));
    } else if (member.value().is_array()) {
      text = list_text(item, member.key());
    } else {
      text = json::write(member.value());
    }
    pairs.emplace_back(std::move(name), std::move(text));
  }
  return key_values(pairs, terminal);
}

constexpr std::string_view kShownOnce = "This is the only time the key is shown; only its hash is kept.";

// A new secret stands alone on standard output, so that `$(llm-mcp keys create …)` is the key.
void show_secret(CommandContext& context, const json::object& answer) {
  context.terminal.note(page(answer, context.terminal) + std::string(kShownOnce));
  context.terminal.line(json::string_or(answer, "key"));
}

// Keys come by the thousand; a list is whole.
Result<void> add_pages(AdminAccess& admin, json::object query, json::object& answer) {
  while (answer.contains("next")) {
    query["after"] = answer.at("next");
    answer.erase("next");
    const Step step = key_step("list", {}, query);
    auto page = admin.call(step.method, step.path, query, step.local);
    if (!page) return fail(std::move(page.error()));
    auto* keys = page->if_contains("keys");
    if (keys == nullptr || !keys->is_array()) break;
    for (auto& key : keys->get_array()) answer.at("keys").as_array().push_back(std::move(key));
    if (const auto* next = json::find(*page, "next")) answer["next"] = *next;
  }
  return {};
}

}  // namespace

Result<int> run_command(CommandContext& context, const AccessArguments& arguments) {
  const auto step = plan(arguments);
  if (!step) return fail(step.error());
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto admin = AdminAccess::open(context, *setup);
  if (!admin) return fail(std::move(admin.error()));
  auto answer = (*admin)->call(step->method, step->path, step->body, step->local);
  if (!answer) return fail(std::move(answer.error()));
  if (arguments.kind == "keys" && arguments.action == "list") {
    if (auto rest = add_pages(**admin, step->body, *answer); !rest) return fail(std::move(rest.error()));
  }
  Terminal& terminal = context.terminal;
  if (terminal.json()) {
    if (answer->contains("key")) terminal.note(kShownOnce);
    terminal.result(*answer);
  } else if (answer->contains("key")) {
    show_secret(context, *answer);
  } else if (const auto* items = json::find(*answer, arguments.kind); items && items->is_array()) {
    const std::string text = listing(arguments.kind, items->get_array(), terminal);
    if (text.empty()) {
      terminal.note(fmt::format("There are no {0}. Make one with: llm-mcp {0} create", arguments.kind));
    } else {
      terminal.out(text);
    }
  } else {
    terminal.out(page(*answer, terminal));
  }
  return kExitSuccess;
}

}  // namespace llm::cli
