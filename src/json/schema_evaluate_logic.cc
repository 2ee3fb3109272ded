// Keywords that apply other schemas to the same value.
#include <algorithm>
#include <string>

#include "json/schema_evaluation.h"

namespace llm::json::rules {

bool Evaluation::logic(const Node& node, const value& in, const Place& at, Marks* marks) {
  const Logic& rules = *node.logic;
  bool valid = true;
  const auto holds = [&](bool fits) {
    valid &= fits;
    return valid || !enough();
  };
  if (rules.ref != kNoNode && !holds(run(rules.ref, in, at, marks))) return false;
  if (rules.dynamic_ref && !holds(run(target(*rules.dynamic_ref), in, at, marks))) return false;
  for (const NodeId id : rules.all_of) {
    if (!holds(run(id, in, at, marks))) return false;
  }
  if (!rules.any_of.empty() && !holds(any_of(node, in, at, marks))) return false;
  if (!rules.one_of.empty() && !holds(one_of(node, in, at, marks))) return false;
  if (rules.negated != kNoNode && !holds(negation(node, in, at))) return false;
  if (rules.condition != kNoNode && !holds(conditional(rules, in, at, marks))) return false;
  return valid;
}

// Core, section 8.2.3.2: of the resources on the way here, the outermost with such an anchor.
NodeId Evaluation::target(const DynamicRef& ref) const {
  NodeId found = ref.otherwise;
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->outer) {
    const auto known =
        std::ranges::find(ref.by_resource, scope->resource, [](const auto& entry) { return entry.first; });
    if (known != ref.by_resource.end()) found = known->second;
  }
  return found;
}

// Only a question: no findings, and marks only of what fits.
bool Evaluation::branch(NodeId id, const value& in, const Place& at, Marks* marks) {
  const Quiet quiet(*this);
  if (marks == nullptr) return run(id, in, at, nullptr);
  Marks own(in.is_object() ? in.get_object().size() : in.is_array() ? in.get_array().size() : 0);
  if (!run(id, in, at, &own)) return false;
  marks->merge(own);
  return true;
}

bool Evaluation::any_of(const Node& node, const value& in, const Place& at, Marks* marks) {
  bool fits = false;
  for (const NodeId id : node.logic->any_of) {
    fits |= branch(id, in, at, marks);
    if (fits && marks == nullptr) break;
  }
  if (!fits) explain_branches(node, "anyOf", node.logic->any_of, in, at);
  return fits;
}

bool Evaluation::one_of(const Node& node, const value& in, const Place& at, Marks* marks) {
  std::size_t count = 0;
  std::size_t first = 0;
  const auto& branches = node.logic->one_of;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    if (!branch(branches[i], in, at, marks)) continue;
    if (++count == 2) {
      return broken(node, "oneOf", at, [&] {
        return "fits the allowed forms " + std::to_string(first + 1) + " and " + std::to_string(i + 1) +
               "; it must fit exactly one";
      });
    }
    first = i;
  }
  if (count == 0) explain_branches(node, "oneOf", branches, in, at);
  return count == 1;
}

bool Evaluation::negation(const Node& node, const value& in, const Place& at) {
  const NodeId id = node.logic->negated;
  if (!branch(id, in, at, nullptr)) return true;
  return broken(node, "not", at, [&] { return negation_message(program_.nodes[id]); });
}

bool Evaluation::conditional(const Logic& rules, const value& in, const Place& at, Marks* marks) {
  const bool fits = branch(rules.condition, in, at, marks);
  const NodeId next = fits ? rules.then : rules.otherwise;
  return next == kNoNode || run(next, in, at, marks);
}

void Evaluation::explain_branches(const Node& node, std::string_view keyword, const std::vector<NodeId>& branches,
                                  const value& in, const Place& at) {
  if (findings_ == nullptr || findings_->full()) return;
  Findings* const all = findings_;
  std::vector<Findings> found;
  for (const NodeId id : branches) {
    found.push_back(all->branch());
    findings_ = &found.back();
    run(id, in, at, nullptr);
  }
  findings_ = all;
  if (stopped_ == Stop::kNone) all->add_branches(node, keyword, at, std::move(found));
}

}  // namespace llm::json::rules
