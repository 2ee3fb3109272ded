#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "models/digest.h"

namespace llm::models {

// `https://host/path/x.gguf`, optionally with `#sha256=<64 hex>`.
struct UrlSource {
  std::string url;  // without the fragment
  std::optional<Digest> digest;
  friend bool operator==(const UrlSource&, const UrlSource&) = default;
};

// `hf:owner/repo[:file-or-quantisation][@revision]`.
struct HubSource {
  std::string owner;
  std::string repo;
  std::string selector;  // "model.Q4_K_M.gguf", "Q4_K_M" or empty
  std::string revision = "main";
  friend bool operator==(const HubSource&, const HubSource&) = default;
};

using PullSource = std::variant<UrlSource, HubSource>;

// kInvalidArgument says which part is wrong and shows the two forms.
Result<PullSource> parse_pull_source(std::string_view text);

// The source as it may be stored and shown: an address loses its query, which may hold a signature.
std::string to_string(const PullSource& source);

}  // namespace llm::models
