#include "json/schema_documents.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include "base/strings.h"
#include "json/schema_metaschema.h"
#include "json/schema_uri.h"

namespace llm::json::rules {

namespace {

constexpr std::string_view kVocabulary = "https://json-schema.org/draft/2020-12/vocab/";

// How a keyword holds subschemas.
enum class Holds { kSchema, kList, kMap };
using Holder = std::pair<std::string_view, Holds>;
constexpr std::array<Holder, 21> kHolders = {{
    {"$defs", Holds::kMap},
    {"additionalProperties", Holds::kSchema},
    {"allOf", Holds::kList},
    {"anyOf", Holds::kList},
    {"contains", Holds::kSchema},
    {"contentSchema", Holds::kSchema},
    {"definitions", Holds::kMap},
    {"dependencies", Holds::kMap},
    {"dependentSchemas", Holds::kMap},
    {"else", Holds::kSchema},
    {"if", Holds::kSchema},
    {"items", Holds::kSchema},
    {"not", Holds::kSchema},
    {"oneOf", Holds::kList},
    {"patternProperties", Holds::kMap},
    {"prefixItems", Holds::kList},
    {"properties", Holds::kMap},
    {"propertyNames", Holds::kSchema},
    {"then", Holds::kSchema},
    {"unevaluatedItems", Holds::kSchema},
    {"unevaluatedProperties", Holds::kSchema},
}};

bool is_schema(const value& item) {
  return item.is_object() || item.is_bool();
}

// JSON levels; stops counting past `most`.
std::size_t depth_of(const value& item, std::size_t most) {
  std::size_t deepest = 0;
  if (most == 0) return 1;
  if (const auto* list = item.if_array()) {
    for (const auto& element : *list) deepest = std::max(deepest, depth_of(element, most - 1));
  } else if (const auto* map = item.if_object()) {
    for (const auto& member : *map) deepest = std::max(deepest, depth_of(member.value(), most - 1));
  }
  return deepest + 1;
}

std::string pointer_unescape(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    const bool escape = token[i] == '~' && i + 1 < token.size() && (token[i + 1] == '0' || token[i + 1] == '1');
    out.push_back(escape ? (token[++i] == '0' ? '~' : '/') : token[i]);
  }
  return out;
}

const value* step_into(const value& from, const std::string& token) {
  if (const auto* map = from.if_object()) return map->if_contains(token);
  const auto* list = from.if_array();
  if (list == nullptr || (token.size() > 1 && token[0] == '0')) return nullptr;
  const auto index = parse_number<std::size_t>(token);
  return index && *index < list->size() ? &(*list)[*index] : nullptr;
}

}  // namespace

std::unexpected<Error> wrong_schema(std::string_view location, std::string message) {
  if (location.empty() || location.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, std::move(message), std::string(location));
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", location, message));
}

const Spot* Documents::spot(const value* schema) const {
  const auto found = spots_.find(schema);
  return found == spots_.end() ? nullptr : &found->second;
}

Result<void> Documents::add_root(const value& schema) {
  return add(schema, "", "");
}

Result<void> Documents::add(const value& document, const std::string& uri, const std::string& location) {
  if (auto checked = check(document, location); !checked) return checked;
  const auto resource = open_resource(document, uri, location);
  if (!resource) return fail(resource.error());
  by_uri_.try_emplace(uri, *resource);
  return index(document, *resource, location);
}

Result<void> Documents::check(const value& schema, const std::string& location) const {
  if (!is_schema(schema)) return wrong_schema(location, "a schema must be an object, true or false");
  const std::size_t most = settings_.limits.max_schema_depth;
  if (depth_of(schema, most) > most) {
    return wrong_schema(location, fmt::format("the schema is nested deeper than {} levels", most));
  }
  if (trust_ == Trust::kBuiltIn) return {};
  const auto faults = metaschema_errors(schema);
  if (faults.empty()) return {};
  return wrong_schema(location + faults.front().pointer, faults.front().message);
}

