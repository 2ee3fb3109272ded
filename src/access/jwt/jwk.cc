#include "access/jwt/jwk.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <utility>

#include "base/strings.h"
#include "net/base64.h"

namespace llm::access {
namespace {

constexpr std::size_t kMaxKeys = 100;
constexpr int kLeastRsaBits = 2048;
constexpr int kMostRsaBits = 8192;  // more costs milliseconds per signature
constexpr int kMostExponentBits = 64;

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using ParameterBuilder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;

struct Curve {
  std::string_view name;  // RFC 7518, section 6.2.1.1
  const char* group;      // OpenSSL's name of it
  std::size_t bits;
  JwsAlgorithm algorithm;
  std::size_t bytes() const { return (bits + 7) / 8; }
};
constexpr std::array<Curve, 3> kCurves = {{
    {"P-256", "P-256", 256, JwsAlgorithm::kES256},
    {"P-384", "P-384", 384, JwsAlgorithm::kES384},
    {"P-521", "P-521", 521, JwsAlgorithm::kES512},
}};

std::unexpected<Error> refuse(std::string message) {
  ERR_clear_error();
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::shared_ptr<EVP_PKEY> shared(EVP_PKEY* key) {
  return {key, EVP_PKEY_free};
}

// A member that holds bytes in Base64url.
Result<std::string> bytes_member(const json::object& document, std::string_view name) {
  auto bytes = base64url_decode(json::string_or(document, name));
  if (!bytes || bytes->empty()) return refuse("a key's `" + std::string(name) + "` is missing or not Base64url");
  return std::move(*bytes);
}

std::shared_ptr<EVP_PKEY> key_from(const char* type, OSSL_PARAM* parameters) {
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
    return nullptr;
  }
  auto out = shared(key);
  const KeyContext check(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  return EVP_PKEY_public_check(check.get()) == 1 ? out : nullptr;
}

std::string number_member(const EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const Number number(raw);
  std::string out(static_cast<std::size_t>(BN_num_bytes(raw)), '\0');
  BN_bn2bin(raw, reinterpret_cast<unsigned char*>(out.data()));
  return base64url_encode(out);
}

std::string coordinate(const EVP_PKEY* key, const char* name, std::size_t bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const Number number(raw);
  std::string out(bytes, '\0');
  BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(bytes));
  return base64url_encode(out);
}

// `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3) where they are there.
Result<void> check_purpose(const json::object& document) {
  if (const auto* use = json::find(document, "use")) {
    if (!use->is_string() || use->get_string() != "sig") return refuse("a key is not for signatures (`use`)");
  }
  if (const auto* operations = json::find(document, "key_ops")) {
    const auto* list = operations->if_array();
    const auto is_verify = [](const json::value& one) { return one.is_string() && one.get_string() == "verify"; };
    if (!list || std::ranges::none_of(*list, is_verify)) return refuse("a key is not for verifying (`key_ops`)");
  }
  return {};
}

}  // namespace

struct JwkReader {
  const json::object& document;
  Jwk out = {};

  Result<void> read_okp() {
    out.type_ = Jwk::Type::kOkp;
    if (json::string_or(document, "crv") != "Ed25519") return refuse("a key's curve is not Ed25519");
    const auto x = bytes_member(document, "x");
    if (!x) return fail(x.error());
    out.key_ = shared(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(*x), x->size()));
    if (!out.key_) return refuse("an Ed25519 key has not 32 bytes");
    return {};
  }

  Result<void> read_ec() {
    out.type_ = Jwk::Type::kEc;
    const auto* curve = std::ranges::find(kCurves, json::string_or(document, "crv"), &Curve::name);
    if (curve == kCurves.end()) return refuse("a key's curve is none of P-256, P-384 and P-521");
    const auto x = bytes_member(document, "x");
    if (!x) return fail(x.error());
    const auto y = bytes_member(document, "y");
    if (!y) return fail(y.error());
    if (x->size() != curve->bytes() || y->size() != curve->bytes()) return refuse("a key's coordinates are not full");
    const std::string point = "\x04" + *x + *y;
    const ParameterBuilder builder(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0);
    OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
    const Parameters parameters(OSSL_PARAM_BLD_to_param(builder.get()));
    out.key_ = key_from("EC", parameters.get());
    out.curve_bits_ = curve->bits;
    if (!out.key_) return refuse("a key is no point of its curve");
    return {};
  }

