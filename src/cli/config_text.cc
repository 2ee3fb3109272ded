// The configuration as text: effective settings, reference, schema.
#include <algorithm>
#include <fmt/format.h>
#include <span>
#include <string>
#include <vector>

#include "base/strings.h"
#include "cli/config.h"
#include "cli/yaml.h"

namespace llm::cli {
namespace {

// Is there a value at this pointer in what the sources say?
bool is_set(const json::object& document, const std::string& pointer) {
  boost::system::error_code error;
  const json::value root(document);
  const json::value* found = root.find_pointer(pointer, error);
  return found != nullptr && !error && !found->is_null();
}

bool is_leaf(const json::value& value) {
  if (const auto* map = value.if_object()) return map->empty();
  if (const auto* list = value.if_array())
    return std::ranges::all_of(*list, [](const auto& item) { return item.is_primitive(); });
  return true;
}

std::string leaf_text(const json::value& value) {
  if (value.is_object()) return "{}";
  const auto* list = value.if_array();
  if (list == nullptr) return yaml_scalar(value);
  std::string out = "[";
  for (const auto& item : *list) out += (out.size() > 1 ? ", " : "") + yaml_scalar(item);
  return out + "]";
}

void show(std::string& out, const json::object& level, const std::string& at, std::size_t indent,
          const LoadedConfig& config) {
  for (const auto& member : level) {
    const std::string pointer = json::pointer_join(at, member.key());
    out += fmt::format("{:{}}{}:", "", indent, yaml_scalar(json::value(member.key())));
    if (!is_leaf(member.value()) && member.value().is_object()) {
      out += "\n";
      show(out, member.value().get_object(), pointer, indent + 2, config);
      continue;
    }
    out += " " + (is_leaf(member.value()) ? leaf_text(member.value()) : json::write(member.value()));
    const std::string source = config.source_of(pointer);
    out += source.empty() ? "\n" : fmt::format("  # {}\n", source);
  }
}

// "string; 1..255 characters; default: 127.0.0.1"
std::string facts(const json::ReferenceRow& row) {
  std::string out = row.type;
  if (!row.bounds.empty()) out += "; " + row.bounds;
  if (row.required) out += "; required";
  if (row.secret) out += "; secret";
  if (row.reloadable) out += "; takes effect without a restart";
  return out;
}

void comment(std::string& out, std::string_view text, std::size_t indent) {
  constexpr std::size_t kWidth = 100;
  std::string line;
  for (const auto word : split(text, ' ')) {
    if (!line.empty() && line.size() + word.size() + indent > kWidth) {
      out += fmt::format("{:{}}#{}\n", "", indent, line);
      line.clear();
    }
    line += fmt::format(" {}", word);
  }
  if (!line.empty()) out += fmt::format("{:{}}#{}\n", "", indent, line);
}

// ": value" of a commented-out line, with the default where there is one.
std::string assignment(const json::ReferenceRow& row) {
  if (row.group || row.default_text.empty()) return ":";
  const auto parsed = json::parse(row.default_text);
  return ": " + (parsed ? leaf_text(*parsed) : yaml_scalar(json::value(row.default_text)));
}

}  // namespace

std::string LoadedConfig::source_of(const std::string& pointer) const {
  if (!is_set(document, pointer)) return {};
  std::string at = pointer;
  while (!at.empty()) {
    if (const auto found = sources.find(at); found != sources.end()) return found->second;
    at.resize(at.rfind('/'));
  }
  return {};
}

std::string config_show(const LoadedConfig& config) {
  std::string out;
  show(out, json::encode(config.settings, {.redact_secrets = true}), "", 0, config);
  return out;
}

namespace {

// How many levels of the path stand in force; what is below a map or a list or in a section that may be missing is an
// example.
std::size_t levels_in_force(std::span<const std::string> levels) {
  for (std::size_t depth = 1; depth <= levels.size(); ++depth) {
    const json::Type* type = json::find_type(json::Fields<Settings>::table(), levels.first(depth));
    if (levels[depth - 1] == "<name>") return depth - 1;
    if (type == nullptr) continue;
    const bool list = type->kind() == json::Kind::kList;
    if (list ? depth < levels.size() : type->is_optional() && type->table() != nullptr) return depth;
  }
  return levels.size();
}

bool is_list(std::span<const std::string> levels) {
  const json::Type* type = json::find_type(json::Fields<Settings>::table(), levels);
  return type != nullptr && type->kind() == json::Kind::kList;
}

}  // namespace

std::string config_reference() {
  std::string out;
  comment(out,
          "Configuration of Local LLM MCP: llm-mcp.yaml. Every line below that is commented out shows a default. A "
          "setting may also come from the environment (LLM_MCP_SERVER__PORT for server.port) or from a flag; flags win "
          "over the environment, the environment wins over this file.",
          0);
  for (const auto& row : json::reference<Settings>()) {
    std::vector<std::string> levels;
    for (const auto level : split(row.path, '.')) levels.emplace_back(level);
    const std::size_t indent = 2 * (levels.size() - 1);
    const std::size_t in_force = levels_in_force(levels);
    const bool section = row.group && row.type == "object";
    // An example is a comment to its full depth.
    const bool example = in_force < levels.size();
    const std::size_t margin = example ? 2 * (in_force - 1) : indent;
    const bool in_list = example && is_list(std::span(levels).first(in_force));
    const std::string inside(indent - margin + (in_list ? 2 : 0), ' ');  // behind the dash
    out += "\n";
    if (!example) {
      comment(out, row.description, indent);
    } else {
      out += fmt::format("{:{}}#{}# {}\n", "", margin, inside, row.description);
    }
    if (section) {
      const json::Type* type = json::find_type(json::Fields<Settings>::table(), levels);
      const bool may_be_missing = example || (type != nullptr && type->is_optional());
      out += fmt::format("{:{}}{}{}{}:\n", "", margin, may_be_missing ? "#" : "", inside, levels.back());
      continue;
    }
    out += fmt::format("{:{}}#{}{} ({})\n", "", margin, inside, example ? "#" : "", facts(row));
    out += fmt::format("{:{}}#{}{}{}\n", "", margin, inside, levels.back(), assignment(row));
    if (row.group) out += fmt::format("{:{}}#{}  {}\n", "", margin, inside, is_list(levels) ? "-" : "<name>:");
  }
  return out;
}

json::object config_schema() {
  json::object schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "llm-mcp.yaml"}};
  for (auto& member : json::schema<Settings>()) schema.emplace(member.key(), member.value());
  return schema;
}

}  // namespace llm::cli
