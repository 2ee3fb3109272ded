#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/json.h"
#include "models/digest.h"
#include "models/gguf.h"
#include "models/name.h"

namespace llm::models {

// What a version consists of: one GGUF file, or the files of a Hugging Face repository (safetensors, configuration,
// tokenizer), which vLLM serves and the embedded engine does not.
enum class ModelKind { kGguf, kRepository };
std::string_view to_string(ModelKind kind);

struct ManifestFile {
  std::string path;  // within the repository: relative, no "..", see check_file_path()
  Digest digest;
  std::uint64_t size = 0;
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

// One version of one model, as the store records it. A value; the blobs it names may be shared by several manifests.
struct Manifest {
  ModelName name;
  Digest digest;           // of the file; of a repository files_digest(files)
  std::uint64_t size = 0;  // bytes of all blobs
  std::string
      source;  // where it came from: a file's name, an https address without its query, "hf:owner/repo:file@commit"
  std::string license;  // as the file or the hub says it ("apache-2.0"); empty if neither does
  std::string created;  // RFC 3339, UTC, when it entered the store
  GgufFacts facts;
  std::optional<json::object> settings;  // the owner's own load settings; not interpreted here
  std::string revision;                  // the commit of the hub it was taken at; empty: none is known
  std::string creator;                   // who brought it in; empty: nobody said
  std::string notes;                     // the creator's own words
  ModelKind kind = ModelKind::kGguf;
  std::vector<ManifestFile> files;  // of a repository, by path; of a GGUF file empty

  // What tells versions apart: the digest of everything above in one canonical text, but for the name, which can move
  // to another version, and the facts, which follow from the blobs.
  Digest version() const;
  // "name:tag@sha256:<hex>", what answers name.
  std::string version_text() const;
  // The blobs it needs.
  std::vector<Digest> blobs() const;

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

json::object to_json(const GgufFacts& facts);
Result<GgufFacts> facts_from_json(const json::object& document);

// The digest that stands for a set of files: of one line "<hex> <size> <path>" for each, by path.
Digest files_digest(const std::vector<ManifestFile>& files);
// May this be the path of a repository's file? Relative, of plain characters, without hidden or parent folders, at most
// 512 bytes. kInvalidArgument.
Result<void> check_file_path(std::string_view path);

json::array files_json(const std::vector<ManifestFile>& files);
json::object to_json(const Manifest& manifest);
// Strict about what is ours (digest, name, version), lenient about facts: missing ones are 0 or empty. Reads what
// older gateways wrote, which knew neither revisions nor repositories. kMalformed names what is wrong.
Result<Manifest> parse_manifest(std::string_view text);

// The current time as RFC 3339 text with seconds: "2026-01-31T12:00:00Z".
std::string rfc3339_now();

}  // namespace llm::models
