#include "access/jwt/token_cache.h"

#include <cstdlib>
#include <openssl/evp.h>
#include <utility>

namespace llm::access {

TokenCache::TokenCache(std::size_t capacity) : capacity_((capacity + kShards - 1) / kShards) {}

// OpenSSL's SHA256() looks the algorithm up by name at each call, which costs more than the hashing.
TokenDigest TokenCache::digest_of(std::string_view token) {
  struct Hasher {
    EVP_MD* digest = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~Hasher() {
      EVP_MD_CTX_free(context);
      EVP_MD_free(digest);
    }
  };
  thread_local const Hasher hasher;
  TokenDigest out;
  if (EVP_DigestInit_ex2(hasher.context, hasher.digest, nullptr) != 1 ||
      EVP_DigestUpdate(hasher.context, token.data(), token.size()) != 1 ||
      EVP_DigestFinal_ex(hasher.context, out.data(), nullptr) != 1) {
    std::abort();  // an undefined digest would take one token for another
  }
  return out;
}

TokenCache::Hit TokenCache::find(const TokenDigest& digest, std::int64_t now_ms) {
  Shard& shard = shard_of(digest);
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.entries.find(digest);
  if (found == shard.entries.end()) return {};
  if (found->second.token->expires <= now_ms) {
    shard.entries.erase(found);
    return {};
  }
  return found->second;
}

void TokenCache::put(const TokenDigest& digest, std::shared_ptr<const VerifiedToken> token, std::uint64_t revocations) {
  if (capacity_ == 0) return;
  Shard& shard = shard_of(digest);
  const std::scoped_lock lock(shard.mutex);
  const auto [entry, added] = shard.entries.try_emplace(digest);
  entry->second = {std::move(token), revocations};
  if (added) shard.order.push_back(digest);
  while (shard.order.size() > capacity_) {
    // One that was erased and came back is named twice and goes early: it is only a cache.
    shard.entries.erase(shard.order.front());
    shard.order.pop_front();
  }
}

void TokenCache::mark_checked(const TokenDigest& digest, std::uint64_t revocations) {
  Shard& shard = shard_of(digest);
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.entries.find(digest);
  if (found != shard.entries.end()) found->second.revocations = revocations;
}

void TokenCache::erase(const TokenDigest& digest) {
  Shard& shard = shard_of(digest);
  const std::scoped_lock lock(shard.mutex);
  shard.entries.erase(digest);
}

std::size_t TokenCache::size() const {
  std::size_t out = 0;
  for (const auto& shard : shards_) {
    const std::scoped_lock lock(shard.mutex);
    out += shard.entries.size();
  }
  return out;
}

}  // namespace llm::access
