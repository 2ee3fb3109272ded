#include "mcp/registry.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace llm::mcp {
namespace {

using ToolList = std::vector<std::shared_ptr<const RegisteredTool>>;

bool usable_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  return !name.empty() && name.size() <= 128 && std::ranges::all_of(name, allowed);
}

bool is_object_schema(const json::object& schema) {
  return json::string_or(schema, "type") == "object";
}

// One entry of tools/list.
json::object describe_tool(const Tool& tool, const Revision& revision) {
  json::object out;
  out["name"] = tool.name;
  if (revision.titles && !tool.title.empty()) out["title"] = tool.title;
  if (!tool.description.empty()) out["description"] = tool.description;
  if (revision.icons && !tool.icons.empty()) out["icons"] = to_json(tool.icons);
  out["inputSchema"] = tool.input_schema;
  if (revision.structured_results && !tool.output_schema.empty() &&
      (revision.any_structure || is_object_schema(tool.output_schema))) {
    out["outputSchema"] = tool.output_schema;
  }
  if (!revision.annotations) return out;
  json::object hints;
  // Before tools had titles of their own, the hints carried one.
  if (!revision.titles && !tool.title.empty()) hints["title"] = tool.title;
  hints["readOnlyHint"] = tool.hints.read_only;
  if (!tool.hints.read_only) {  // meaningless for tools that change nothing
    hints["destructiveHint"] = tool.hints.destructive;
    hints["idempotentHint"] = tool.hints.idempotent;
  }
  hints["openWorldHint"] = tool.hints.open_world;
  out["annotations"] = std::move(hints);
  return out;
}

std::unexpected<Error> unusable(const Tool& tool, std::string_view what, const Error& error) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("The {} of tool '{}' is not usable: {}", what, tool.name, error.message), error.pointer);
}

Result<std::shared_ptr<const RegisteredTool>> make_tool(Tool tool, std::string_view group) {
  const auto bad_name = [](std::string_view name) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The tool name '{}' is not usable: take 1 to 128 letters, digits, '_', '.' or '-'.", name));
  };
  if (!usable_name(tool.name)) return bad_name(tool.name);
  for (const auto& alias : tool.aliases) {
    if (!usable_name(alias)) return bad_name(alias);
  }
  if (!is_object_schema(tool.input_schema)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The input schema of tool '{}' needs \"type\": \"object\" at its root.", tool.name));
  }
  if (!tool.handler) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("Tool '{}' has no handler.", tool.name));
  }
  auto input = json::Schema::compile(tool.input_schema);
  if (!input) return unusable(tool, "input schema", input.error());
  auto headers = header_parameters(tool.input_schema);
  if (!headers) return unusable(tool, "input schema", headers.error());
  std::optional<json::Schema> output;
  if (!tool.output_schema.empty()) {
    auto compiled = json::Schema::compile(tool.output_schema);
    if (!compiled) return unusable(tool, "output schema", compiled.error());
    output = std::move(*compiled);
  }
  auto made = std::make_shared<RegisteredTool>(RegisteredTool{.tool = std::move(tool),
                                                              .group = std::string(group),
                                                              .input = std::move(*input),
                                                              .output = std::move(output),
                                                              .headers = std::move(*headers),
                                                              .listings = {}});
  for (const Revision& revision : revisions()) {
    made->listings[revision.index] = json::write(describe_tool(made->tool, revision));
  }
  return made;
}

}  // namespace

std::vector<std::string> ToolSet::names() const {
  std::vector<std::string> out;
  out.reserve(tools.size());
  for (const auto& tool : tools) out.push_back(tool->tool.name);
  return out;
}

ToolRegistry::ToolRegistry(const Changes* changes) : changes_(changes) {
  (void)publish({});
}

void ToolRegistry::announce() const {
  if (changes_ != nullptr) changes_->announce({.kind = Change::Kind::kTools});
}

Result<void> ToolRegistry::publish(ToolList tools) {
  auto state = std::make_shared<ToolSet>();
  for (const auto& tool : tools) {
    std::vector<std::string> names = tool->tool.aliases;
    names.push_back(tool->tool.name);
    for (auto& name : names) {
      const auto [entry, added] = state->by_name.emplace(name, tool);
      if (added) continue;
      return fail(ErrorCode::kAlreadyExists,
                  fmt::format("The tool name '{}' is taken by '{}'.", name, entry->second->tool.name));
    }
  }
  for (const Revision& revision : revisions()) {
    std::string& listing = state->listings[revision.index];
    listing = "[";
    for (const auto& tool : tools) {
      if (listing.size() > 1) listing.push_back(',');
      listing.append(tool->listings[revision.index]);
    }
    listing.push_back(']');
  }
  state->tools = std::move(tools);
  state_ = std::move(state);
  return {};
}

