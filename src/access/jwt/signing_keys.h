#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "access/jwt/jwk.h"
#include "access/secrets.h"
#include "base/error.h"
#include "store/database.h"
#include "store/token_tables.h"

namespace llm::access {

struct SigningKeySettings {
  JwsAlgorithm algorithm = JwsAlgorithm::kEdDSA;
  std::int64_t lifetime_ms = 0;       // how long a key signs
  std::int64_t publish_ahead_ms = 0;  // how long it is known before
  std::int64_t overlap_ms = 0;        // how long it verifies afterwards: until its last token has expired everywhere
};

// The keys in force, as one picture. Immutable.
class KeyRing {
 public:
  struct Entry {
    Jwk key;
    std::int64_t signs_until = 0;
    std::int64_t verifies_until = 0;
  };
  explicit KeyRing(std::vector<Entry> entries);  // in the order of signs_until

  // The key that signs now: the one that ends first, so a newer one waits until everybody has seen it. Null: none.
  const Entry* signer(std::int64_t now_ms) const;
  const Entry* find(std::string_view id, std::int64_t now_ms) const;  // null: unknown or over
  const std::vector<Entry>& entries() const { return entries_; }
  std::shared_ptr<const std::string> jwks() const { return jwks_; }

 private:
  std::vector<Entry> entries_;
  std::shared_ptr<const std::string> jwks_;  // shared with answers that are being sent
};

// The gateway's signing keys: in the store, the private halves sealed, shared by all gateways on it.
class SigningKeys {
 public:
  SigningKeys(SigningKeySettings settings, const Key256& sealing_key)
      : settings_(settings), sealing_key_(sealing_key) {}

  // Reads the keys; makes the next one when none that signs will be there in `publish_ahead`. Blocks. One thread at a
  // time. kInvalidArgument for keys that were sealed with another secret.
  Result<void> refresh(store::Database& database, std::int64_t now_ms);
  // Any thread; empty before the first refresh().
  std::shared_ptr<const KeyRing> ring() const;

 private:
  Result<store::SigningKeyRow> make(std::int64_t signs_from) const;
  Result<std::shared_ptr<const KeyRing>> open(const std::vector<store::SigningKeyRow>& rows, std::int64_t now_ms) const;

  SigningKeySettings settings_;
  Key256 sealing_key_;
  mutable std::mutex mutex_;
  std::shared_ptr<const KeyRing> ring_ = std::make_shared<const KeyRing>(std::vector<KeyRing::Entry>{});
};

}  // namespace llm::access
