#include "json/schema_findings.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <ranges>
#include <utility>

namespace llm::json::rules {

namespace {

constexpr std::size_t kShownChoices = 16;
constexpr std::size_t kShownBranches = 3;

void join(std::string& out, std::string_view separator, std::string_view more) {
  if (!out.empty()) out.append(separator);
  out.append(more);
}

std::string type_names(Types types) {
  constexpr std::array<std::pair<Types, std::string_view>, 7> kNames = {{
      {kString, "a string"},
      {kInteger | kFraction, "a number"},
      {kInteger, "an integer"},
      {kBoolean, "true or false"},
      {kArray, "an array"},
      {kObject, "an object"},
      {kNull, "null"},
  }};
  std::string out;
  for (const auto& [type, name] : kNames) {
    if ((types & type) != type) continue;
    join(out, " or ", name);
    types = static_cast<Types>(types & ~type);
  }
  return out;
}

std::string words(const Expectation& expectation) {
  std::string list;
  for (std::size_t i = 0; i < expectation.choices.size(); ++i) {
    join(list, ", ", i < kShownChoices ? std::string_view(expectation.choices[i]) : "...");
    if (i == kShownChoices) break;
  }
  std::string out = type_names(expectation.types);
  if (!list.empty()) join(out, " or ", expectation.choices.size() == 1 ? list : "one of " + list);
  if (out.empty()) return "no value is allowed here";
  return fmt::format("must be {}; got {}", out, expectation.got);
}

}  // namespace

std::string pointer_to(const Place& place, std::string_view prefix) {
  std::vector<const Place*> chain;
  for (const Place* at = &place; at->up != nullptr; at = at->up) chain.push_back(at);
  std::string out(prefix);
  for (const Place* at : std::views::reverse(chain)) {
    out = pointer_join(out, at->is_item ? std::to_string(at->index) : std::string(at->key));
  }
  return out;
}

void Findings::add(Finding finding) {
  const auto same = [&finding](const Finding& other) {
    return other.error.pointer == finding.error.pointer && other.error.message == finding.error.message;
  };
  if (!full() && std::ranges::none_of(list_, same)) list_.push_back(std::move(finding));
}

void Findings::add(const Node& node, std::string_view keyword, const Place& at, std::string message) {
  if (at.is_name) message = fmt::format("the name of {}: {}", quoted_name(at.key), message);
  add({.error = {.pointer = pointer_to(at, prefix_),
                 .keyword = keyword.empty() ? node.location : pointer_join(node.location, keyword),
                 .message = std::move(message)},
       .depth = at.depth,
       .expectation = {}});
}

void Findings::add(const Node& node, std::string_view keyword, const Place& at, Expectation expectation) {
  if (full()) return;
  const std::size_t before = list_.size();
  add(node, keyword, at, words(expectation));
  if (list_.size() > before) list_.back().expectation = std::move(expectation);
}

namespace {

// Findings about the type or the choice at the place of the branches, or one below, where the property stands that
// tells the branches apart ("type": "text").
const Finding* mismatch(const std::vector<Finding>& branch, std::size_t depth) {
  const auto here = [depth](const Finding& finding) { return !finding.expectation.empty() && finding.depth == depth; };
  const auto below = [depth](const Finding& finding) {
    return !finding.expectation.choices.empty() && finding.depth == depth + 1;
  };
  auto found = std::ranges::find_if(branch, here);
  if (found == branch.end()) found = std::ranges::find_if(branch, below);
  return found == branch.end() ? nullptr : &*found;
}

// The mismatches as one, if they are about the same place. Those furthest down: their branches fit best.
std::optional<Finding> united(std::vector<const Finding*> mismatches) {
  const std::size_t depth = std::ranges::max(mismatches, {}, &Finding::depth)->depth;
  std::erase_if(mismatches, [depth](const Finding* finding) { return finding->depth != depth; });
  Finding out = *mismatches.front();
  for (const Finding* other : mismatches) {
    if (other->error.pointer != out.error.pointer) return std::nullopt;
    out.expectation.types |= other->expectation.types;
    for (const auto& choice : other->expectation.choices) {
      auto& choices = out.expectation.choices;
      if (std::ranges::find(choices, choice) == choices.end()) choices.push_back(choice);
    }
  }
  out.error.message = words(out.expectation);
  return out;
}

}  // namespace

void Findings::add_branches(const Node& node, std::string_view keyword, const Place& at,
                            std::vector<Findings> branches) {
  std::vector<const Finding*> mismatches;
  std::vector<Findings*> near;
  for (auto& branch : branches) {
    const Finding* found = mismatch(branch.list_, at.depth);
    if (found != nullptr) {
      mismatches.push_back(found);
    } else if (!branch.list_.empty()) {
      near.push_back(&branch);
    }
  }
  if (near.size() == 1) {
    for (auto& finding : near.front()->list_) add(std::move(finding));
    return;
  }
  if (near.empty() && !mismatches.empty()) {
    if (auto one = united(mismatches)) {
      one->error.keyword = pointer_join(node.location, keyword);
      add(std::move(*one));
      return;
    }
  }
  std::string reasons;
  for (std::size_t i = 0; i < near.size() && i < kShownBranches; ++i) {
    const SchemaError& first = near[i]->list_.front().error;
    const bool here = first.pointer == pointer_to(at, prefix_);
    join(reasons, "; or ", here ? first.message : to_string(first));
  }
  add(node, keyword, at,
      fmt::format("fits none of the {} allowed forms{}{}", branches.size(), reasons.empty() ? "" : ": ", reasons));
}

std::vector<SchemaError> Findings::take() {
  std::vector<SchemaError> out;
  out.reserve(list_.size());
  for (auto& finding : list_) out.push_back(std::move(finding.error));
  return out;
}

}  // namespace llm::json::rules
