#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"
#include "models/digest.h"
#include "models/gguf.h"
#include "models/name.h"

namespace llm::models {

// One version of one model, as the store records it. A value; the blob it names may be shared by several manifests.
struct Manifest {
  ModelName name;
  Digest digest;
  std::uint64_t size = 0;  // bytes of the blob
  std::string
      source;  // where it came from: a file's name, an https address without its query, "hf:owner/repo:file@commit"
  std::string license;  // as the file or the hub says it ("apache-2.0"); empty if neither does
  std::string created;  // RFC 3339, UTC, when it entered the store
  GgufFacts facts;
  std::optional<json::object> settings;  // the owner's own load settings; not interpreted here

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

json::object to_json(const GgufFacts& facts);
Result<GgufFacts> facts_from_json(const json::object& document);

json::object to_json(const Manifest& manifest);
// Strict about what is ours (digest, name, version), lenient about facts: missing ones are 0 or empty, so that an older
// or newer gateway can share the store. kMalformed names what is wrong.
Result<Manifest> parse_manifest(std::string_view text);

// The current time as RFC 3339 text with seconds: "2026-01-31T12:00:00Z".
std::string rfc3339_now();

}  // namespace llm::models
