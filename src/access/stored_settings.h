#pragma once

#include <optional>
#include <string>
#include <vector>

#include "access/identity.h"
#include "access/limits/policy.h"
#include "json/fields.h"

// The JSON columns of keys and projects. What is not set is left out, so that keys without settings share one text.
namespace llm::access {

struct KeySettings {
  std::optional<std::vector<std::string>> scopes;     // names of permissions; unset: all of the role's
  std::optional<std::vector<std::string>> models;     // patterns; unset: all of the role's
  std::optional<std::vector<std::string>> addresses;  // networks; unset: from anywhere
  std::optional<LimitPolicy> limits;
  std::optional<Priority> priority;
  std::optional<double> weight;
  friend bool operator==(const KeySettings&, const KeySettings&) = default;
};

struct ProjectSettings {
  std::optional<double> weight;
  std::optional<LimitPolicy> limits;
  std::optional<bool> audit_prompts;
  std::optional<ProjectLocality> locality;
};

// Settings as text; empty text stands for "{}". kMalformed, kInvalidArgument with a JSON Pointer.
Result<KeySettings> read_key_settings(const std::string& text);
Result<ProjectSettings> read_project_settings(const std::string& text);

// Bounds that the store's columns and the API's requests share.
namespace bounds {
inline constexpr std::size_t kNameLength = 128;
inline constexpr std::size_t kPatternLength = 256;
inline constexpr std::size_t kListItems = 256;
inline constexpr double kLeastWeight = 0.001;
inline constexpr double kMostWeight = 1'000'000;
}  // namespace bounds

}  // namespace llm::access

template <>
struct llm::json::Fields<llm::access::KeySettings> {
  static const Table<access::KeySettings>& table();
};
template <>
struct llm::json::Fields<llm::access::ProjectSettings> {
  static const Table<access::ProjectSettings>& table();
};
