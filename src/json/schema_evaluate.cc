#include "json/schema_evaluate.h"

#include <fmt/format.h>

#include "json/schema_evaluation.h"

namespace llm::json::rules {

namespace {

Types type_of(const value& in) {
  switch (in.kind()) {
    case boost::json::kind::null:
      return kNull;
    case boost::json::kind::bool_:
      return kBoolean;
    case boost::json::kind::string:
      return kString;
    case boost::json::kind::array:
      return kArray;
    case boost::json::kind::object:
      return kObject;
    case boost::json::kind::double_:
      return is_integer(in) ? kInteger : kFraction;
    default:
      return kInteger;
  }
}

}  // namespace

bool Evaluation::run(NodeId id, const value& in, const Place& at, Marks* marks) {
  if (stopped_ != Stop::kNone || !charge(1)) return false;
  const Node& node = program_.nodes[id];
  if (node.never) return broken(node, "", at, [] { return Expectation{}; });
  const Types type = type_of(in);
  if ((node.types & type) == 0) {
    return broken(node, "type", at, [&] { return expected_types(node, in, hides(node)); });
  }
  if (depth_ == limits_.max_depth) return stop(Stop::kDepth);
  ++depth_;
  const bool was_secret = secret_;
  secret_ = hides(node);
  bool valid = false;
  if (program_.dynamic && (scope_ == nullptr || scope_->resource != node.resource)) {
    const Scope entered{.resource = node.resource, .outer = scope_};
    scope_ = &entered;
    valid = apply(node, in, type, at, marks);
    scope_ = entered.outer;
  } else {
    valid = apply(node, in, type, at, marks);
  }
  secret_ = was_secret;
  --depth_;
  return valid;
}

bool Evaluation::apply(const Node& node, const value& in, Types type, const Place& at, Marks* marks) {
  const bool asks = (type == kObject && node.object && node.object->unevaluated != kNoNode) ||
                    (type == kArray && node.array && node.array->unevaluated != kNoNode);
  if (!asks) return apply_all(node, in, type, at, marks);
  Marks own(type == kObject ? in.get_object().size() : in.get_array().size());
  if (!apply_all(node, in, type, at, &own)) return false;
  if (!apply_unevaluated(node, in, at, own)) return false;
  if (marks != nullptr) marks->merge(own);
  return true;
}

bool Evaluation::apply_all(const Node& node, const value& in, Types type, const Place& at, Marks* marks) {
  bool valid = !node.choices || choice(node, in, at);
  if (!valid && enough()) return false;
  valid &= apply_own(node, in, type, at, marks);
  if (!valid && enough()) return false;
  return (!node.logic || logic(node, in, at, marks)) && valid;
}

bool Evaluation::apply_own(const Node& node, const value& in, Types type, const Place& at, Marks* marks) {
  if (type == kObject) return !node.object || object(node, in, at, marks);
  if (type == kString) return !node.string || string(node, in.get_string(), at);
  if (type == kArray) return !node.array || array(node, in.get_array(), at, marks);
  if ((type & (kInteger | kFraction)) != 0) return !node.number || number(node, in, at);
  return true;
}

// After everything else, and only over what nothing else has evaluated.
bool Evaluation::apply_unevaluated(const Node& node, const value& in, const Place& at, Marks& marks) {
  bool valid = true;
  if (const auto* list = in.if_array()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (marks.test(i)) continue;
      marks.set(i);
      valid &= run(node.array->unevaluated, (*list)[i], at.item(i), nullptr);
      if (!valid && enough()) return false;
    }
    return valid;
  }
  std::size_t i = 0;
  for (const auto& [name, held] : in.get_object()) {
    if (!marks.test(i)) {
      marks.set(i);
      const NodeId id = node.object->unevaluated;
      valid &= program_.nodes[id].never ? unknown_member(node, "unevaluatedProperties", name, at)
                                        : run(id, held, at.member(name), nullptr);
      if (!valid && enough()) return false;
    }
    ++i;
  }
  return valid;
}

namespace {

std::string limit_message(Evaluation::Stop stopped, const SchemaLimits& limits) {
  switch (stopped) {
    case Evaluation::Stop::kDepth:
      return fmt::format("the schema applies itself more than {} levels deep here", limits.max_depth);
    case Evaluation::Stop::kPatternTime:
      return fmt::format("matching this against the schema's patterns takes more than {} ms", limits.max_pattern_ms);
    case Evaluation::Stop::kPatternRisk:
      return "a text is too long for its pattern in the schema";
    default:
      return fmt::format("checking this against the schema takes more than {} steps", limits.max_steps);
  }
}

}  // namespace

std::vector<SchemaError> evaluate(const Program& program, const SchemaLimits& limits, const value& document,
                                  std::string_view pointer) {
  Evaluation quick(program, limits, nullptr);
  if (quick.run(program.root, document, Place{}, nullptr) && quick.stopped() == Evaluation::Stop::kNone) return {};
  Evaluation::Stop stopped = quick.stopped();
  if (stopped == Evaluation::Stop::kNone) {
    Findings findings(pointer, std::max<std::size_t>(1, limits.max_errors));
    Evaluation thorough(program, limits, &findings);
    thorough.run(program.root, document, Place{}, nullptr);
    stopped = thorough.stopped();
    if (auto errors = findings.take(); !errors.empty()) return errors;
  }
  return {{.pointer = std::string(pointer), .keyword = "", .message = limit_message(stopped, limits)}};
}

}  // namespace llm::json::rules
