#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "json/fields.h"

namespace llm::access {

// So many units in any window, by the generic cell rate algorithm: in any stretch of time d at most
// burst + count × d / window are granted.
struct Rate {
  std::int64_t count = 0;
  json::Duration window{60'000};
  std::optional<std::int64_t> burst = {};  // units at once after a pause; absent: count
  friend bool operator==(const Rate&, const Rate&) = default;
};

// What one key, project, address or model may use. Absent: no limit.
struct LimitPolicy {
  std::optional<Rate> requests = {};
  std::optional<Rate> input_tokens = {};
  std::optional<Rate> output_tokens = {};
  std::optional<std::uint32_t> concurrent = {};       // requests at once
  std::optional<std::int64_t> requests_per_day = {};  // UTC days and months
  std::optional<std::int64_t> requests_per_month = {};
  std::optional<std::int64_t> tokens_per_day = {};  // input and output together
  std::optional<std::int64_t> tokens_per_month = {};
  friend bool operator==(const LimitPolicy&, const LimitPolicy&) = default;
  bool empty() const;
};
// `own` where it says something, else `base`, field by field.
LimitPolicy overlay(const LimitPolicy& own, const LimitPolicy& base);

// `access.limits` of the configuration.
struct LimitDefaults {
  LimitPolicy key = {};      // of keys that have none of their own; a key's own policy replaces it field by field
  LimitPolicy project = {};  // the same for projects
  LimitPolicy address = {};  // each client address, counted over all its keys
  std::map<std::string, LimitPolicy> models =
      {};  // by pattern; over all callers. Each model that fits has its own count
};

}  // namespace llm::access

template <>
struct llm::json::Fields<llm::access::Rate> {
  static const Table<access::Rate>& table();
};
template <>
struct llm::json::Fields<llm::access::LimitPolicy> {
  static const Table<access::LimitPolicy>& table();
};
template <>
struct llm::json::Fields<llm::access::LimitDefaults> {
  static const Table<access::LimitDefaults>& table();
};
