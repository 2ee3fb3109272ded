#include "access/jwt/signature.h"

#include <algorithm>
#include <array>
#include <memory>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <utility>

#include "access/jwt/jwk.h"
#include "access/secrets.h"

namespace llm::access {
namespace {

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Null for EdDSA, which hashes by itself.
const EVP_MD* digest_of(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kEdDSA:
      return nullptr;
    case JwsAlgorithm::kES256:
    case JwsAlgorithm::kRS256:
    case JwsAlgorithm::kPS256:
    case JwsAlgorithm::kHS256:
      return EVP_sha256();
    case JwsAlgorithm::kES384:
    case JwsAlgorithm::kRS384:
    case JwsAlgorithm::kPS384:
    case JwsAlgorithm::kHS384:
      return EVP_sha384();
    case JwsAlgorithm::kES512:
    case JwsAlgorithm::kRS512:
    case JwsAlgorithm::kPS512:
    case JwsAlgorithm::kHS512:
      return EVP_sha512();
  }
  std::unreachable();
}

bool is_pss(JwsAlgorithm algorithm) {
  return algorithm >= JwsAlgorithm::kPS256 && algorithm <= JwsAlgorithm::kPS512;
}

// Bytes of r and of s; 0 for what is not ECDSA.
std::size_t half_size(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kES256:
      return 32;
    case JwsAlgorithm::kES384:
      return 48;
    case JwsAlgorithm::kES512:
      return 66;
    default:
      return 0;
  }
}

// OpenSSL wants DER where JWS has r and s one after the other (IEEE P1363). Empty: not such a signature.
std::string der_from_halves(std::string_view signature, std::size_t half) {
  if (signature.size() != 2 * half) return {};
  const auto is_zero = [](std::string_view number) { return number.find_first_not_of('\0') == std::string_view::npos; };
  // OpenSSL refuses these as well; once it did not in Java (CVE-2022-21449).
  if (is_zero(signature.substr(0, half)) || is_zero(signature.substr(half))) return {};
  const EcSignature numbers(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(bytes_of(signature), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(bytes_of(signature) + half, static_cast<int>(half), nullptr);
  if (ECDSA_SIG_set0(numbers.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(numbers.get(), &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::string halves_from_der(std::string_view der, std::size_t half) {
  const unsigned char* at = bytes_of(der);
  const EcSignature numbers(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!numbers) return {};
  std::string out(2 * half, '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  const auto width = static_cast<int>(half);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(numbers.get()), bytes, width) != width ||
      BN_bn2binpad(ECDSA_SIG_get0_s(numbers.get()), bytes + half, width) != width) {
    return {};
  }
  return out;
}

bool mac_is_right(JwsAlgorithm algorithm, std::string_view secret, std::string_view text, std::string_view mac) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> made{};
  unsigned int size = 0;
  if (!HMAC(digest_of(algorithm), secret.data(), static_cast<int>(secret.size()), bytes_of(text), text.size(),
            made.data(), &size)) {
    return false;
  }
  return same_secret({reinterpret_cast<const char*>(made.data()), size}, mac);
}

}  // namespace

bool signature_is_right(JwsAlgorithm algorithm, const Jwk& key, std::string_view text, std::string_view signature) {
  if (is_symmetric(algorithm)) return mac_is_right(algorithm, key.secret(), text, signature);

  std::string der;
  if (const auto half = half_size(algorithm); half != 0) {
    der = der_from_halves(signature, half);
    if (der.empty()) return false;
    signature = der;
  } else if (signature.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key.handle()))) {
    return false;  // RSA: as long as the modulus (RFC 8017, section 8.1.2); Ed25519: 64
  }
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // the digest context's
  bool ready = EVP_DigestVerifyInit(context.get(), &key_context, digest_of(algorithm), nullptr, key.handle()) == 1;
  if (ready && is_pss(algorithm)) {
    ready = EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) == 1 &&
            EVP_PKEY_CTX_set_rsa_mgf1_md(key_context, digest_of(algorithm)) == 1;
  }
  const bool right =
      ready && EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(text), text.size()) == 1;
  if (!right) ERR_clear_error();  // the thread's queue would be read by whoever uses TLS next
  return right;
}

Result<std::string> make_signature(JwsAlgorithm algorithm, const Jwk& key, std::string_view text) {
  const DigestContext context(EVP_MD_CTX_new());
  std::size_t size = 0;
  std::string out;
  bool made = EVP_DigestSignInit(context.get(), nullptr, digest_of(algorithm), nullptr, key.handle()) == 1 &&
              EVP_DigestSign(context.get(), nullptr, &size, bytes_of(text), text.size()) == 1;
  if (made) {
    out.resize(size);
    made = EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes_of(text),
                          text.size()) == 1;
    out.resize(size);
  }
  if (made && half_size(algorithm) != 0) {
    out = halves_from_der(out, half_size(algorithm));
    made = !out.empty();
  }
  if (!made) {
    ERR_clear_error();
    return fail(ErrorCode::kInternal, "a signature could not be made");
  }
  return out;
}

}  // namespace llm::access
