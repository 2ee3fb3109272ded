#include "models/bundle_format.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace llm::models {

namespace {

constexpr std::int64_t kSchema = 1;
constexpr std::size_t kHexDigits = 64;

std::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::kMalformed, fmt::format("not a sound bundle: {}", what));
}

bool is_own_path(std::string_view path, const Digest& digest) {
  if (path == kBundleManifest || path == kBundleReadme) return true;
  return path == fmt::format("{}/{}", kBundleBlobs, digest.file_name());
}

}  // namespace

std::string write_sums(const BundleSums& sums) {
  std::string out;
  for (const auto& [path, digest] : sums) out += fmt::format("{}  {}\n", digest.hex(), path);
  return out;
}

Result<BundleSums> parse_sums(std::string_view text) {
  BundleSums sums;
  for (std::string_view line : split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (line.size() < kHexDigits + 3 || line[kHexDigits] != ' ' ||
        (line[kHexDigits + 1] != ' ' && line[kHexDigits + 1] != '*')) {
      return bad("a line of SHA256SUMS is not a digest and a path");
    }
    const auto digest = Digest::parse_hex(line.substr(0, kHexDigits));
    const std::string_view path = line.substr(kHexDigits + 2);
    if (!digest) return bad("a line of SHA256SUMS is not a digest and a path");
    if (!is_own_path(path, *digest)) {
      return bad("SHA256SUMS names a file that is none of a bundle's; nothing outside of it is ever read");
    }
    if (!sums.emplace(path, *digest).second) return bad("SHA256SUMS names a file twice");
  }
  return sums;
}

std::string bundle_manifest(const Manifest& manifest) {
  return json::write(json::object{
             {"bundle", kSchema}, {"version", manifest.version().to_string()}, {"manifest", to_json(manifest)}}) +
         "\n";
}

Result<Manifest> parse_bundle_manifest(std::string_view text) {
  const auto document = json::parse(text);
  if (!document || !document->is_object()) return bad("manifest.json is not a JSON object");
  const json::object& root = document->get_object();
  if (const auto schema = json::int_or(root, "bundle"); schema != kSchema) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("manifest.json: bundle format {} was written by another version of llm-mcp", schema));
  }
  const json::value* inner = json::find(root, "manifest");
  if (inner == nullptr || !inner->is_object()) return bad("manifest.json has no manifest");
  auto manifest = parse_manifest(json::write(*inner));
  if (!manifest) return bad(manifest.error().message);
  if (manifest->version().to_string() != json::string_or(root, "version")) {
    return bad("manifest.json names another version than it describes");
  }
  return manifest;
}

std::string bundle_readme(const Manifest& manifest) {
  return fmt::format(
      "This folder holds a language model for llm-mcp.\n\n"
      "  Name      {}\n  Version   {}\n  Source    {}\n  Licence   {}\n  Size      {}\n\n"
      "Check it:   sha256sum -c {}\nUse it:     llm-mcp import DIR   (DIR is this folder)\n\n"
      "The import checks every file before the model can be used. The licence binds whoever uses the model.\n",
      to_string(manifest.name), manifest.version().to_string(), manifest.source,
      manifest.license.empty() ? "not stated" : manifest.license, format_bytes(manifest.size), kBundleSums);
}

}  // namespace llm::models
