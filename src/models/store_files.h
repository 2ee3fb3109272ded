#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/gguf.h"

// What the parts of ModelStore share about the folders they keep. For store*.cc only.
namespace llm::models {

inline constexpr std::size_t kMaxManifestBytes = 4u << 20;
inline constexpr std::string_view kManifestSuffix = ".json";

// A folder, and not a symbolic link to one: what lies under the root must stay under the root.
Result<void> require_folder(const std::filesystem::path& path);
// Made unless it is there; its parent must be.
Result<void> make_folder(const std::filesystem::path& path);
// In order; empty if there is no such folder.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

// kUnsupported for files that are sound GGUF but cannot be loaded as a model.
Result<void> check_loadable(const GgufFacts& facts, const std::filesystem::path& path);

}  // namespace llm::models