Result<void> ToolRegistry::add(Tool tool) {
  auto made = make_tool(std::move(tool), "");
  if (!made) return fail(made.error());
  {
    const std::lock_guard lock(mutex_);
    ToolList tools = state_->tools;
    // Before the groups, which come and go.
    const auto place = std::ranges::find_if(tools, [](const auto& one) { return !one->group.empty(); });
    tools.insert(place, std::move(*made));
    if (auto published = publish(std::move(tools)); !published) return published;
  }
  announce();
  return {};
}

Result<void> ToolRegistry::replace(std::string_view group, std::vector<Tool> replacement) {
  ToolList made;
  for (auto& tool : replacement) {
    auto one = make_tool(std::move(tool), group);
    if (!one) return fail(one.error());
    made.push_back(std::move(*one));
  }
  {
    const std::lock_guard lock(mutex_);
    ToolList tools = state_->tools;
    std::erase_if(tools, [&](const auto& one) { return one->group == group; });
    tools.insert(tools.end(), made.begin(), made.end());
    if (auto published = publish(std::move(tools)); !published) return published;
  }
  announce();
  return {};
}

std::shared_ptr<const ToolSet> ToolRegistry::tools() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

ResourceRegistry::ResourceRegistry(const Changes* changes)
    : changes_(changes), state_(std::make_shared<const ResourceSet>()) {}

template <class Change>
void ResourceRegistry::publish(Change change) {
  {
    const std::lock_guard lock(mutex_);
    auto state = std::make_shared<ResourceSet>(*state_);
    change(*state);
    state_ = std::move(state);
  }
  if (changes_ != nullptr) changes_->announce({.kind = mcp::Change::Kind::kResources});
}

Result<void> ResourceRegistry::add(Resource resource, ResourceReader reader) {
  if (resource.uri.empty() || resource.name.empty() || !reader) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The resource '{}' needs a URI, a name and a reader.", resource.uri));
  }
  const auto current = resources();
  if (std::ranges::any_of(current->fixed, [&](const auto& one) { return one.info.uri == resource.uri; })) {
    return fail(ErrorCode::kAlreadyExists, fmt::format("A resource '{}' exists already.", resource.uri));
  }
  publish([&](ResourceSet& state) { state.fixed.push_back({std::move(resource), std::move(reader)}); });
  return {};
}

Result<void> ResourceRegistry::add(ResourceTemplate resource, ResourceReader reader,
                                   std::map<std::string, Completer, std::less<>> complete) {
  if (resource.uri_template.find('{') == std::string::npos || resource.name.empty() || !reader) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("The resource template '{}' needs a variable, a name and a reader.", resource.uri_template));
  }
  publish([&](ResourceSet& state) {
    state.templates.push_back({std::move(resource), std::move(reader), std::move(complete)});
  });
  return {};
}

void ResourceRegistry::add_lister(access::Permission permission, ResourceSet::Lister lister) {
  publish([&](ResourceSet& state) { state.listers.push_back({permission, std::move(lister)}); });
}

void ResourceRegistry::allow_subscriptions() {
  publish([](ResourceSet& state) { state.subscribable = true; });
}

std::shared_ptr<const ResourceSet> ResourceRegistry::resources() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool FoundResource::watchable_by(const access::Principal& caller) const {
  if (read == nullptr || !caller.may(permission)) return false;
  return from == nullptr || !from->watchable || from->watchable(caller, variables);
}

FoundResource find_resource(const ResourceSet& resources, std::string_view uri) {
  for (const auto& one : resources.fixed) {
    if (one.info.uri == uri) return {.read = &one.read, .permission = one.info.permission};
  }
  for (const auto& one : resources.templates) {
    if (auto variables = match_template(one.info.uri_template, uri)) {
      return {&one.read, one.info.permission, std::move(*variables), &one.info};
    }
  }
  return {};
}

PromptRegistry::PromptRegistry(const Changes* changes)
    : changes_(changes), state_(std::make_shared<const PromptSet>()) {}

Result<void> PromptRegistry::add(Prompt prompt) {
  if (!usable_name(prompt.name) || !prompt.handler) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("The prompt '{}' needs a name of letters, digits, '_', '.' "
                                                         "or '-', and a handler.",
                                                         prompt.name));
  }
  {
    const std::lock_guard lock(mutex_);
    if (std::ranges::any_of(*state_, [&](const auto& one) { return one->name == prompt.name; })) {
      return fail(ErrorCode::kAlreadyExists, fmt::format("A prompt '{}' exists already.", prompt.name));
    }
    PromptSet prompts = *state_;
    prompts.push_back(std::make_shared<const Prompt>(std::move(prompt)));
    state_ = std::make_shared<const PromptSet>(std::move(prompts));
  }
  if (changes_ != nullptr) changes_->announce({.kind = Change::Kind::kPrompts});
  return {};
}

std::shared_ptr<const PromptSet> PromptRegistry::prompts() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace llm::mcp