  Result<void> read_rsa() {
    out.type_ = Jwk::Type::kRsa;
    const auto n = bytes_member(document, "n");
    if (!n) return fail(n.error());
    const auto e = bytes_member(document, "e");
    if (!e) return fail(e.error());
    if (n->size() > kMostRsaBits / 8 || e->size() > kMostExponentBits / 8) return refuse("an RSA key is too large");
    const Number modulus(BN_bin2bn(bytes_of(*n), static_cast<int>(n->size()), nullptr));
    const Number exponent(BN_bin2bn(bytes_of(*e), static_cast<int>(e->size()), nullptr));
    if (BN_num_bits(modulus.get()) < kLeastRsaBits) return refuse("an RSA key has fewer than 2048 bits");
    if (!BN_is_odd(exponent.get()) || BN_is_one(exponent.get()))
      return refuse("an RSA key's exponent is not odd and > 1");
    const ParameterBuilder builder(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
    const Parameters parameters(OSSL_PARAM_BLD_to_param(builder.get()));
    out.key_ = key_from("RSA", parameters.get());
    if (!out.key_) return refuse("an RSA key is broken");
    return {};
  }

  Result<void> read_algorithm() {
    if (out.type_ == Jwk::Type::kOkp) out.algorithm_ = JwsAlgorithm::kEdDSA;
    for (const auto& curve : kCurves) {
      if (out.type_ == Jwk::Type::kEc && curve.bits == out.curve_bits_) out.algorithm_ = curve.algorithm;
    }
    const auto* named = json::find(document, "alg");
    if (!named) return {};
    if (!named->is_string()) return refuse("a key's `alg` is not a string");
    std::string_view name = named->get_string();
    // A slip that is around (Wycheproof has it): the curve's number. The curve leaves no choice anyway.
    if (name == "ES521") name = "ES512";
    const auto algorithm = jws_algorithm(name);
    if (!algorithm || !out.fits(*algorithm)) return refuse("a key's `alg` does not fit it");
    out.algorithm_ = algorithm;
    return {};
  }
};

Result<Jwk> Jwk::parse(const json::object& document) {
  if (auto purpose = check_purpose(document); !purpose) return fail(std::move(purpose.error()));
  JwkReader reader{.document = document};
  const auto type = json::string_or(document, "kty");
  const auto read = type == "OKP"   ? reader.read_okp()
                    : type == "EC"  ? reader.read_ec()
                    : type == "RSA" ? reader.read_rsa()
                                    : Result<void>(refuse("a key's `kty` is none of OKP, EC and RSA"));
  if (!read) return fail(read.error());
  if (auto algorithm = reader.read_algorithm(); !algorithm) return fail(std::move(algorithm.error()));
  if (const auto* id = json::find(document, "kid")) {
    if (!id->is_string()) return refuse("a key's `kid` is not a string");
    reader.out.id_ = std::string_view(id->get_string());
  }
  return std::move(reader.out);
}

Result<Jwk> Jwk::symmetric(JwsAlgorithm algorithm, std::string key_id, std::string_view secret) {
  if (!is_symmetric(algorithm)) return refuse("a symmetric key needs one of HS256, HS384 and HS512");
  const std::size_t least = algorithm == JwsAlgorithm::kHS256 ? 32 : algorithm == JwsAlgorithm::kHS384 ? 48 : 64;
  if (secret.size() < least) return refuse("a symmetric key is shorter than its algorithm's hash");
  Jwk out;
  out.type_ = Type::kOct;
  out.id_ = std::move(key_id);
  out.algorithm_ = algorithm;
  out.secret_ = std::shared_ptr<const std::string>(new std::string(secret), [](const std::string* text) {
    OPENSSL_cleanse(const_cast<char*>(text->data()), text->size());
    delete text;
  });
  return out;
}

Result<Jwk> Jwk::of_private(JwsAlgorithm algorithm, std::shared_ptr<evp_pkey_st> key) {
  const int wanted = algorithm == JwsAlgorithm::kEdDSA ? EVP_PKEY_ED25519 : EVP_PKEY_EC;
  if (!key || EVP_PKEY_get_base_id(key.get()) != wanted) return refuse("not a private key of this algorithm");
  if (algorithm == JwsAlgorithm::kES256 && EVP_PKEY_get_bits(key.get()) != 256) return refuse("not a key on P-256");
  Jwk out;
  out.type_ = algorithm == JwsAlgorithm::kEdDSA ? Type::kOkp : Type::kEc;
  out.curve_bits_ = algorithm == JwsAlgorithm::kEdDSA ? 0 : 256;
  out.algorithm_ = algorithm;
  out.private_ = true;
  out.key_ = std::move(key);
  out.id_ = out.thumbprint();
  return out;
}

Result<Jwk> Jwk::generate(JwsAlgorithm algorithm) {
  if (algorithm == JwsAlgorithm::kEdDSA) {
    return of_private(algorithm, shared(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")));
  }
  if (algorithm == JwsAlgorithm::kES256) {
    return of_private(algorithm, shared(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")));
  }
  return refuse("keys are made for EdDSA and ES256 only");
}

Result<Jwk> Jwk::from_private_bytes(JwsAlgorithm algorithm, std::string_view pkcs8) {
  const unsigned char* at = bytes_of(pkcs8);
  PKCS8_PRIV_KEY_INFO* info = d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(pkcs8.size()));
  if (!info) return refuse("not a private key");
  auto key = shared(EVP_PKCS82PKEY(info));
  PKCS8_PRIV_KEY_INFO_free(info);
  return of_private(algorithm, std::move(key));
}

bool Jwk::fits(JwsAlgorithm algorithm) const {
  // A key that says what it is for is for nothing else (RFC 7517, section 4.4).
  if (algorithm_ && (type_ == Type::kRsa || type_ == Type::kOct)) return algorithm == *algorithm_;
  switch (type_) {
    case Type::kOkp:
      return algorithm == JwsAlgorithm::kEdDSA;
    case Type::kEc:
      return std::ranges::any_of(
          kCurves, [&](const Curve& curve) { return curve.bits == curve_bits_ && curve.algorithm == algorithm; });
    case Type::kRsa:
      return algorithm >= JwsAlgorithm::kRS256 && algorithm <= JwsAlgorithm::kPS512;
    case Type::kOct:
      return false;
  }
  return false;
}

json::object Jwk::public_json() const {
  json::object out;
  switch (type_) {
    case Type::kOkp: {
      std::array<unsigned char, 32> bytes{};
      std::size_t size = bytes.size();
      EVP_PKEY_get_raw_public_key(key_.get(), bytes.data(), &size);
      out["kty"] = "OKP";
      out["crv"] = "Ed25519";
      out["x"] = base64url_encode({reinterpret_cast<const char*>(bytes.data()), size});
      break;
    }
    case Type::kEc: {
      const auto* curve = std::ranges::find(kCurves, curve_bits_, &Curve::bits);
      out["kty"] = "EC";
      out["crv"] = curve->name;
      out["x"] = coordinate(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, curve->bytes());
      out["y"] = coordinate(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, curve->bytes());
      break;
    }
    case Type::kRsa:
      out["kty"] = "RSA";
      out["n"] = number_member(key_.get(), OSSL_PKEY_PARAM_RSA_N);
      out["e"] = number_member(key_.get(), OSSL_PKEY_PARAM_RSA_E);
      break;
    case Type::kOct:
      return out;
  }
  if (!id_.empty()) out["kid"] = id_;
  out["use"] = "sig";
  if (algorithm_) out["alg"] = to_string(*algorithm_);
  return out;
}

std::string Jwk::thumbprint() const {
  const auto all = public_json();
  // RFC 7638, section 3.2: the required members alone, in this order.
  json::object required;
  for (const std::string_view name : {"crv", "e", "kty", "n", "x", "y"}) {
    if (const auto* found = json::find(all, name)) required[name] = *found;
  }
  const std::string text = json::write(required);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(bytes_of(text), text.size(), digest.data());
  return base64url_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string Jwk::private_bytes() const {
  if (!private_) return {};
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key_.get());
  if (!info) return {};
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
  PKCS8_PRIV_KEY_INFO_free(info);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_clear_free(der, static_cast<std::size_t>(size));
  return out;
}

Result<std::vector<Jwk>> parse_jwk_set(std::string_view text) {
  const auto document = parse_without_duplicates(text);
  if (!document || !document->is_object()) return refuse("not a JWK Set: no JSON object with each member once");
  const auto* keys = json::find(document->get_object(), "keys");
  if (!keys || !keys->is_array()) return refuse("not a JWK Set: no list `keys`");
  if (keys->get_array().size() > kMaxKeys) return refuse("a JWK Set with more than a hundred keys");
  std::vector<Jwk> out;
  for (const auto& one : keys->get_array()) {
    if (!one.is_object()) continue;
    if (auto key = Jwk::parse(one.get_object())) out.push_back(std::move(*key));
  }
  return out;
}

std::string write_jwk_set(const std::vector<Jwk>& keys) {
  json::array list;
  for (const auto& key : keys) list.push_back(key.public_json());
  return json::write(json::object{{"keys", std::move(list)}});
}

}  // namespace llm::access
