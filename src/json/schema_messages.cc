// The words of schema errors.
#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"
#include "json/schema_findings.h"
#include "json/schema_pattern_syntax.h"

namespace llm::json::rules {

namespace {

constexpr std::size_t kShownText = 40;      // bytes of a value that are echoed: no prompts
constexpr std::size_t kShownName = 64;      // bytes of a property's name
constexpr std::size_t kShownNames = 8;      // known properties that are listed
constexpr std::size_t kLongestKnown = 200;  // properties that are compared to find the nearest

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string describe(const value& in, bool secret) {
  if (in.is_object()) return "an object";
  if (in.is_array()) return "an array";
  if (in.is_null()) return "null";
  const auto* text = in.if_string();
  if (secret) return text != nullptr ? "another string" : "another value";
  if (text != nullptr && text->size() > kShownText) return fmt::format("a string of {} characters", characters(*text));
  return write(in);
}

std::string shown(const Number& number) {
  if (!number.whole) return write(value(number.real));
  return fmt::format("{}{}", number.negative ? "-" : "", number.magnitude);
}

std::string but_got(const value& in, bool secret) {
  return secret ? std::string() : fmt::format("; got {}", describe(in, false));
}

}  // namespace

std::string quoted_name(std::string_view name) {
  std::string out;
  const std::string_view cut = name.substr(0, kShownName);
  append_quoted(out, cut.substr(0, utf8_complete_prefix(cut)));
  if (cut.size() < name.size()) out.insert(out.size() - 1, "...");
  return out;
}

Expectation expected_types(const Node& node, const value& in, bool secret) {
  return {.types = node.types, .choices = {}, .got = describe(in, secret)};
}

Expectation expected_choices(const Choices& choices, const value& in, bool secret) {
  Expectation out{.types = 0, .choices = {}, .got = describe(in, secret)};
  for (const auto& item : choices.values) {
    std::string text = write(item);
    if (text.size() > kShownName) {
      text.resize(utf8_complete_prefix(std::string_view(text).substr(0, kShownName)));
      text.append("...");
    }
    out.choices.push_back(std::move(text));
  }
  return out;
}

std::string number_message(const NumberRules& rules, std::string_view keyword, const value& in, bool secret) {
  const std::string got = but_got(in, secret);
  if (keyword == "minimum") return fmt::format("must be at least {}{}", shown(*rules.minimum), got);
  if (keyword == "maximum") return fmt::format("must be at most {}{}", shown(*rules.maximum), got);
  if (keyword == "exclusiveMinimum") return fmt::format("must be more than {}{}", shown(*rules.exclusive_minimum), got);
  if (keyword == "exclusiveMaximum") return fmt::format("must be less than {}{}", shown(*rules.exclusive_maximum), got);
  return fmt::format("must be a multiple of {}{}", shown(*rules.multiple_of), got);
}

std::string string_message(const StringRules& rules, std::string_view keyword, std::string_view in, bool secret) {
  if (keyword == "minLength" && rules.min_length == 1) return "must not be empty";
  if (keyword == "minLength") return count_message(true, rules.min_length, "character", "characters", characters(in));
  if (keyword == "maxLength") return count_message(false, rules.max_length, "character", "characters", characters(in));
  const std::string got = but_got(value(in), secret);
  if (keyword == "pattern") return fmt::format("must match {}{}", shown_pattern(rules.pattern->source()), got);
  return fmt::format("must be in the format {}{}", rules.format->name, got);
}

std::string count_message(bool least, std::uint64_t bound, std::string_view noun, std::string_view nouns,
                          std::uint64_t got) {
  return fmt::format("must have at {} {} {}; got {}", least ? "least" : "most", bound, bound == 1 ? noun : nouns, got);
}

std::string contains_message(const ArrayRules& rules, std::size_t found) {
  const bool least = found < rules.min_contains;
  const std::uint64_t bound = least ? rules.min_contains : rules.max_contains;
  return fmt::format("must contain at {} {} {} as \"contains\" describes; got {}", least ? "least" : "most", bound,
                     bound == 1 ? "item" : "items", found);
}

std::string unknown_property(std::string_view name, const std::vector<std::string>& known) {
  const std::string start = "unknown property " + quoted_name(name);
  if (known.size() <= kLongestKnown) {
    const auto best = nearest(name.substr(0, kShownName), known, 1);
    if (!best.empty()) return fmt::format("{}; did you mean {}?", start, quoted_name(best.front()));
  }
  if (known.empty() || known.size() > kShownNames) return start;
  std::string list;
  for (const auto& candidate : known) list.append(list.empty() ? "" : ", ").append(quoted_name(candidate));
  return fmt::format("{}; known {} {}", start, known.size() == 1 ? "is" : "are", list);
}

std::string negation_message(const Node& forbidden) {
  if (forbidden.object && forbidden.object->required > 0) {
    std::string list;
    for (const auto& entry : forbidden.object->properties.entries()) {
      if (entry.required) list.append(list.empty() ? "" : " and ").append(quoted_name(entry.name));
    }
    return fmt::format("must not have {} like this", list);
  }
  if (forbidden.choices && forbidden.choices->constant) {
    return fmt::format("must not be {}", expected_choices(*forbidden.choices, nullptr, true).choices.front());
  }
  return "must not be of the form that \"not\" describes";
}

}  // namespace llm::json::rules
