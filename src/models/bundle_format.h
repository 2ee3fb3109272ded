#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "models/manifest.h"

// The texts of a bundle. For bundle_*.cc only.
namespace llm::models {

inline constexpr std::string_view kBundleManifest = "manifest.json";
inline constexpr std::string_view kBundleSums = "SHA256SUMS";
inline constexpr std::string_view kBundleReadme = "README.txt";
inline constexpr std::string_view kBundleBlobs = "blobs";

// Digests by path within the bundle.
using BundleSums = std::map<std::string, Digest>;

std::string write_sums(const BundleSums& sums);
// Lines "<64 hex digits>, two spaces or a space and '*', <path>". kMalformed unless every path is one of a bundle's own
// and a blob is called by its digest.
Result<BundleSums> parse_sums(std::string_view text);

std::string bundle_manifest(const Manifest& manifest);
// kMalformed also if the version is not that of the manifest.
Result<Manifest> parse_bundle_manifest(std::string_view text);

std::string bundle_readme(const Manifest& manifest);

}  // namespace llm::models
