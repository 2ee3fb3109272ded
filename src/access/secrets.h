#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::access {

using Key256 = std::array<unsigned char, 32>;

// Everything the master secret is used for. Each has a key of its own (HKDF-SHA256, RFC 5869), so that what is good in
// one place is nothing in another: a stolen session key signs no token.
enum class KeyPurpose : std::uint8_t {
  kSigningKeyEncryption,  // private signing keys in the store
  kRefreshTokenHash,      // refresh tokens in the store
  kRequestState,          // MCP request states
  kAuditChain,            // audit records
};
// "llm-mcp/v1/signing-key-encryption": HKDF's info. Never change one: what it protects would be lost.
std::string_view purpose_text(KeyPurpose purpose);

// Where the master secret comes from. The first that is given.
struct MasterSecretSource {
  std::string text = {};            // from the environment or the configuration: 64 hex digits or Base64 of 32 bytes
  std::filesystem::path file = {};  // holds the same, or 32 raw bytes; not readable for everybody
  std::filesystem::path credentials = {};     // $CREDENTIALS_DIRECTORY: its file "llm-mcp-secret", if there is one
  std::filesystem::path data_directory = {};  // else "<here>/secret", made with 0600 if it is missing
};

// 32 random bytes that an installation keeps: all gateways on one store need the same. Wiped when it goes; never shown.
class MasterSecret {
 public:
  // kInvalidArgument for a secret that is too short or no secret ("changeme", one byte over and over), or whose file
  // others may read; kIo. A file that is made is complete and on the disk, or not there; of several processes that
  // start at once all get the same.
  static Result<std::shared_ptr<const MasterSecret>> load(const MasterSecretSource& source);
  explicit MasterSecret(const Key256& bytes) : bytes_(bytes) {}
  ~MasterSecret();
  MasterSecret(const MasterSecret&) = delete;
  MasterSecret& operator=(const MasterSecret&) = delete;

  Key256 derive(KeyPurpose purpose) const;

 private:
  Key256 bytes_;
};

// AES-256-GCM with a random nonce: nonce, ciphertext, tag. `context` is bound to it: it opens with the same one only.
std::string seal(const Key256& key, std::string_view plaintext, std::string_view context);
// nullopt: another key or context, or not what seal() made.
std::optional<std::string> open_sealed(const Key256& key, std::string_view sealed, std::string_view context);

std::array<unsigned char, 32> hmac_sha256(const Key256& key, std::string_view message);
// In constant time, for equal lengths.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace llm::access
