// The JSON Web Signature vectors of Project Wycheproof, read in place from ../shared beside the checkout.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <openssl/crypto.h>
#include <string>
#include <vector>

#include "access/jwt/jwk.h"
#include "access/jwt/jws.h"
#include "net/base64.h"

namespace llm::access {
namespace {

const std::filesystem::path kVectors =
    std::filesystem::path(LLM_TESTDATA) / "../../../../shared/vectors/jws_wycheproof.json";
constexpr std::array kAll = {JwsAlgorithm::kEdDSA, JwsAlgorithm::kES256, JwsAlgorithm::kES384, JwsAlgorithm::kES512,
                             JwsAlgorithm::kRS256, JwsAlgorithm::kRS384, JwsAlgorithm::kRS512, JwsAlgorithm::kPS256,
                             JwsAlgorithm::kPS384, JwsAlgorithm::kPS512, JwsAlgorithm::kHS256, JwsAlgorithm::kHS384,
                             JwsAlgorithm::kHS512};

// Where the file's label contradicts the standard or the file itself; the right answer and why. Nothing else may
// differ.
struct Correction {
  bool valid;
  std::string_view reason;
};
const std::map<std::int64_t, Correction> kCorrections = {
    {350,
     {false,
      "signed with PS384 under a key whose `alg` is PS256, which is for nothing else (RFC 7517, section 4.4); 338 of "
      "the same file is the same case with another hash, and labelled invalid"}},
    {370, {true, "the same bytes as 357 under the same key, which is labelled valid"}},
    {373, {false, "a '?' in the payload is no Base64url (RFC 7515, section 2)"}},
};

json::value read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed) << path;
  return parsed ? std::move(*parsed) : json::value();
}

// What a gateway would be configured with: the public key, or the secret where there is none.
Result<Jwk> key_of(const json::object& group) {
  const auto* key = json::find(group, "public");
  if (!key) key = json::find(group, "private");
  const auto& jwk = key->as_object();
  if (json::string_or(jwk, "kty") != "oct") return Jwk::parse(jwk);
  return Jwk::symmetric(jws_algorithm(json::string_or(jwk, "alg")).value(), std::string(json::string_or(jwk, "kid")),
                        base64url_decode(json::string_or(jwk, "k")).value());
}

// As a gateway does it: the key is found by its id, so a token that names another one finds none.
bool accepted(std::string_view token, const Result<Jwk>& key) {
  const auto parts = parse_jws(token, 16 * 1024);
  return key && parts && parts->key_id == key->id() && verify_jws(*parts, *key, kAll);
}

TEST(Wycheproof, AllResultsAreRight) {
  const auto document = read(kVectors);
  int seen = 0;
  int corrected = 0;
  for (const auto& group : document.at("testGroups").as_array()) {
    const auto key = key_of(group.as_object());
    for (const auto& test : group.at("tests").as_array()) {
      ++seen;
      const auto id = test.at("tcId").as_int64();
      bool wanted = test.at("result").as_string() == "valid";
      if (const auto correction = kCorrections.find(id); correction != kCorrections.end()) {
        EXPECT_NE(wanted, correction->second.valid) << id << " needs no correction any more";
        wanted = correction->second.valid;
        ++corrected;
      }
      EXPECT_EQ(accepted(test.at("jws").as_string(), key), wanted)
          << id << " " << test.at("comment").as_string().c_str();
    }
  }
  EXPECT_EQ(seen, 266);
  EXPECT_EQ(corrected, 3);
}

// What the corrections rest on.
TEST(Wycheproof, TheCorrectedVectorsContradictOthers) {
  const auto document = read(kVectors);
  std::map<std::int64_t, std::string> tokens;
  std::map<std::int64_t, json::object> keys;
  for (const auto& group : document.at("testGroups").as_array()) {
    for (const auto& test : group.at("tests").as_array()) {
      const auto id = test.at("tcId").as_int64();
      tokens[id] = test.at("jws").as_string();
      if (const auto* key = json::find(group.as_object(), "public")) keys[id] = key->as_object();
    }
  }
  EXPECT_EQ(tokens.at(357), tokens.at(370));
  EXPECT_NE(tokens.at(373).find('?'), std::string::npos);
  // 338 ("invalid") and 350 ("valid"): right signatures, but for the key's `alg`.
  for (const std::int64_t id : {338, 350}) {
    auto key = keys.at(id);
    key.erase("alg");
    EXPECT_TRUE(accepted(tokens.at(id), Jwk::parse(key))) << id;
  }
}

}  // namespace
}  // namespace llm::access
