#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "json/json.h"

namespace llm::models {

// One of the versions that an alias leads to, or that gets copies of its requests.
struct AliasTarget {
  std::string model;  // "name:version" or "name:version@sha256:<hex>"
  double weight = 1;  // of a split; of a shadow its share of the requests, 0..1
  friend bool operator==(const AliasTarget&, const AliasTarget&) = default;
};

// What an alias stood for until a change, for rollback.
struct AliasChange {
  std::string at;  // RFC 3339
  std::vector<AliasTarget> targets;
  friend bool operator==(const AliasChange&, const AliasChange&) = default;
};

// A name that operators move: `prod`, `default`. One target, or several by weight (a caller stays with one of them).
struct Alias {
  std::vector<AliasTarget> targets;
  std::vector<AliasTarget> shadow;
  std::vector<AliasChange> history;  // newest last, at most 20
  friend bool operator==(const Alias&, const Alias&) = default;
};

inline constexpr double kMostWeight = 1'000'000;

json::object to_json(const Alias& alias);
// Accepts the older form, a text with the target.
Result<Alias> alias_from_json(const json::value& value);

}  // namespace llm::models
