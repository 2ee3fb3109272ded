#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "store/database.h"

namespace llm::access {

// What was revoked before it expired, in memory: the request path asks it for every token. An entry is the `jti` of one
// access token, or session_entry() of a sign-in, all of whose tokens are dead. Any thread.
class RevokedTokens {
 public:
  static std::string session_entry(std::string_view session);

  bool contains(std::string_view jti, std::string_view session) const;
  // Grows with every new entry: what was checked against one count need not be checked again until it changes.
  std::uint64_t count() const { return count_.load(std::memory_order_acquire); }

  void add(const std::string& entry, std::int64_t expires);
  // Reads what others revoked. Blocks. One thread at a time.
  Result<void> refresh(store::Database& database, std::int64_t now_ms);

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> entries_;  // until when
  std::atomic<std::uint64_t> count_{0};
  std::int64_t read_until_ = 0;
  std::int64_t forgot_at_ = 0;
};

}  // namespace llm::access
