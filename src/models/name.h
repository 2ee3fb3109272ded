#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::models {

// How a model is called: `name[:version]`, where name is `model` or `namespace/model`.
//
//   name     = segment [ "/" segment ]                          at most 128 characters
//   segment  = [a-z0-9] *[A-Za-z0-9._-]                         no ".."
//   version  = [A-Za-z0-9_] *[A-Za-z0-9._-]                     at most 128 characters, no ".."
//
// Nothing else is a name, so a name can be turned into a path without further care. The default version is `latest`.
struct ModelName {
  std::string name;
  std::string version = "latest";
  friend bool operator==(const ModelName&, const ModelName&) = default;
  friend auto operator<=>(const ModelName&, const ModelName&) = default;
};

inline constexpr std::string_view kDefaultVersion = "latest";

// kInvalidArgument says which character or rule was broken; the offending bytes are never repeated raw.
Result<ModelName> parse_model_name(std::string_view text);
// Only the name part, without a version: alias names and namespaces.
Result<std::string> parse_plain_name(std::string_view text);
Result<std::string> parse_version(std::string_view text);

std::string to_string(const ModelName& name);  // always with the version

// One of the immutable versions that a name has stood for: `name[:tag]@sha256:<hex>`. What ModelName calls its version
// is, in these terms, a tag: a mark that can be moved from one version to another.
struct VersionRef {
  ModelName name;
  std::string digits;  // the first 12 to 64 hex digits, in lower case; empty: what the tag stands for now
  friend bool operator==(const VersionRef&, const VersionRef&) = default;
};

inline constexpr std::size_t kFewestDigits = 12;

// A model name, or one with the `@` part. kInvalidArgument as parse_model_name.
Result<VersionRef> parse_version_ref(std::string_view text);
std::string to_string(const VersionRef& version);

// The nearest valid name to a file's or repository's name: "SmolLM2 135M.Q4_1.gguf" -> "smollm2-135m.q4_1".
std::string suggest_name(std::string_view text);

// One path component for a name: "/" becomes "%2F", which cannot occur in a name. And back; kInvalidArgument if the
// component was not made that way.
std::string encode_name(std::string_view name);
Result<std::string> decode_name(std::string_view component);

}  // namespace llm::models