// Section 8.1.1 and 8.1.2 of core: $schema names a metaschema, whose $vocabulary says what applies.
Result<Dialect> Documents::dialect_of(const value& root, const std::string& location) const {
  const auto* schema = root.if_object();
  std::string_view uri = schema == nullptr ? "" : string_or(*schema, "$schema");
  if (uri.ends_with('#')) uri.remove_suffix(1);
  if (uri.empty() || uri == kMetaschemaUri) return Dialect{};
  const std::string at = pointer_join(location, "$schema");
  const auto known = settings_.library == nullptr ? SchemaLibrary::const_iterator{} : settings_.library->find(uri);
  if (settings_.library == nullptr || known == settings_.library->end()) {
    return wrong_schema(at, fmt::format("the dialect {} is not supported; use {}", uri, kMetaschemaUri));
  }
  const auto* metaschema = known->second.if_object();
  const value* vocabulary = metaschema == nullptr ? nullptr : find(*metaschema, "$vocabulary");
  if (vocabulary == nullptr || !vocabulary->is_object()) return Dialect{};
  Dialect out{.applicator = false, .unevaluated = false, .validation = false};
  for (const auto& [key, required] : vocabulary->get_object()) {
    std::string_view name = key;
    if (name.starts_with(kVocabulary)) name.remove_prefix(kVocabulary.size());
    if (name == "applicator") {
      out.applicator = true;
    } else if (name == "unevaluated") {
      out.unevaluated = true;
    } else if (name == "validation") {
      out.validation = true;
    } else if (name == "format-assertion") {
      out.format_assertion = true;
    } else if (name != "core" && name != "meta-data" && name != "content" && name != "format-annotation" &&
               required == value(true)) {
      return wrong_schema(at, fmt::format("the dialect requires the vocabulary {}, which is not supported", name));
    }
  }
  return out;
}

Result<ResourceId> Documents::open_resource(const value& root, std::string uri, const std::string& location) {
  if (const auto* schema = root.if_object()) {
    const std::string id = resolve_uri(uri, string_or(*schema, "$id"));
    uri = split_fragment(id).resource;
  }
  auto dialect = dialect_of(root, location);
  if (!dialect) return fail(std::move(dialect.error()));
  const auto id = static_cast<ResourceId>(resources_.size());
  const auto [known, added] = by_uri_.try_emplace(uri, id);
  if (!added && resources_[known->second].root != &root) {
    return wrong_schema(pointer_join(location, "$id"), fmt::format("there are two schemas with the $id {}", uri));
  }
  resources_.push_back(
      {.uri = std::move(uri), .root = &root, .dialect = *dialect, .anchors = {}, .dynamic_anchors = {}});
  return id;
}

Result<void> Documents::add_anchors(const value& schema, Resource& resource, const std::string& location) {
  for (const std::string_view keyword : {"$anchor", "$dynamicAnchor"}) {
    const std::string name(string_or(schema.get_object(), keyword));
    if (name.empty()) continue;
    if (!resource.anchors.try_emplace(name, &schema).second) {
      return wrong_schema(pointer_join(location, keyword), fmt::format("there are two anchors \"{}\"", name));
    }
    if (keyword == "$dynamicAnchor") resource.dynamic_anchors.emplace(name, &schema);
  }
  return {};
}

Result<void> Documents::index(const value& schema, ResourceId resource, std::string location) {
  if (!is_schema(schema) || spots_.contains(&schema)) return {};
  const auto* keywords = schema.if_object();
  if (keywords != nullptr && resources_[resource].root != &schema && !string_or(*keywords, "$id").empty()) {
    const auto opened = open_resource(schema, resources_[resource].uri, location);
    if (!opened) return fail(opened.error());
    resource = *opened;
  }
  if (subschemas_.size() == settings_.limits.max_subschemas) {
    return wrong_schema(location, fmt::format("more than {} subschemas", settings_.limits.max_subschemas));
  }
  subschemas_.push_back(&schema);
  spots_.emplace(&schema, Spot{resource, location});
  if (keywords == nullptr) return {};
  if (auto added = add_anchors(schema, resources_[resource], location); !added) return added;
  return index_children(*keywords, resource, location);
}

