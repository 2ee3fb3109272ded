#include "models/manifest.h"

#include <array>
#include <chrono>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <utility>

namespace llm::models {

namespace {

constexpr std::int64_t kSchema = 2;        // what is written
constexpr std::int64_t kOldestSchema = 1;  // before revisions and repositories; the fields it lacks are empty

struct NumberField {
  std::string_view key;
  std::uint64_t GgufFacts::* member;
};
struct TextField {
  std::string_view key;
  std::string GgufFacts::* member;
};

constexpr auto kNumbers = std::to_array<NumberField>({
    {"parameters", &GgufFacts::parameters},
    {"context_length", &GgufFacts::context_length},
    {"embedding_length", &GgufFacts::embedding_length},
    {"feed_forward_length", &GgufFacts::feed_forward_length},
    {"block_count", &GgufFacts::block_count},
    {"head_count", &GgufFacts::head_count},
    {"head_count_kv", &GgufFacts::head_count_kv},
    {"head_count_kv_sum", &GgufFacts::head_count_kv_sum},
    {"key_length", &GgufFacts::key_length},
    {"value_length", &GgufFacts::value_length},
    {"recurrent_state_bytes", &GgufFacts::recurrent_state_bytes},
    {"sliding_window", &GgufFacts::sliding_window},
    {"expert_count", &GgufFacts::expert_count},
    {"expert_used_count", &GgufFacts::expert_used_count},
    {"vocab_size", &GgufFacts::vocab_size},
    {"split_count", &GgufFacts::split_count},
    {"tensor_count", &GgufFacts::tensor_count},
    {"tensor_bytes", &GgufFacts::tensor_bytes},
    {"embedding_bytes", &GgufFacts::embedding_bytes},
    {"output_bytes", &GgufFacts::output_bytes},
    {"data_offset", &GgufFacts::data_offset},
    {"file_bytes", &GgufFacts::file_bytes},
});

constexpr auto kTexts = std::to_array<TextField>({
    {"architecture", &GgufFacts::architecture},
    {"type", &GgufFacts::type},
    {"name", &GgufFacts::name},
    {"license", &GgufFacts::license},
    {"quantisation", &GgufFacts::quantisation},
    {"dominant_type", &GgufFacts::dominant_type},
    {"chat_template", &GgufFacts::chat_template},
});

std::optional<std::uint64_t> unsigned_of(const json::value& value) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
  return std::nullopt;
}

std::unexpected<Error> bad_field(std::string_view key, std::string_view expected) {
  return fail(ErrorCode::kMalformed, fmt::format("manifest: `{}` must be {}", key, expected),
              json::pointer_join("", key));
}

Result<std::vector<ManifestFile>> read_files(const json::value& value) {
  if (!value.is_array()) return bad_field("files", "a list of files");
  std::vector<ManifestFile> files;
  for (const auto& item : value.get_array()) {
    if (!item.is_object()) return bad_field("files", "a list of objects");
    const json::object& entry = item.get_object();
    ManifestFile file;
    file.path = json::string_or(entry, "path");
    const auto digest = Digest::parse(json::string_or(entry, "digest"));
    const json::value* size = json::find(entry, "size");
    const auto bytes = size == nullptr ? std::nullopt : unsigned_of(*size);
    if (!check_file_path(file.path) || !digest || !bytes) {
      return bad_field("files", "a list of objects with a relative path, a digest and a size");
    }
    file.digest = *digest;
    file.size = *bytes;
    if (!files.empty() && files.back().path >= file.path) return bad_field("files", "in the order of their paths");
    files.push_back(std::move(file));
  }
  return files;
}

// What came with schema 2.
Result<void> read_provenance(const json::object& root, Manifest& manifest) {
  manifest.revision = json::string_or(root, "revision");
  manifest.creator = json::string_or(root, "creator");
  manifest.notes = json::string_or(root, "notes");
  const auto kind = json::string_or(root, "kind", to_string(ModelKind::kGguf));
  if (kind == to_string(ModelKind::kGguf)) return {};
  if (kind != to_string(ModelKind::kRepository)) return bad_field("kind", "gguf or repository");
  manifest.kind = ModelKind::kRepository;
  const json::value* list = json::find(root, "files");
  if (list == nullptr) return bad_field("files", "a list of files");
  auto files = read_files(*list);
  if (!files) return fail(std::move(files.error()));
  manifest.files = std::move(*files);
  if (files_digest(manifest.files) != manifest.digest) return bad_field("digest", "that of the files");
  return {};
}

Result<void> read_digest_and_size(const json::object& document, Manifest& manifest) {
  auto digest = Digest::parse(json::string_or(document, "digest"));
  if (!digest) return bad_field("digest", "sha256: and 64 hex digits");
  manifest.digest = *digest;
  const json::value* size = json::find(document, "size");
  const auto bytes = size == nullptr ? std::nullopt : unsigned_of(*size);
  if (!bytes) return bad_field("size", "a number of bytes");
  manifest.size = *bytes;
  return {};
}

}  // namespace

