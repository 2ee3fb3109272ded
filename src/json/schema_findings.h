#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "json/schema_program.h"
#include "json/schema_validator.h"

// What was found wrong, and the words for it.
namespace llm::json::rules {

// Where in a document: a chain on the stack, which becomes a JSON Pointer only if it is reported.
struct Place {
  const Place* up = nullptr;  // nullptr: the document itself
  std::string_view key{};     // of a member, else
  std::size_t index = 0;      // of an item
  bool is_item = false;
  bool is_name = false;  // the member's name, not its value
  std::size_t depth = 0;

  Place member(std::string_view name) const { return {.up = this, .key = name, .depth = depth + 1}; }
  Place item(std::size_t i) const { return {.up = this, .index = i, .is_item = true, .depth = depth + 1}; }
  Place name(std::string_view name) const { return {.up = this, .key = name, .is_name = true, .depth = depth + 1}; }
};
std::string pointer_to(const Place& place, std::string_view prefix);

// What type, enum and const want. The findings of several branches can be said as one.
struct Expectation {
  Types types = 0;
  std::vector<std::string> choices;  // as JSON
  std::string got;

  bool empty() const { return types == 0 && choices.empty(); }
};

struct Finding {
  SchemaError error;
  std::size_t depth = 0;  // of the place
  Expectation expectation;
};

// A list with a limit, which anyOf and oneOf fill once per branch.
class Findings {
 public:
  Findings(std::string_view prefix, std::size_t most) : prefix_(prefix), most_(most) {}

  bool full() const { return list_.size() >= most_; }
  void add(const Node& node, std::string_view keyword, const Place& at, std::string message);
  void add(const Node& node, std::string_view keyword, const Place& at, Expectation expectation);
  // None of the branches fits: says what is most likely wrong.
  void add_branches(const Node& node, std::string_view keyword, const Place& at, std::vector<Findings> branches);

  Findings branch() const { return Findings(prefix_, most_); }
  std::vector<SchemaError> take();

 private:
  void add(Finding finding);

  std::string_view prefix_;
  std::size_t most_;
  std::vector<Finding> list_;
};

// `secret`: the value itself must not be shown.
Expectation expected_types(const Node& node, const value& in, bool secret);
Expectation expected_choices(const Choices& choices, const value& in, bool secret);
std::string number_message(const NumberRules& rules, std::string_view keyword, const value& in, bool secret);
std::string string_message(const StringRules& rules, std::string_view keyword, std::string_view in, bool secret);
// "must have at least 2 items; got 1"
std::string count_message(bool least, std::uint64_t bound, std::string_view noun, std::string_view nouns,
                          std::uint64_t got);
std::string contains_message(const ArrayRules& rules, std::size_t found);
std::string unknown_property(std::string_view name, const std::vector<std::string>& known);
// What a `not` forbids, where it can be said.
std::string negation_message(const Node& forbidden);
// In quotes, long ones cut.
std::string quoted_name(std::string_view name);

}  // namespace llm::json::rules
