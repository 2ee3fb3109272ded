#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "json/schema_program.h"
#include "json/schema_validator.h"

// Where schemas are: documents, the resources that $id makes of them, their anchors, and what a reference points at.
// Used while a schema is compiled. Keeps pointers into the documents.
namespace llm::json::rules {

// Which vocabularies apply (core, section 8.1). Core always does.
struct Dialect {
  bool applicator = true;
  bool unevaluated = true;
  bool validation = true;
  bool format_assertion = false;
};

struct Resource {
  std::string uri;  // without fragment; empty: a document without $id
  const value* root = nullptr;
  Dialect dialect;
  std::map<std::string, const value*, std::less<>> anchors;  // of both kinds
  std::map<std::string, const value*, std::less<>> dynamic_anchors;
};

// Where a subschema stands.
struct Spot {
  ResourceId resource = 0;
  std::string location;  // as in SchemaError::keyword
};

struct Target {
  const value* schema = nullptr;
  std::string dynamic_anchor;  // the name, if that is how the reference points there
};

// Documents that need no check against the metaschema: those it consists of.
enum class Trust { kCheck, kBuiltIn };

class Documents {
 public:
  Documents(const SchemaSettings& settings, Trust trust) : settings_(settings), trust_(trust) {}

  Result<void> add_root(const value& schema);
  // Makes the target's document known if need be. `from` is a known subschema.
  Result<Target> resolve(const value* from, std::string_view keyword, std::string_view reference);

  // nullptr if that is no subschema.
  const Spot* spot(const value* schema) const;
  const std::vector<Resource>& resources() const { return resources_; }
  // Every subschema of all documents so far, in the order they became known.
  const std::vector<const value*>& subschemas() const { return subschemas_; }

 private:
  Result<void> add(const value& document, const std::string& uri, const std::string& location);
  Result<void> check(const value& schema, const std::string& location) const;
  Result<void> index(const value& schema, ResourceId resource, std::string location);
  Result<void> index_children(const object& schema, ResourceId resource, const std::string& location);
  Result<ResourceId> open_resource(const value& root, std::string uri, const std::string& location);
  Result<void> add_anchors(const value& schema, Resource& resource, const std::string& location);
  Result<Dialect> dialect_of(const value& root, const std::string& location) const;
  Result<ResourceId> find_resource(std::string_view uri, const std::string& location);
  Result<Target> walk(ResourceId resource, std::string_view pointer, const std::string& location);

  const SchemaSettings& settings_;
  Trust trust_;
  std::vector<Resource> resources_;
  std::map<std::string, ResourceId, std::less<>> by_uri_;
  std::unordered_map<const value*, Spot> spots_;
  std::vector<const value*> subschemas_;
};

// A compile error at a place of a schema; in another document than the one that is compiled the message names it.
std::unexpected<Error> wrong_schema(std::string_view location, std::string message);

}  // namespace llm::json::rules