Result<void> Documents::index_children(const object& schema, ResourceId resource, const std::string& location) {
  for (const auto& [keyword, held] : schema) {
    const auto* holder = std::ranges::find(kHolders, std::string_view(keyword), &Holder::first);
    if (holder == kHolders.end()) continue;
    const std::string at = pointer_join(location, keyword);
    if (holder->second == Holds::kSchema) {
      if (auto done = index(held, resource, at); !done) return done;
    } else if (const auto* list = held.if_array(); list != nullptr && holder->second == Holds::kList) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        if (auto done = index((*list)[i], resource, pointer_join(at, std::to_string(i))); !done) return done;
      }
    } else if (const auto* map = held.if_object(); map != nullptr && holder->second == Holds::kMap) {
      for (const auto& member : *map) {
        if (auto done = index(member.value(), resource, pointer_join(at, member.key())); !done) return done;
      }
    }
  }
  return {};
}

Result<ResourceId> Documents::find_resource(std::string_view uri, const std::string& location) {
  const auto known = by_uri_.find(uri);
  if (known != by_uri_.end()) return known->second;
  const std::string name(uri);
  const value* document = built_in_schema(uri);
  const bool built_in = document != nullptr;
  if (!built_in && settings_.library != nullptr) {
    const auto found = settings_.library->find(uri);
    if (found != settings_.library->end()) document = &found->second;
  }
  if (document == nullptr) {
    return wrong_schema(location, fmt::format("{} is not part of this schema, and other schemas are never fetched; "
                                              "put it into $defs",
                                              uri));
  }
  const Trust before = std::exchange(trust_, built_in ? Trust::kBuiltIn : trust_);
  const auto added = add(*document, name, name + "#");
  trust_ = before;
  if (!added) return fail(added.error());
  return by_uri_.find(uri)->second;
}

Result<Target> Documents::walk(ResourceId resource, std::string_view pointer, const std::string& location) {
  const value* at = resources_[resource].root;
  std::string place = spots_.at(at).location;
  for (const auto token : split(pointer.substr(1), '/')) {
    const std::string name = pointer_unescape(token);
    at = step_into(*at, name);
    if (at == nullptr) return wrong_schema(location, fmt::format("there is nothing at {}", pointer));
    place = pointer_join(place, name);
    if (const Spot* found = spot(at)) resource = found->resource;
  }
  if (spot(at) == nullptr) {  // below a keyword that nobody knows
    if (auto checked = check(*at, place); !checked) return fail(std::move(checked.error()));
    if (auto added = index(*at, resource, place); !added) return fail(std::move(added.error()));
  }
  return Target{at, {}};
}

Result<Target> Documents::resolve(const value* from, std::string_view keyword, std::string_view reference) {
  const Spot origin = spots_.at(from);
  const std::string location = pointer_join(origin.location, keyword);
  const std::string uri = resolve_uri(resources_[origin.resource].uri, reference);
  const auto [base, encoded] = split_fragment(uri);
  const auto resource = find_resource(base, location);
  if (!resource) return fail(resource.error());
  const auto fragment = percent_decode(encoded);
  if (!fragment) return wrong_schema(location, fmt::format("{} is no valid reference", reference));
  if (fragment->empty()) return Target{resources_[*resource].root, {}};
  if (fragment->starts_with('/')) return walk(*resource, *fragment, location);
  const Resource& home = resources_[*resource];
  const auto anchor = home.anchors.find(*fragment);
  if (anchor == home.anchors.end()) return wrong_schema(location, fmt::format("there is no anchor \"{}\"", *fragment));
  return Target{anchor->second, home.dynamic_anchors.contains(*fragment) ? *fragment : std::string()};
}

}  // namespace llm::json::rules