json::object to_json(const GgufFacts& facts) {
  json::object out;
  out["gguf_version"] = facts.version;
  for (const auto& field : kTexts) {
    if (!(facts.*field.member).empty()) out[field.key] = facts.*field.member;
  }
  for (const auto& field : kNumbers) out[field.key] = facts.*field.member;
  if (facts.pooling_type) out["pooling_type"] = *facts.pooling_type;
  if (facts.chat_template_cut) out["chat_template_cut"] = true;
  out["has_encoder"] = facts.has_encoder;
  out["causal"] = facts.causal;
  out["mode"] = to_string(facts.mode);
  json::array blocks;
  for (const auto bytes : facts.block_bytes) blocks.emplace_back(bytes);
  out["block_bytes"] = std::move(blocks);
  return out;
}

Result<GgufFacts> facts_from_json(const json::object& document) {
  GgufFacts facts;
  facts.version = static_cast<std::uint32_t>(json::int_or(document, "gguf_version"));
  for (const auto& field : kTexts) facts.*field.member = json::string_or(document, field.key);
  for (const auto& field : kNumbers) {
    const json::value* value = json::find(document, field.key);
    if (value == nullptr) continue;
    const auto number = unsigned_of(*value);
    if (!number) return bad_field(field.key, "a number");
    facts.*field.member = *number;
  }
  if (const json::value* pooling = json::find(document, "pooling_type")) facts.pooling_type = unsigned_of(*pooling);
  facts.chat_template_cut = json::bool_or(document, "chat_template_cut");
  facts.has_encoder = json::bool_or(document, "has_encoder");
  facts.causal = json::bool_or(document, "causal", true);
  facts.mode = parse_model_mode(json::string_or(document, "mode")).value_or(ModelMode::kGeneration);
  if (const json::value* blocks = json::find(document, "block_bytes"); blocks != nullptr && blocks->is_array()) {
    for (const auto& bytes : blocks->get_array()) facts.block_bytes.push_back(unsigned_of(bytes).value_or(0));
  }
  return facts;
}

json::array files_json(const std::vector<ManifestFile>& files) {
  json::array out;
  for (const auto& file : files) {
    out.push_back(json::object{{"path", file.path}, {"digest", file.digest.to_string()}, {"size", file.size}});
  }
  return out;
}

json::object to_json(const Manifest& manifest) {
  json::object out;
  out["schema"] = kSchema;
  out["name"] = manifest.name.name;
  out["version"] = manifest.name.version;
  out["digest"] = manifest.digest.to_string();
  out["size"] = manifest.size;
  out["source"] = manifest.source;
  out["license"] = manifest.license;
  out["created"] = manifest.created;
  out["facts"] = to_json(manifest.facts);
  if (manifest.settings) out["settings"] = *manifest.settings;
  out["revision"] = manifest.revision;
  out["creator"] = manifest.creator;
  out["notes"] = manifest.notes;
  out["kind"] = to_string(manifest.kind);
  if (manifest.kind == ModelKind::kRepository) out["files"] = files_json(manifest.files);
  return out;
}

Result<Manifest> parse_manifest(std::string_view text) {
  auto document = json::parse(text);
  if (!document) return fail(std::move(document.error()));
  if (!document->is_object()) return fail(ErrorCode::kMalformed, "manifest: not a JSON object");
  const json::object& root = document->get_object();
  if (const auto schema = json::int_or(root, "schema"); schema < kOldestSchema || schema > kSchema) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("manifest: schema {} was written by another version of llm-mcp; this one knows {}", schema,
                            kSchema),
                "/schema");
  }
  Manifest manifest;
  auto name = parse_plain_name(json::string_or(root, "name"));
  if (!name) return bad_field("name", "a model name");
  auto version = parse_version(json::string_or(root, "version"));
  if (!version) return bad_field("version", "a model version");
  manifest.name = {std::move(*name), std::move(*version)};
  if (auto ok = read_digest_and_size(root, manifest); !ok) return fail(std::move(ok.error()));
  manifest.source = json::string_or(root, "source");
  manifest.license = json::string_or(root, "license");
  manifest.created = json::string_or(root, "created");
  const json::value* facts = json::find(root, "facts");
  if (facts == nullptr || !facts->is_object()) return bad_field("facts", "an object");
  auto parsed = facts_from_json(facts->get_object());
  if (!parsed) return fail(std::move(parsed.error()));
  manifest.facts = std::move(*parsed);
  if (const json::value* settings = json::find(root, "settings")) {
    if (!settings->is_object()) return bad_field("settings", "an object");
    manifest.settings = settings->get_object();
  }
  if (auto ok = read_provenance(root, manifest); !ok) return fail(std::move(ok.error()));
  return manifest;
}

std::string rfc3339_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

}  // namespace llm::models
