#include "tools/bridged_tool.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>

#include "access/pattern.h"

namespace llm::tools {
namespace {

constexpr std::size_t kMaxName = 128;  // MCP 2025-11-25 "Tool names"
constexpr int kMaxDepth = 64;

const json::object* object_at(const json::object& object, std::string_view key) {
  const json::value* found = json::find(object, key);
  return found != nullptr ? found->if_object() : nullptr;
}

bool old_dialect(std::string_view name) {
  constexpr std::array<std::string_view, 5> kOld{
      "http://json-schema.org/draft-04/schema", "http://json-schema.org/draft-06/schema",
      "http://json-schema.org/draft-07/schema", "https://json-schema.org/draft/2019-09/schema",
      "http://json-schema.org/schema"};
  if (name.ends_with('#')) name.remove_suffix(1);
  return std::ranges::find(kOld, name) != kOld.end();
}

// What older drafts spell differently and tool schemas use: tuples. Values, which are no schemas, stay.
void renew(json::value& schema, int depth) {
  if (depth > kMaxDepth) return;
  if (json::array* list = schema.if_array()) {
    for (json::value& element : *list) renew(element, depth + 1);
    return;
  }
  json::object* object = schema.if_object();
  if (object == nullptr) return;
  if (json::value* items = object->if_contains("items"); items != nullptr && items->is_array()) {
    json::value tuple = std::move(*items);
    object->erase("items");
    (*object)["prefixItems"] = std::move(tuple);
    if (json::value* found = object->if_contains("additionalItems")) {
      json::value rest = std::move(*found);
      object->erase("additionalItems");
      (*object)["items"] = std::move(rest);
    }
  }
  for (auto& entry : *object) {
    const std::string_view key = entry.key();
    if (key != "default" && key != "const" && key != "enum" && key != "examples") renew(entry.value(), depth + 1);
  }
}

json::object renewed(const json::object& schema) {
  json::object out = schema;
  if (!old_dialect(json::string_or(out, "$schema"))) return out;
  out.erase("$schema");
  json::value whole = std::move(out);
  renew(whole, 0);
  return std::move(whole.get_object());
}

std::vector<mcp::Icon> read_icons(const json::object& tool) {
  constexpr std::size_t kMost = 8;
  std::vector<mcp::Icon> icons;
  const json::value* list = json::find(tool, "icons");
  if (list == nullptr || !list->is_array()) return icons;
  for (const json::value& entry : list->get_array()) {
    if (!entry.is_object() || icons.size() == kMost) continue;
    const json::object& object = entry.get_object();
    mcp::Icon icon{.source = std::string(json::string_or(object, "src")),
                   .mime_type = std::string(json::string_or(object, "mimeType")),
                   .sizes = {},
                   .theme = std::string(json::string_or(object, "theme"))};
    if (!icon.source.starts_with("https:") && !icon.source.starts_with("data:")) continue;
    if (const json::value* sizes = json::find(object, "sizes"); sizes != nullptr && sizes->is_array()) {
      for (const json::value& size : sizes->get_array()) {
        if (size.is_string()) icon.sizes.emplace_back(size.get_string());
      }
    }
    icons.push_back(std::move(icon));
  }
  return icons;
}

// FNV-1a: the same name gets the same short form after every restart.
std::string short_hash(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return fmt::format("{:08x}", hash);
}

mcp::ToolResult error_result(std::string text) {
  mcp::ToolResult result;
  result.text = std::move(text);
  result.is_error = true;
  return result;
}

mcp::ToolResult read_questions(const json::object& result) {
  mcp::InputRequired required;
  required.state = json::string_or(result, "requestState");
  if (const json::object* requests = object_at(result, "inputRequests")) {
    for (const auto& [key, request] : *requests) {
      if (!request.is_object()) continue;
      const json::object* params = object_at(request.get_object(), "params");
      required.requests[std::string(key)] = {.method = std::string(json::string_or(request.get_object(), "method")),
                                             .params = params != nullptr ? *params : json::object()};
    }
  }
  mcp::ToolResult out;
  out.input_required = std::move(required);
  return out;
}

}  // namespace

Result<BridgedTool> read_remote_tool(const json::object& tool) {
  BridgedTool out;
  RemoteTool remote;
  remote.name = json::string_or(tool, "name");
  const json::object* input = object_at(tool, "inputSchema");
  if (remote.name.empty() || input == nullptr) {
    return fail(ErrorCode::kInvalidArgument, "it has no name or no input schema");
  }
  out.tool.input_schema = renewed(*input);
  if (json::string_or(out.tool.input_schema, "type") != "object") {
    return fail(ErrorCode::kInvalidArgument, "its input schema has no \"type\": \"object\" at the root");
  }
  if (auto compiled = json::Schema::compile(out.tool.input_schema); !compiled) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("its input schema: {}", to_string(compiled.error())));
  }
  auto headers = mcp::header_parameters(out.tool.input_schema);
  if (!headers)
    return fail(ErrorCode::kInvalidArgument, fmt::format("its input schema: {}", to_string(headers.error())));
  remote.headers = std::move(*headers);
  if (const json::object* output = object_at(tool, "outputSchema")) {
    out.tool.output_schema = renewed(*output);
    auto compiled = json::Schema::compile(out.tool.output_schema);
    if (!compiled) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("its output schema: {}", to_string(compiled.error())));
    }
    remote.output = std::move(*compiled);
  }
  out.tool.title = json::string_or(tool, "title");
  out.tool.description = json::string_or(tool, "description");
  out.tool.icons = read_icons(tool);
  if (const json::object* hints = object_at(tool, "annotations")) {
    if (out.tool.title.empty()) out.tool.title = json::string_or(*hints, "title");
    out.tool.hints = {.read_only = json::bool_or(*hints, "readOnlyHint", false),
                      .destructive = json::bool_or(*hints, "destructiveHint", true),
                      .idempotent = json::bool_or(*hints, "idempotentHint", false),
                      .open_world = json::bool_or(*hints, "openWorldHint", true)};
  }
  out.remote = std::make_shared<const RemoteTool>(std::move(remote));
  return out;
}

