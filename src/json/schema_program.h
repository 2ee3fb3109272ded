#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/json.h"
#include "json/schema_formats.h"
#include "json/schema_numbers.h"
#include "json/schema_pattern.h"

// A schema as it is evaluated: one node per subschema, its keywords grouped by the kind of value they apply to, so that
// a value meets only what concerns it. Written by schema_compile.cc, read by schema_evaluate*.cc; immutable in between.
namespace llm::json::rules {

using NodeId = std::uint32_t;
using ResourceId = std::uint32_t;
inline constexpr NodeId kNoNode = UINT32_MAX;

// The types of JSON Schema as a set. "number" is kInteger | kFraction.
using Types = std::uint8_t;
inline constexpr Types kNull = 1;
inline constexpr Types kBoolean = 2;
inline constexpr Types kInteger = 4;
inline constexpr Types kFraction = 8;
inline constexpr Types kString = 16;
inline constexpr Types kArray = 32;
inline constexpr Types kObject = 64;
inline constexpr Types kAnyType = 127;

struct NumberRules {
  std::optional<Number> minimum;
  std::optional<Number> maximum;
  std::optional<Number> exclusive_minimum;
  std::optional<Number> exclusive_maximum;
  std::optional<Number> multiple_of;
  Decimal step;  // multiple_of
};

struct StringRules {
  std::uint64_t min_length = 0;  // characters
  std::uint64_t max_length = UINT64_MAX;
  std::optional<Pattern> pattern;
  const Format* format = nullptr;
};

struct ArrayRules {
  std::uint64_t min_items = 0;
  std::uint64_t max_items = UINT64_MAX;
  std::vector<NodeId> prefix;
  NodeId items = kNoNode;
  NodeId contains = kNoNode;
  std::uint64_t min_contains = 1;
  std::uint64_t max_contains = UINT64_MAX;
  NodeId unevaluated = kNoNode;
  bool unique = false;
};

// The names that `properties` and `required` mention. A few are found by a hash of length and three bytes, many by
// binary search, so that no choice of names makes lookups slow.
class PropertyTable {
 public:
  struct Entry {
    std::string name;
    NodeId node = kNoNode;  // of `properties`
    bool required = false;
  };

  void build(std::vector<Entry> entries);

  const Entry* find(std::string_view name) const {
    if (buckets_.empty()) return search(name);
    for (std::size_t at = bucket(name);; ++at) {
      const std::uint8_t index = buckets_[at % kBuckets];
      if (index == kFree) return nullptr;
      if (entries_[index].name == name) return &entries_[index];
    }
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  static constexpr std::size_t kBuckets = 128;
  static constexpr std::size_t kFew = kBuckets / 2;
  static constexpr std::uint8_t kFree = 255;

  static std::size_t bucket(std::string_view name) {
    if (name.empty()) return 0;
    const auto byte = [name](std::size_t i) { return static_cast<unsigned char>(name[i]); };
    return (name.size() * 31 + byte(0) * 7U + byte(name.size() - 1) * 13U + byte(name.size() / 2) * 3U) % kBuckets;
  }
  const Entry* search(std::string_view name) const;

  std::vector<Entry> entries_;         // in the schema's order, or by name without buckets
  std::vector<std::uint8_t> buckets_;  // index into entries_, kFree; empty: search
};

struct ObjectRules {
  std::uint64_t min_properties = 0;
  std::uint64_t max_properties = UINT64_MAX;
  PropertyTable properties;
  std::size_t required = 0;  // how many entries of `properties` are
  std::vector<std::pair<Pattern, NodeId>> patterns;
  NodeId additional = kNoNode;
  NodeId names = kNoNode;
  std::vector<std::pair<std::string, std::vector<std::string>>> dependent_required;
  std::vector<std::pair<std::string, NodeId>> dependent_schemas;
  NodeId unevaluated = kNoNode;

  bool visits_members() const {
    return !properties.entries().empty() || !patterns.empty() || additional != kNoNode || names != kNoNode;
  }
};

// enum and const.
struct Choices {
  std::vector<value> values;
  std::vector<std::pair<std::uint64_t, std::size_t>> hashes;  // of many values: sorted, with their indexes
  bool constant = false;
};

struct DynamicRef {
  std::string name;
  NodeId otherwise = kNoNode;                              // where the reference points at first
  std::vector<std::pair<ResourceId, NodeId>> by_resource;  // who else has that $dynamicAnchor
};

// Keywords that apply other schemas to the same value.
struct Logic {
  NodeId ref = kNoNode;
  std::optional<DynamicRef> dynamic_ref;
  std::vector<NodeId> all_of;
  std::vector<NodeId> any_of;
  std::vector<NodeId> one_of;
  NodeId negated = kNoNode;
  NodeId condition = kNoNode;
  NodeId then = kNoNode;
  NodeId otherwise = kNoNode;
};

struct Node {
  Types types = kAnyType;
  bool never = false;   // the schema `false`
  bool secret = false;  // writeOnly, or of the format "password": values appear in no message
  ResourceId resource = 0;
  std::unique_ptr<NumberRules> number;
  std::unique_ptr<StringRules> string;
  std::unique_ptr<ArrayRules> array;
  std::unique_ptr<ObjectRules> object;
  std::unique_ptr<Choices> choices;
  std::unique_ptr<Logic> logic;
  std::string location;  // JSON Pointer in the schema; in another document behind its URI and '#'
};

struct Program {
  std::vector<Node> nodes;
  NodeId root = 0;
  bool dynamic = false;  // has a $dynamicRef that needs to know where it was reached from
};

}  // namespace llm::json::rules
