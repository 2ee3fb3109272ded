#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace llm::access {

// An API key as text: `llm_<id>_<secret>`, 16 and 52 characters of Crockford's alphabet in lower case: 80 and 256
// random bits. The id is public and names the key everywhere; of the secret only a hash is kept.
struct ApiKeyText {
  std::string_view id;
  std::string_view secret;
};
// nullopt for anything else; never looks at more than the first hundred bytes.
std::optional<ApiKeyText> parse_api_key(std::string_view text);

struct NewApiKey {
  std::string id;
  std::string text;  // shown once
  std::string hash;  // 32 bytes
};
NewApiKey make_api_key();                        // a new id
NewApiKey make_secret_for(std::string_view id);  // another secret for the same id, for a rotation

using KeyHash = std::array<unsigned char, 32>;
// SHA-256 over a purpose, the id and the secret. No salt and no stretching: the secret has 256 random bits.
KeyHash hash_api_key(const ApiKeyText& key);
// In constant time.
bool same_hash(const KeyHash& a, const KeyHash& b);

}  // namespace llm::access
