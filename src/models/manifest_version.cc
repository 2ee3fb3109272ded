// What tells one version of a model from another.
#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"
#include "models/manifest.h"

namespace llm::models {

namespace {

constexpr std::size_t kLongestPath = 512;

// Objects in the order of their keys, at every depth: what says the same has one text.
json::value in_order(const json::value& value) {
  if (value.is_array()) {
    json::array out;
    for (const auto& item : value.get_array()) out.push_back(in_order(item));
    return out;
  }
  if (!value.is_object()) return value;
  std::vector<std::string> keys;
  for (const auto& [key, item] : value.get_object()) keys.emplace_back(key);
  std::ranges::sort(keys);
  json::object out;
  for (const auto& key : keys) out[key] = in_order(*json::find(value.get_object(), key));
  return out;
}

bool is_path_char(char c) {
  constexpr std::string_view kSigns = "._-+()[],=~ ";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kSigns.find(c) != std::string_view::npos;
}

}  // namespace

std::string_view to_string(ModelKind kind) {
  return kind == ModelKind::kRepository ? "repository" : "gguf";
}

Digest files_digest(const std::vector<ManifestFile>& files) {
  Sha256 hash;
  for (const auto& file : files) hash.update(fmt::format("{} {} {}\n", file.digest.hex(), file.size, file.path));
  return hash.finish();
}

Result<void> check_file_path(std::string_view path) {
  bool fine = !path.empty() && path.size() <= kLongestPath &&
              std::ranges::all_of(path, [](char c) { return c == '/' || is_path_char(c); });
  for (const auto segment : split(path, '/')) fine = fine && !segment.empty() && segment.front() != '.';
  if (fine) return {};
  return fail(ErrorCode::kInvalidArgument, "not the path of a file in a repository");
}

Digest Manifest::version() const {
  json::object text{{"source", source},   {"revision", revision}, {"digest", digest.to_string()},
                    {"size", size},       {"license", license},   {"creator", creator},
                    {"created", created}, {"notes", notes},       {"kind", to_string(kind)}};
  if (!files.empty()) text["files"] = files_json(files);
  if (settings) text["settings"] = *settings;
  return sha256_of(json::write(in_order(text)));
}

std::string Manifest::version_text() const {
  return to_string(name) + "@" + version().to_string();
}

std::vector<Digest> Manifest::blobs() const {
  if (kind == ModelKind::kGguf) return {digest};
  std::vector<Digest> all;
  for (const auto& file : files) all.push_back(file.digest);
  return all;
}

}  // namespace llm::models
