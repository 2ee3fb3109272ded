#include "access/api_key.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <span>

#include "base/random.h"

namespace llm::access {
namespace {

constexpr std::string_view kPrefix = "llm_";
constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t kIdBytes = 10;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kIdSize = 16;
constexpr std::size_t kSecretSize = 52;
constexpr std::size_t kTextSize = kPrefix.size() + kIdSize + 1 + kSecretSize;

// Distinct for every use of SHA-256 in this program: a hash of one kind is worthless as another.
constexpr std::string_view kPurpose = "llm-mcp api key v1";

constexpr auto kInAlphabet = [] {
  std::array<bool, 256> table{};
  for (const char c : kAlphabet) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

bool all_in_alphabet(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return kInAlphabet[static_cast<unsigned char>(c)]; });
}

// Five bits a character, the first bits first; the last character is filled up with zero bits.
std::string encode(std::span<const unsigned char> bytes) {
  std::string out;
  unsigned pending = 0;
  int bits = 0;
  for (const unsigned char byte : bytes) {
    pending = (pending << 8 | byte) & 0xFFFF;
    for (bits += 8; bits >= 5; bits -= 5) out += kAlphabet[pending >> (bits - 5) & 31];
  }
  if (bits > 0) out += kAlphabet[pending << (5 - bits) & 31];
  return out;
}

template <std::size_t N>
std::string random_text() {
  std::array<unsigned char, N> bytes;
  random_bytes(bytes);
  std::string out = encode(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return out;
}

// Fetched once: looking an algorithm up costs more than the hash.
const EVP_MD* sha256() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

}  // namespace

std::optional<ApiKeyText> parse_api_key(std::string_view text) {
  if (text.size() != kTextSize || !text.starts_with(kPrefix)) return std::nullopt;
  const std::string_view id = text.substr(kPrefix.size(), kIdSize);
  const std::string_view secret = text.substr(kPrefix.size() + kIdSize + 1);
  if (text[kPrefix.size() + kIdSize] != '_' || !all_in_alphabet(id) || !all_in_alphabet(secret)) return std::nullopt;
  return ApiKeyText{id, secret};
}

NewApiKey make_api_key() {
  return make_secret_for(random_text<kIdBytes>());
}

NewApiKey make_secret_for(std::string_view id) {
  const std::string secret = random_text<kSecretBytes>();
  const KeyHash hash = hash_api_key({id, secret});
  NewApiKey key;
  key.id = id;
  key.text.reserve(kTextSize);
  key.text.append(kPrefix).append(id).append("_").append(secret);
  key.hash.assign(reinterpret_cast<const char*>(hash.data()), hash.size());
  return key;
}

KeyHash hash_api_key(const ApiKeyText& key) {
  struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  KeyHash out{};
  constexpr char kEnd = '\0';
  const bool done = context && EVP_DigestInit_ex2(context.get(), sha256(), nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), kPurpose.data(), kPurpose.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), &kEnd, 1) == 1 &&
                    EVP_DigestUpdate(context.get(), key.id.data(), key.id.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), &kEnd, 1) == 1 &&
                    EVP_DigestUpdate(context.get(), key.secret.data(), key.secret.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1;
  if (!done) std::abort();  // no memory, or a libcrypto without SHA-256: a hash of nothing would equal another such
  return out;
}

bool same_hash(const KeyHash& a, const KeyHash& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace llm::access
