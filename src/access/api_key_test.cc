#include "access/api_key.h"

#include <gtest/gtest.h>
#include <set>

#include "base/strings.h"

namespace llm::access {
namespace {

TEST(ApiKey, ANewOneIsReadBack) {
  std::set<std::string> ids;
  std::set<std::string> texts;
  for (int i = 0; i < 200; ++i) {
    const NewApiKey key = make_api_key();
    ASSERT_EQ(key.text.size(), 73U);
    ASSERT_TRUE(key.text.starts_with("llm_" + key.id + "_"));
    const auto parsed = parse_api_key(key.text);
    ASSERT_TRUE(parsed) << key.text;
    EXPECT_EQ(parsed->id, key.id);
    EXPECT_EQ(parsed->id.size(), 16U);
    EXPECT_EQ(parsed->secret.size(), 52U);
    const KeyHash hash = hash_api_key(*parsed);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(hash.data()), hash.size()), key.hash);
    ids.insert(key.id);
    texts.insert(key.text);
  }
  EXPECT_EQ(ids.size(), 200U);
  EXPECT_EQ(texts.size(), 200U);
}

TEST(ApiKey, ARotationKeepsTheId) {
  const NewApiKey first = make_api_key();
  const NewApiKey second = make_secret_for(first.id);
  EXPECT_EQ(second.id, first.id);
  EXPECT_NE(second.text, first.text);
  EXPECT_NE(second.hash, first.hash);
}

// A change of this value locks out every key that was ever handed out.
TEST(ApiKey, TheHashIsFixed) {
  const KeyHash hash = hash_api_key({"0123456789abcdef", "secret"});
  EXPECT_EQ(hex(hash), "6eb3c7711676f125b3db6ecd4575fe8e74b056488d19b409eda62f6375a79bc5");
}

TEST(ApiKey, EachPartCountsInTheHash) {
  const KeyHash hash = hash_api_key({"0123456789abcdef", "secret"});
  EXPECT_TRUE(same_hash(hash, hash_api_key({"0123456789abcdef", "secret"})));
  EXPECT_FALSE(same_hash(hash, hash_api_key({"0123456789abcdeg", "secret"})));
  EXPECT_FALSE(same_hash(hash, hash_api_key({"0123456789abcdef", "secreu"})));
  EXPECT_FALSE(same_hash(hash, hash_api_key({"0123456789abcdefs", "ecret"})));
}

TEST(ApiKey, SameHashSeesEveryByte) {
  const KeyHash hash = hash_api_key({"a", "b"});
  for (std::size_t i = 0; i < hash.size(); ++i) {
    KeyHash other = hash;
    other[i] ^= 0x80;
    EXPECT_FALSE(same_hash(hash, other)) << i;
  }
}

TEST(ApiKey, NothingElseIsAKey) {
  const std::string good = make_api_key().text;
  ASSERT_TRUE(parse_api_key(good));
  std::vector<std::string> wrong = {"",
                                    "llm_",
                                    "llm__",
                                    "sk-1234567890",
                                    good + "0",
                                    good.substr(0, good.size() - 1),
                                    " " + good,
                                    good + "\n",
                                    "LLM_" + good.substr(4),
                                    std::string("llm_' OR '1'='1' --_") + good.substr(21),
                                    std::string(1 << 20, 'a')};
  // Letters that people mix up, upper case, and bytes that end texts in other languages.
  for (const char c : {'i', 'l', 'o', 'u', 'A', 'Z', '-', '\0', '\'', '"', '%', '\x80', ' '}) {
    std::string id = good;
    id[7] = c;
    wrong.push_back(id);
    std::string secret = good;
    secret[30] = c;
    wrong.push_back(secret);
  }
  std::string separator = good;
  separator[20] = '-';
  wrong.push_back(separator);
  for (const std::string& text : wrong) EXPECT_FALSE(parse_api_key(text)) << text.substr(0, 90);
}

}  // namespace
}  // namespace llm::access
