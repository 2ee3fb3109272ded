#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json/schema_documents.h"
#include "json/schema_program.h"

// The inside of compile_program: schema_compile.cc walks the schema, schema_keywords.cc reads the keywords.
namespace llm::json::rules {

// A node while its keywords are read.
struct Draft {
  Node node;
  const value* schema = nullptr;
  std::vector<PropertyTable::Entry> properties;

  // Make the group at its first keyword.
  NumberRules& number() { return made(node.number); }
  StringRules& string() { return made(node.string); }
  ArrayRules& array() { return made(node.array); }
  ObjectRules& object() { return made(node.object); }
  Logic& logic() { return made(node.logic); }

 private:
  template <class T>
  static T& made(std::unique_ptr<T>& group) {
    if (!group) group = std::make_unique<T>();
    return *group;
  }
};

class Compiler {
 public:
  Compiler(const SchemaSettings& settings, Trust trust) : settings_(settings), documents_(settings, trust) {}

  Result<Program> run(const value& schema);

  // For the keywords. The first failure is the result of run().
  void fail_at(const Draft& draft, std::string_view keyword, std::string message);
  NodeId child(const value& schema);
  std::vector<NodeId> children(const value& list);
  NodeId follow(const Draft& draft, std::string_view keyword, const value& reference);
  void follow_dynamic(Draft& draft, const value& reference);
  std::optional<Pattern> pattern(const Draft& draft, std::string_view keyword, std::string_view source);
  bool asserts_formats(const Draft& draft) const;

 private:
  void fill(NodeId id, const value& schema);
  void fill_pending();
  void link_dynamic_refs();
  void refuse_endless_references();

  const SchemaSettings& settings_;
  Documents documents_;
  Program program_;
  std::unordered_map<const value*, NodeId> ids_;
  std::vector<std::pair<NodeId, const value*>> pending_;
  std::size_t pattern_size_ = 0;
  std::optional<Error> failure_;
};

// Reads all keywords of a schema object that the dialect knows. By value: following a reference may add resources.
void read_keywords(Compiler& compiler, Draft& draft, Dialect dialect);

}  // namespace llm::json::rules
