#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "access/jwt/token_verifier.h"

namespace llm::access {

// Tokens that were found good, by their SHA-256: a token itself is never kept. Bounded; the oldest goes first. Any
// thread: shards keep them from waiting for each other.
class TokenCache {
 public:
  struct Hit {
    std::shared_ptr<const VerifiedToken> token;  // null: not here
    std::uint64_t revocations = 0;               // TokenIssuer::revocations() when it was last checked
  };

  explicit TokenCache(std::size_t capacity);
  static TokenDigest digest_of(std::string_view token);

  // An entry that expired is gone.
  Hit find(const TokenDigest& digest, std::int64_t now_ms);
  void put(const TokenDigest& digest, std::shared_ptr<const VerifiedToken> token, std::uint64_t revocations);
  void mark_checked(const TokenDigest& digest, std::uint64_t revocations);
  void erase(const TokenDigest& digest);
  std::size_t size() const;

 private:
  static constexpr std::size_t kShards = 16;
  struct DigestHash {
    std::size_t operator()(const TokenDigest& digest) const {
      std::size_t out = 0;
      std::memcpy(&out, digest.data() + 8, sizeof(out));  // bytes that did not choose the shard
      return out;
    }
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<TokenDigest, Hit, DigestHash> entries;
    std::deque<TokenDigest> order;  // as they came; may name some that are gone
  };
  Shard& shard_of(const TokenDigest& digest) { return shards_[digest[0] % kShards]; }

  std::size_t capacity_;  // of one shard
  std::array<Shard, kShards> shards_;
};

}  // namespace llm::access
