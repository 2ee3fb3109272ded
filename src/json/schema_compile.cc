#include "json/schema_compile.h"

#include <fmt/format.h>

#include "json/schema_compiler.h"

namespace llm::json::rules {

void Compiler::fail_at(const Draft& draft, std::string_view keyword, std::string message) {
  if (!failure_) failure_ = wrong_schema(pointer_join(draft.node.location, keyword), std::move(message)).error();
}

NodeId Compiler::child(const value& schema) {
  const auto [known, added] = ids_.try_emplace(&schema, static_cast<NodeId>(program_.nodes.size()));
  if (added) {
    program_.nodes.emplace_back();
    pending_.emplace_back(known->second, &schema);
  }
  return known->second;
}

std::vector<NodeId> Compiler::children(const value& list) {
  std::vector<NodeId> out;
  if (const auto* items = list.if_array()) {
    out.reserve(items->size());
    for (const auto& item : *items) out.push_back(child(item));
  }
  return out;
}

NodeId Compiler::follow(const Draft& draft, std::string_view keyword, const value& reference) {
  const auto target = documents_.resolve(draft.schema, keyword, reference.as_string());
  if (target) return child(*target->schema);
  if (!failure_) failure_ = target.error();
  return kNoNode;
}

// Core, section 8.2.3.2: dynamic only if it first leads to a $dynamicAnchor.
void Compiler::follow_dynamic(Draft& draft, const value& reference) {
  const auto target = documents_.resolve(draft.schema, "$dynamicRef", reference.as_string());
  if (!target) {
    if (!failure_) failure_ = target.error();
    return;
  }
  draft.logic().dynamic_ref =
      DynamicRef{.name = target->dynamic_anchor, .otherwise = child(*target->schema), .by_resource = {}};
  if (!target->dynamic_anchor.empty()) program_.dynamic = true;
}

std::optional<Pattern> Compiler::pattern(const Draft& draft, std::string_view keyword, std::string_view source) {
  if (failure_) return std::nullopt;
  auto compiled = Pattern::compile(source);
  if (!compiled) {
    fail_at(draft, keyword, std::move(compiled.error().message));
    return std::nullopt;
  }
  pattern_size_ += compiled->size();
  if (pattern_size_ > settings_.limits.max_pattern_size) {
    fail_at(draft, keyword, "the patterns of this schema are too large together");
  }
  return std::move(*compiled);
}

bool Compiler::asserts_formats(const Draft& draft) const {
  return settings_.assert_formats || documents_.resources()[draft.node.resource].dialect.format_assertion;
}

void Compiler::fill(NodeId id, const value& schema) {
  const Spot* spot = documents_.spot(&schema);
  Draft draft;
  draft.schema = &schema;
  draft.node.resource = spot->resource;
  draft.node.location = spot->location;
  if (const auto* verdict = schema.if_bool()) {
    draft.node.never = !*verdict;
  } else {
    read_keywords(*this, draft, documents_.resources()[spot->resource].dialect);
  }
  program_.nodes[id] = std::move(draft.node);
}

// A list instead of recursion: references may form long chains.
void Compiler::fill_pending() {
  while (!pending_.empty() && !failure_) {
    const auto [id, schema] = pending_.back();
    pending_.pop_back();
    fill(id, *schema);
  }
}

// Wherever a reference can be reached from, the outermost resource with such an anchor wins; so every one is prepared.
void Compiler::link_dynamic_refs() {
  for (std::size_t i = 0; i < program_.nodes.size() && !failure_; ++i) {
    const Logic* logic = program_.nodes[i].logic.get();
    if (logic == nullptr || !logic->dynamic_ref || logic->dynamic_ref->name.empty()) continue;
    for (ResourceId id = 0; id < documents_.resources().size(); ++id) {
      const auto& anchors = documents_.resources()[id].dynamic_anchors;
      const auto anchor = anchors.find(logic->dynamic_ref->name);
      if (anchor == anchors.end()) continue;
      const NodeId node = child(*anchor->second);
      program_.nodes[i].logic->dynamic_ref->by_resource.emplace_back(id, node);
    }
    fill_pending();
  }
}

namespace {

// The schemas that a node applies to the same value, which must not lead back to it.
std::vector<NodeId> applied_in_place(const Node& node) {
  std::vector<NodeId> out;
  if (const Logic* logic = node.logic.get()) {
    out = {logic->ref, logic->negated, logic->condition, logic->then, logic->otherwise};
    for (const auto* list : {&logic->all_of, &logic->any_of, &logic->one_of}) {
      out.insert(out.end(), list->begin(), list->end());
    }
    if (logic->dynamic_ref && logic->dynamic_ref->name.empty()) out.push_back(logic->dynamic_ref->otherwise);
  }
  if (node.object) {
    for (const auto& [name, schema] : node.object->dependent_schemas) out.push_back(schema);
  }
  std::erase(out, kNoNode);
  return out;
}

}  // namespace

// Depth first, without recursion: an edge to a node that is still open closes a circle.
void Compiler::refuse_endless_references() {
  enum class State : std::uint8_t { kNew, kOpen, kDone };
  struct Visit {
    NodeId node;
    std::vector<NodeId> next;
  };
  std::vector<State> states(program_.nodes.size(), State::kNew);
  std::vector<Visit> path;
  for (NodeId start = 0; start < program_.nodes.size(); ++start) {
    if (states[start] != State::kNew) continue;
    states[start] = State::kOpen;
    path.push_back({start, applied_in_place(program_.nodes[start])});
    while (!path.empty()) {
      if (path.back().next.empty()) {
        states[path.back().node] = State::kDone;
        path.pop_back();
        continue;
      }
      const NodeId next = path.back().next.back();
      path.back().next.pop_back();
      if (states[next] == State::kOpen) {
        failure_ = wrong_schema(program_.nodes[path.back().node].location,
                                "this schema refers to itself for the same value, without end")
                       .error();
        return;
      }
      if (states[next] == State::kDone) continue;
      states[next] = State::kOpen;
      path.push_back({next, applied_in_place(program_.nodes[next])});
    }
  }
}

Result<Program> Compiler::run(const value& schema) {
  if (auto added = documents_.add_root(schema); !added) return fail(std::move(added.error()));
  program_.root = child(schema);
  // Also what nothing refers to: a mistake there is one too. Of other documents only what is used.
  const std::vector<const value*> own = documents_.subschemas();
  for (const value* subschema : own) child(*subschema);
  fill_pending();
  if (!failure_) link_dynamic_refs();
  if (!failure_) refuse_endless_references();
  if (failure_) return fail(std::move(*failure_));
  return std::move(program_);
}

Result<std::shared_ptr<const Program>> compile_program(const value& schema, const SchemaSettings& settings,
                                                       Trust trust) {
  auto program = Compiler(settings, trust).run(schema);
  if (!program) return fail(std::move(program.error()));
  return std::make_shared<const Program>(std::move(*program));
}

}  // namespace llm::json::rules
