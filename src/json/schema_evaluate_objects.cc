// Objects.
#include <algorithm>
#include <array>
#include <boost/json/static_resource.hpp>
#include <fmt/format.h>

#include "json/schema_evaluation.h"

namespace llm::json::rules {

bool Evaluation::object(const Node& node, const value& document, const Place& at, Marks* marks) {
  const ObjectRules& rules = *node.object;
  const json::object& in = document.get_object();
  bool valid = true;
  if (in.size() < rules.min_properties) {
    valid = broken(node, "minProperties", at,
                   [&] { return count_message(true, rules.min_properties, "property", "properties", in.size()); });
  } else if (in.size() > rules.max_properties) {
    valid = broken(node, "maxProperties", at,
                   [&] { return count_message(false, rules.max_properties, "property", "properties", in.size()); });
  }
  if (!valid && enough()) return false;
  if (rules.visits_members()) valid &= members(node, in, at, marks);
  if (!valid && enough()) return false;
  if (!rules.dependent_required.empty() || !rules.dependent_schemas.empty()) {
    valid &= dependents(node, document, at, marks);
  }
  return valid;
}

bool Evaluation::members(const Node& node, const json::object& in, const Place& at, Marks* marks) {
  const ObjectRules& rules = *node.object;
  if (!charge(in.size())) return false;
  if (in.size() < rules.required && findings_ == nullptr) return false;
  bool valid = true;
  std::size_t required = 0;
  std::size_t index = 0;
  for (const auto& entry : in) {
    const std::string_view name = entry.key();
    bool evaluated = false;
    if (const auto* known = rules.properties.find(name)) {
      required += known->required ? 1 : 0;
      if (known->node != kNoNode) {
        evaluated = true;
        valid &= run(known->node, entry.value(), at.member(name), nullptr);
      }
    }
    valid &= member(node, name, entry.value(), at, evaluated);
    if (!valid && enough()) return false;
    if (evaluated && marks != nullptr) marks->set(index);
    ++index;
  }
  return (required == rules.required || missing(node, in, at)) && valid;
}

// What holds for a member beside `properties`.
bool Evaluation::member(const Node& node, std::string_view name, const value& in, const Place& at, bool& evaluated) {
  const ObjectRules& rules = *node.object;
  bool valid = true;
  for (const auto& [pattern, id] : rules.patterns) {
    const auto fits = matches(pattern, name);
    if (!fits) return false;
    if (!*fits) continue;
    evaluated = true;
    valid &= run(id, in, at.member(name), nullptr);
    if (!valid && enough()) return false;
  }
  if (!evaluated && rules.additional != kNoNode) {
    evaluated = true;
    valid &= program_.nodes[rules.additional].never ? unknown_member(node, "additionalProperties", name, at)
                                                    : run(rules.additional, in, at.member(name), nullptr);
  }
  if (rules.names != kNoNode && (valid || !enough())) valid &= member_name(rules.names, name, at);
  return valid;
}

bool Evaluation::member_name(NodeId id, std::string_view name, const Place& at) {
  // Schemas apply to values; this one borrows the stack.
  if (name.size() <= 256) {
    std::array<unsigned char, 512> memory;
    boost::json::static_resource resource(memory.data(), memory.size());
    const value text(name, &resource);
    return run(id, text, at.name(name), nullptr);
  }
  return run(id, value(name), at.name(name), nullptr);
}

bool Evaluation::missing(const Node& node, const json::object& in, const Place& at) {
  for (const auto& entry : node.object->properties.entries()) {
    if (!entry.required || in.contains(entry.name)) continue;
    broken(node, "required", at, [&] { return "missing required property " + quoted_name(entry.name); });
    if (enough()) return false;
  }
  return false;
}

bool Evaluation::dependents(const Node& node, const value& document, const Place& at, Marks* marks) {
  const ObjectRules& rules = *node.object;
  const json::object& in = document.get_object();
  if (!charge(rules.dependent_required.size() + rules.dependent_schemas.size())) return false;
  bool valid = true;
  for (const auto& [name, needed] : rules.dependent_required) {
    if (!in.contains(name)) continue;
    for (const auto& other : needed) {
      if (in.contains(other)) continue;
      valid = broken(node, "dependentRequired", at, [&] {
        return fmt::format("missing property {}, which {} requires", quoted_name(other), quoted_name(name));
      });
      if (enough()) return false;
    }
  }
  for (const auto& [name, id] : rules.dependent_schemas) {
    if (!in.contains(name)) continue;
    valid &= run(id, document, at, marks);
    if (!valid && enough()) return false;
  }
  return valid;
}

namespace {

// The names that the schema of an object knows, its own and those of schemas applied beside it.
void collect_names(const Program& program, const Node& node, int depth, std::vector<std::string>& names) {
  if (node.object) {
    for (const auto& entry : node.object->properties.entries()) {
      if (entry.node != kNoNode && !program.nodes[entry.node].never) names.push_back(entry.name);
    }
  }
  if (!node.logic || depth == 0) return;
  const Logic& logic = *node.logic;
  for (const NodeId id : {logic.ref, logic.then, logic.otherwise}) {
    if (id != kNoNode) collect_names(program, program.nodes[id], depth - 1, names);
  }
  for (const auto* list : {&logic.all_of, &logic.any_of, &logic.one_of}) {
    for (const NodeId id : *list) collect_names(program, program.nodes[id], depth - 1, names);
  }
}

}  // namespace

bool Evaluation::unknown_member(const Node& node, std::string_view keyword, std::string_view name, const Place& at) {
  constexpr int kDepth = 3;
  return broken(node, keyword, at.member(name), [&] {
    std::vector<std::string> names;
    collect_names(program_, node, keyword == "unevaluatedProperties" ? kDepth : 0, names);
    std::ranges::sort(names);
    const auto repeated = std::ranges::unique(names);
    names.erase(repeated.begin(), repeated.end());
    return unknown_property(name, names);
  });
}

}  // namespace llm::json::rules
