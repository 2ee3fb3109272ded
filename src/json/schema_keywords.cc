// What each keyword of JSON Schema 2020-12 means, read into a node.
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "json/schema_compiler.h"

namespace llm::json::rules {

namespace {

// What a handler gets: the value of its keyword, which the metaschema has found to be of the right kind.
struct Reading {
  Compiler& compiler;
  Draft& draft;
  std::string_view keyword;
  const value& held;
};

std::uint64_t count(const value& number) {
  const Number n = Number::of(number);
  return n.whole ? (n.negative ? 0 : n.magnitude) : UINT64_MAX;
}

Types type_named(std::string_view name) {
  if (name == "null") return kNull;
  if (name == "boolean") return kBoolean;
  if (name == "integer") return kInteger;
  if (name == "number") return kInteger | kFraction;
  if (name == "string") return kString;
  return name == "array" ? kArray : kObject;
}

void read_type(const Reading& in) {
  Types types = 0;
  if (const auto* name = in.held.if_string()) types = type_named(*name);
  if (const auto* names = in.held.if_array()) {
    for (const auto& name : *names) types |= type_named(name.as_string());
  }
  in.draft.node.types = types;
}

constexpr std::size_t kFewChoices = 16;

// `const` beside `enum` leaves what both allow.
void choose(Draft& draft, std::vector<value> values, bool constant) {
  std::size_t steps = 0;
  if (draft.node.choices) {
    std::erase_if(values, [&](const value& item) {
      return std::ranges::none_of(draft.node.choices->values,
                                  [&](const value& other) { return equal(item, other, steps); });
    });
  }
  auto choices = std::make_unique<Choices>();
  choices->values = std::move(values);
  choices->constant = constant;
  if (choices->values.size() > kFewChoices) {
    for (std::size_t i = 0; i < choices->values.size(); ++i) {
      choices->hashes.emplace_back(hash(choices->values[i], steps), i);
    }
    std::ranges::sort(choices->hashes);
  }
  draft.node.choices = std::move(choices);
}

void read_enum(const Reading& in) {
  std::vector<value> values;
  for (const auto& item : in.held.as_array()) values.emplace_back(item, boost::json::storage_ptr());
  choose(in.draft, std::move(values), false);
}
void read_const(const Reading& in) {
  std::vector<value> values;
  values.emplace_back(in.held, boost::json::storage_ptr());
  choose(in.draft, std::move(values), true);
}

void read_minimum(const Reading& in) {
  in.draft.number().minimum = Number::of(in.held);
}
void read_maximum(const Reading& in) {
  in.draft.number().maximum = Number::of(in.held);
}
void read_exclusive_minimum(const Reading& in) {
  in.draft.number().exclusive_minimum = Number::of(in.held);
}
void read_exclusive_maximum(const Reading& in) {
  in.draft.number().exclusive_maximum = Number::of(in.held);
}
void read_multiple_of(const Reading& in) {
  NumberRules& rules = in.draft.number();
  rules.multiple_of = Number::of(in.held);
  rules.step = Decimal::of(*rules.multiple_of);
}

void read_min_length(const Reading& in) {
  in.draft.string().min_length = count(in.held);
}
void read_max_length(const Reading& in) {
  in.draft.string().max_length = count(in.held);
}
void read_pattern(const Reading& in) {
  in.draft.string().pattern = in.compiler.pattern(in.draft, in.keyword, in.held.as_string());
}
void read_format(const Reading& in) {
  if (in.held.as_string() == "password") in.draft.node.secret = true;
  if (!in.compiler.asserts_formats(in.draft)) return;
  const Format* format = find_format(in.held.as_string());
  if (format != nullptr) in.draft.string().format = format;
}
void read_write_only(const Reading& in) {
  if (in.held == value(true)) in.draft.node.secret = true;
}

void read_min_items(const Reading& in) {
  in.draft.array().min_items = count(in.held);
}
void read_max_items(const Reading& in) {
  in.draft.array().max_items = count(in.held);
}
void read_unique_items(const Reading& in) {
  if (in.held == value(true)) in.draft.array().unique = true;
}
void read_prefix_items(const Reading& in) {
  in.draft.array().prefix = in.compiler.children(in.held);
}
void read_items(const Reading& in) {
  in.draft.array().items = in.compiler.child(in.held);
}
void read_contains(const Reading& in) {
  in.draft.array().contains = in.compiler.child(in.held);
}
void read_min_contains(const Reading& in) {
  in.draft.array().min_contains = count(in.held);
}
void read_max_contains(const Reading& in) {
  in.draft.array().max_contains = count(in.held);
}
void read_unevaluated_items(const Reading& in) {
  in.draft.array().unevaluated = in.compiler.child(in.held);
}

void read_min_properties(const Reading& in) {
  in.draft.object().min_properties = count(in.held);
}
void read_max_properties(const Reading& in) {
  in.draft.object().max_properties = count(in.held);
}
void read_properties(const Reading& in) {
  for (const auto& [name, schema] : in.held.as_object()) {
    in.draft.properties.push_back({.name = std::string(name), .node = in.compiler.child(schema), .required = false});
  }
}
void read_required(const Reading& in) {
  for (const auto& name : in.held.as_array()) {
    in.draft.properties.push_back({.name = std::string(name.as_string()), .node = kNoNode, .required = true});
  }
}
void read_pattern_properties(const Reading& in) {
  for (const auto& [source, schema] : in.held.as_object()) {
    auto pattern = in.compiler.pattern(in.draft, in.keyword, source);
    if (!pattern) return;
    in.draft.object().patterns.emplace_back(std::move(*pattern), in.compiler.child(schema));
  }
}
void read_additional_properties(const Reading& in) {
  in.draft.object().additional = in.compiler.child(in.held);
}
void read_property_names(const Reading& in) {
  in.draft.object().names = in.compiler.child(in.held);
}
void read_unevaluated_properties(const Reading& in) {
  in.draft.object().unevaluated = in.compiler.child(in.held);
}

std::vector<std::string> strings(const array& list) {
  std::vector<std::string> out;
  for (const auto& item : list) out.emplace_back(item.as_string());
  return out;
}
void read_dependent_required(const Reading& in) {
  for (const auto& [name, needed] : in.held.as_object()) {
    in.draft.object().dependent_required.emplace_back(name, strings(needed.as_array()));
  }
}
void read_dependent_schemas(const Reading& in) {
  for (const auto& [name, schema] : in.held.as_object()) {
    in.draft.object().dependent_schemas.emplace_back(name, in.compiler.child(schema));
  }
}
// Of earlier drafts, and still in use; the metaschema keeps it.
void read_dependencies(const Reading& in) {
  for (const auto& [name, needed] : in.held.as_object()) {
    if (const auto* names = needed.if_array()) {
      in.draft.object().dependent_required.emplace_back(name, strings(*names));
    } else {
      in.draft.object().dependent_schemas.emplace_back(name, in.compiler.child(needed));
    }
  }
}

void read_ref(const Reading& in) {
  in.draft.logic().ref = in.compiler.follow(in.draft, in.keyword, in.held);
}
void read_dynamic_ref(const Reading& in) {
  in.compiler.follow_dynamic(in.draft, in.held);
}
void read_all_of(const Reading& in) {
  in.draft.logic().all_of = in.compiler.children(in.held);
}
void read_any_of(const Reading& in) {
  in.draft.logic().any_of = in.compiler.children(in.held);
}
void read_one_of(const Reading& in) {
  in.draft.logic().one_of = in.compiler.children(in.held);
}
void read_not(const Reading& in) {
  in.draft.logic().negated = in.compiler.child(in.held);
}
void read_if(const Reading& in) {
  in.draft.logic().condition = in.compiler.child(in.held);
}
void read_then(const Reading& in) {
  in.draft.logic().then = in.compiler.child(in.held);
}
void read_else(const Reading& in) {
  in.draft.logic().otherwise = in.compiler.child(in.held);
}

constexpr bool Dialect::* kAlways = nullptr;
constexpr bool Dialect::* kApplicator = &Dialect::applicator;
constexpr bool Dialect::* kUnevaluated = &Dialect::unevaluated;
constexpr bool Dialect::* kValidation = &Dialect::validation;

struct Keyword {
  std::string_view name;
  bool Dialect::* vocabulary;
  void (*read)(const Reading&);
};
constexpr std::array<Keyword, 42> kKeywords = {{
    {"$dynamicRef", kAlways, read_dynamic_ref},
    {"$ref", kAlways, read_ref},
    {"additionalProperties", kApplicator, read_additional_properties},
    {"allOf", kApplicator, read_all_of},
    {"anyOf", kApplicator, read_any_of},
    {"const", kValidation, read_const},
    {"contains", kApplicator, read_contains},
    {"dependencies", kApplicator, read_dependencies},
    {"dependentRequired", kValidation, read_dependent_required},
    {"dependentSchemas", kApplicator, read_dependent_schemas},
    {"else", kApplicator, read_else},
    {"enum", kValidation, read_enum},
    {"exclusiveMaximum", kValidation, read_exclusive_maximum},
    {"exclusiveMinimum", kValidation, read_exclusive_minimum},
    {"format", kAlways, read_format},
    {"if", kApplicator, read_if},
    {"items", kApplicator, read_items},
    {"maxContains", kValidation, read_max_contains},
    {"maxItems", kValidation, read_max_items},
    {"maxLength", kValidation, read_max_length},
    {"maxProperties", kValidation, read_max_properties},
    {"maximum", kValidation, read_maximum},
    {"minContains", kValidation, read_min_contains},
    {"minItems", kValidation, read_min_items},
    {"minLength", kValidation, read_min_length},
    {"minProperties", kValidation, read_min_properties},
    {"minimum", kValidation, read_minimum},
    {"multipleOf", kValidation, read_multiple_of},
    {"not", kApplicator, read_not},
    {"oneOf", kApplicator, read_one_of},
    {"pattern", kValidation, read_pattern},
    {"patternProperties", kApplicator, read_pattern_properties},
    {"prefixItems", kApplicator, read_prefix_items},
    {"properties", kApplicator, read_properties},
    {"propertyNames", kApplicator, read_property_names},
    {"required", kValidation, read_required},
    {"then", kApplicator, read_then},
    {"type", kValidation, read_type},
    {"unevaluatedItems", kUnevaluated, read_unevaluated_items},
    {"unevaluatedProperties", kUnevaluated, read_unevaluated_properties},
    {"uniqueItems", kValidation, read_unique_items},
    {"writeOnly", kAlways, read_write_only},
}};

// `required` and `properties` may name the same, in any order of the two.
void finish_properties(Draft& draft) {
  if (draft.properties.empty()) return;
  std::vector<PropertyTable::Entry> merged;
  std::unordered_map<std::string_view, std::size_t> places;
  for (const bool of_properties : {true, false}) {
    for (auto& entry : draft.properties) {
      if ((entry.node != kNoNode) != of_properties) continue;
      const auto [known, added] = places.try_emplace(entry.name, merged.size());
      if (added) {
        merged.push_back(entry);
      } else {
        merged[known->second].required |= entry.required;
      }
    }
  }
  ObjectRules& rules = draft.object();
  rules.required = static_cast<std::size_t>(std::ranges::count(merged, true, &PropertyTable::Entry::required));
  rules.properties.build(std::move(merged));
}

// Keywords without the one they belong to mean nothing.
void drop_strays(Draft& draft) {
  if (Logic* logic = draft.node.logic.get(); logic != nullptr && logic->condition == kNoNode) {
    logic->then = kNoNode;
    logic->otherwise = kNoNode;
  }
}

}  // namespace

void read_keywords(Compiler& compiler, Draft& draft, Dialect dialect) {
  for (const auto& [name, held] : draft.schema->get_object()) {
    const auto* keyword = std::ranges::find(kKeywords, std::string_view(name), &Keyword::name);
    if (keyword == kKeywords.end()) continue;
    if (keyword->vocabulary != kAlways && !(dialect.*keyword->vocabulary)) continue;
    keyword->read({compiler, draft, keyword->name, held});
  }
  finish_properties(draft);
  drop_strays(draft);
}

}  // namespace llm::json::rules
