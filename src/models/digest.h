#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "models/progress.h"

struct evp_md_ctx_st;

namespace llm::models {

// A SHA-256 value (FIPS 180-4). Its texts are made from the 32 bytes alone, so whatever a client, a hub or a file on
// disk said, nothing but 64 lower-case hex digits ever becomes part of a path.
class Digest {
 public:
  Digest() = default;
  explicit Digest(const std::array<unsigned char, 32>& bytes) : bytes_(bytes) {}

  // Exactly `sha256:` and 64 of 0-9a-f; everything else is kInvalidArgument.
  static Result<Digest> parse(std::string_view text);
  // The same without the prefix, and upper case allowed (what hubs and people write).
  static Result<Digest> parse_hex(std::string_view text);

  std::string to_string() const;  // "sha256:<hex>"
  std::string hex() const;
  std::string file_name() const;  // "sha256-<hex>"

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  std::array<unsigned char, 32> bytes_{};
};

// Streaming SHA-256. One thread at a time.
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> data);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  // The digest of everything so far; the object is then used up.
  Digest finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

Digest sha256_of(std::string_view text);

// Hashes an open file from its start, by position (the file offset is not moved).
Result<Digest> hash_file(int fd, const std::filesystem::path& path, const ProgressCallback& progress,
                         const std::atomic<bool>& cancelled);

}  // namespace llm::models
