// Choices, numbers, strings and arrays.
#include <algorithm>
#include <ctime>
#include <fmt/format.h>

#include "json/schema_evaluation.h"

namespace llm::json::rules {

namespace {

bool is_choice(const Choices& choices, const value& in, std::size_t& steps) {
  if (choices.hashes.empty()) {
    return std::ranges::any_of(choices.values, [&](const value& item) { return equal(item, in, steps); });
  }
  const auto wanted = hash(in, steps);
  const auto [begin, end] =
      std::ranges::equal_range(choices.hashes, wanted, {}, [](const auto& row) { return row.first; });
  return std::any_of(begin, end, [&](const auto& row) { return equal(choices.values[row.second], in, steps); });
}

// Characters, given that there are not more bytes than `most` or that somebody cares.
std::uint64_t characters(std::string_view text) {
  std::uint64_t out = 0;
  for (const char c : text) out += (c & 0xC0) != 0x80 ? 1 : 0;
  return out;
}

std::int64_t thread_cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

std::optional<bool> Evaluation::matches(const Pattern& pattern, std::string_view text) {
  constexpr std::size_t kUnwatched = 1'000'000;  // 10 ms if all goes wrong
  if (!charge(1 + text.size() / 64)) return std::nullopt;
  const std::size_t risk = pattern.risk(text.size());
  if (risk > limits_.max_pattern_risk) {
    stop(Stop::kPatternRisk);
    return std::nullopt;
  }
  risk_ += risk;
  if (risk_ > kUnwatched) {
    risk_ = 0;
    const auto now = thread_cpu_ms();
    if (!patterns_began_) patterns_began_ = now;
    if (now - *patterns_began_ > static_cast<std::int64_t>(limits_.max_pattern_ms)) {
      stop(Stop::kPatternTime);
      return std::nullopt;
    }
  }
  return pattern.matches(text);
}

bool Evaluation::choice(const Node& node, const value& in, const Place& at) {
  const bool fits = is_choice(*node.choices, in, steps_);
  if (!charge(0)) return false;
  return fits || broken(node, node.choices->constant ? "const" : "enum", at,
                        [&] { return expected_choices(*node.choices, in, hides(node)); });
}

bool Evaluation::number(const Node& node, const value& in, const Place& at) {
  const NumberRules& rules = *node.number;
  const Number n = Number::of(in);
  std::string_view keyword;
  if (rules.minimum && n < *rules.minimum) keyword = "minimum";
  if (rules.maximum && n > *rules.maximum) keyword = "maximum";
  if (rules.exclusive_minimum && n <= *rules.exclusive_minimum) keyword = "exclusiveMinimum";
  if (rules.exclusive_maximum && n >= *rules.exclusive_maximum) keyword = "exclusiveMaximum";
  if (keyword.empty() && rules.multiple_of && !is_multiple(n, rules.step)) keyword = "multipleOf";
  return keyword.empty() || broken(node, keyword, at, [&] { return number_message(rules, keyword, in, hides(node)); });
}

bool Evaluation::string(const Node& node, std::string_view in, const Place& at) {
  const StringRules& rules = *node.string;
  std::string_view keyword;
  // A character has one to four bytes: most lengths need no counting.
  if (in.size() / 4 < rules.min_length || in.size() > rules.max_length) {
    if (!charge(in.size() / 64)) return false;
    const std::uint64_t length = characters(in);
    if (length < rules.min_length) keyword = "minLength";
    if (length > rules.max_length) keyword = "maxLength";
  }
  if (keyword.empty() && rules.pattern) {
    const auto fits = matches(*rules.pattern, in);
    if (!fits) return false;
    if (!*fits) keyword = "pattern";
  }
  if (keyword.empty() && rules.format != nullptr) {
    if (!charge(rules.format->cost + in.size() / 16)) return false;
    if (!rules.format->check(in)) keyword = "format";
  }
  return keyword.empty() || broken(node, keyword, at, [&] { return string_message(rules, keyword, in, hides(node)); });
}

bool Evaluation::array(const Node& node, const json::array& in, const Place& at, Marks* marks) {
  const ArrayRules& rules = *node.array;
  bool valid = true;
  if (in.size() < rules.min_items) {
    valid =
        broken(node, "minItems", at, [&] { return count_message(true, rules.min_items, "item", "items", in.size()); });
  } else if (in.size() > rules.max_items) {
    valid =
        broken(node, "maxItems", at, [&] { return count_message(false, rules.max_items, "item", "items", in.size()); });
  }
  if (!valid && enough()) return false;
  valid &= items(node, in, at, marks);
  if (!valid && enough()) return false;
  if (rules.contains != kNoNode) valid &= contains(node, in, at, marks);
  if (!rules.unique || (!valid && enough())) return valid;
  const auto twins = find_twins(in, steps_, limits_.max_steps);
  if (!charge(0)) return false;
  if (!twins) return valid;
  return broken(node, "uniqueItems", at, [&] {
    return fmt::format("all items must differ; items {} and {} are equal", twins->first, twins->second);
  });
}

bool Evaluation::items(const Node& node, const json::array& in, const Place& at, Marks* marks) {
  const ArrayRules& rules = *node.array;
  const std::size_t first = std::min(rules.prefix.size(), in.size());
  const std::size_t last = rules.items == kNoNode ? first : in.size();
  if (marks != nullptr) marks->set_first(last);
  if (last > first && program_.nodes[rules.items].never) {
    return broken(node, "items", at, [&] { return count_message(false, first, "item", "items", in.size()); });
  }
  bool valid = true;
  for (std::size_t i = 0; i < last; ++i) {
    valid &= run(i < first ? rules.prefix[i] : rules.items, in[i], at.item(i), nullptr);
    if (!valid && enough()) return false;
  }
  return valid;
}

bool Evaluation::contains(const Node& node, const json::array& in, const Place& at, Marks* marks) {
  const ArrayRules& rules = *node.array;
  std::size_t found = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!branch(rules.contains, in[i], at.item(i), nullptr)) continue;
    ++found;
    if (marks != nullptr) marks->set(i);
    const bool decided =
        found > rules.max_contains || (found >= rules.min_contains && rules.max_contains == UINT64_MAX);
    if (decided && marks == nullptr && findings_ == nullptr) break;
  }
  if (found >= rules.min_contains && found <= rules.max_contains) return true;
  return broken(node, found < rules.min_contains ? "contains" : "maxContains", at,
                [&] { return contains_message(rules, found); });
}

}  // namespace llm::json::rules