std::string bridged_name(std::string_view prefix, std::string_view tool,
                         const std::function<bool(std::string_view name)>& taken) {
  std::string name = prefix.empty() ? std::string(tool) : fmt::format("{}_{}", prefix, tool);
  const std::string whole = name;
  for (char& c : name) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (!allowed) c = '_';
  }
  if (name.size() > kMaxName) {
    name.resize(kMaxName - 9);
    name += '_' + short_hash(whole);
  }
  if (!taken(name)) return name;
  for (int number = 2;; ++number) {
    const std::string suffix = fmt::format("_{}", number);
    std::string numbered = name.substr(0, kMaxName - suffix.size()) + suffix;
    if (!taken(numbered)) return numbered;
  }
}

bool offers(const BridgeSettings& settings, std::string_view tool) {
  const auto fits = [&](const std::string& pattern) { return access::pattern_matches(pattern, tool); };
  if (std::ranges::any_of(settings.exclude, fits)) return false;
  return settings.include.empty() || std::ranges::any_of(settings.include, fits);
}

Result<mcp::ToolResult> read_remote_result(json::object result, const RemoteTool& tool, std::string_view label) {
  const std::string_view type = json::string_or(result, "resultType", "complete");
  if (type == "input_required") return read_questions(result);
  if (type != "complete") {
    return fail(ErrorCode::kEngineFailed, fmt::format("{} answered with a result of type '{}', which was not asked for",
                                                      label, type.substr(0, 40)));
  }
  mcp::ToolResult out;
  out.is_error = json::bool_or(result, "isError");
  json::value* content = result.if_contains("content");
  json::value* structured = result.if_contains("structuredContent");
  if (content != nullptr && content->is_array()) {
    for (json::value& block : content->get_array()) {
      if (block.is_object() && !json::string_or(block.get_object(), "type").empty()) {
        out.content.push_back(std::move(block));
      }
    }
  } else if (structured == nullptr) {
    return fail(ErrorCode::kEngineFailed, fmt::format("{} answered with neither content nor structure", label));
  }
  if (structured != nullptr) out.structured = std::move(*structured);
  // Our clients hold us to the schema that we repeat, so a server that breaks its own is not passed on.
  if (tool.output && !out.is_error) {
    if (const auto checked = tool.output->check(out.structured); !checked) {
      return error_result(fmt::format("{}: the result of '{}' breaks the tool's own output schema: {}", label,
                                      tool.name, to_string(checked.error())));
    }
  }
  return out;
}

}  // namespace llm::tools
