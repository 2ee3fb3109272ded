#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "models/manifest.h"
#include "models/progress.h"
#include "models/store.h"

// One version of a model as a folder that can be carried to a machine without network:
//
//   manifest.json          {"bundle": 1, "version": "sha256:<hex>", "manifest": {…}}
//   blobs/sha256-<hex>     its files
//   README.txt             what it is and how to get it in, for people
//   SHA256SUMS             of all of them, in the form of sha256sum; written last: without it the bundle is not whole
namespace llm::models {

// Is this a folder that holds a bundle, or looks like one?
bool is_bundle(const std::filesystem::path& directory);

// Writes the model (a name, alias or version) to `directory`, which is made, is empty, or holds an earlier attempt at
// the same version that is then completed. Every file is hashed on its way. kConflict: something else is in there;
// kDiskFull before anything is written; kMalformed: a blob of the store has changed.
Result<Manifest> export_bundle(ModelStore& store, std::string_view model, const std::filesystem::path& directory,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled);

struct BundleImport {
  std::optional<ModelName> name = std::nullopt;  // default: the name it had
  bool replace = false;
};

// Checks every checksum, then makes the model visible; what was copied before a failure is kept for the next attempt.
// The version is the one that was exported. kMalformed: a checksum is wrong, or the bundle names anything but its own
// files; links are never followed. Else as ModelStore::import_file.
Result<Manifest> import_bundle(ModelStore& store, const std::filesystem::path& directory, const BundleImport& options,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled);

}  // namespace llm::models
