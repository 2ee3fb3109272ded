#include "access/secrets.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/strings.h"
#include "net/base64.h"

namespace llm::access {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::array kPurposes = {KeyPurpose::kSigningKeyEncryption, KeyPurpose::kRefreshTokenHash,
                                  KeyPurpose::kRequestState, KeyPurpose::kAuditChain};

std::string raw() {
  std::string out;
  for (int i = 0; i < 32; ++i) out += static_cast<char>(i);
  return out;
}

class Secrets : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "llm-secret-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path put(const std::string& name, std::string_view content, mode_t mode = 0600) const {
    const fs::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }
  static std::string shown(const MasterSecret& secret) { return hex(secret.derive(KeyPurpose::kRefreshTokenHash)); }
  fs::path folder_;
};

TEST_F(Secrets, EveryFormIsTheSameSecret) {
  const auto wanted = MasterSecret::load({.text = std::string(kHex)});
  ASSERT_TRUE(wanted);
  for (const std::string& text :
       {to_lower(kHex), std::string(kHex) + "\n", base64_encode(raw()), base64url_encode(raw())}) {
    const auto same = MasterSecret::load({.text = text});
    ASSERT_TRUE(same) << to_string(same.error());
    EXPECT_EQ(shown(**same), shown(**wanted));
  }
  for (const std::string& content : {std::string(kHex), std::string(kHex) + "\n", base64_encode(raw()) + "\n", raw()}) {
    const auto same = MasterSecret::load({.file = put("given", content)});
    ASSERT_TRUE(same) << to_string(same.error());
    EXPECT_EQ(shown(**same), shown(**wanted));
  }
}

// RFC 5869 has no case with an empty salt and our info; this one was computed with Python's hmac.
TEST_F(Secrets, DerivesByHkdf) {
  const auto secret = MasterSecret::load({.text = std::string(kHex)}).value();
  EXPECT_EQ(hex(secret->derive(KeyPurpose::kSigningKeyEncryption)),
            "741268c3a4a8223ba11de0662d23c38aae9b4925c4e0b422c1f75e85db5307b4");
}

TEST_F(Secrets, EveryPurposeHasItsOwnKey) {
  const auto secret = MasterSecret::load({.text = std::string(kHex)}).value();
  std::set<std::string> keys;
  std::set<std::string_view> texts;
  for (const auto purpose : kPurposes) {
    keys.insert(hex(secret->derive(purpose)));
    texts.insert(purpose_text(purpose));
  }
  EXPECT_EQ(keys.size(), kPurposes.size());
  EXPECT_EQ(texts.size(), kPurposes.size());
}

TEST_F(Secrets, WeakOnesAreRefused) {
  const std::vector<std::string> texts = {
      "changeme",
      "correct horse battery staple, for ever and ever",
      std::string(kHex.substr(0, 62)),  // 31 bytes
      std::string(kHex) + "20",         // 33
      std::string(64, '0'),
      std::string(64, 'a'),
      "00010203000102030001020300010203000102030001020300010203000102ff",
      base64_encode(std::string(32, 'x')),
      base64_encode(raw().substr(1)),
      "zz" + std::string(kHex.substr(2)),
  };
  for (const auto& text : texts) {
    const auto secret = MasterSecret::load({.text = text});
    ASSERT_FALSE(secret) << text;
    EXPECT_EQ(secret.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(secret.error().message.contains(text)) << "the error shows the secret";
    EXPECT_FALSE(MasterSecret::load({.file = put("weak", text)})) << text;
  }
  EXPECT_FALSE(MasterSecret::load({.file = put("empty", "")}));
  // 32 hexadecimal digits are 16 bytes, not 32 raw ones.
  EXPECT_FALSE(MasterSecret::load({.file = put("half", kHex.substr(0, 32))}));
  EXPECT_FALSE(MasterSecret::load({}));
}

TEST_F(Secrets, AFileForEverybodyIsRefused) {
  for (const mode_t mode : {0604, 0644, 0666, 0602, 0601}) {
    const auto secret = MasterSecret::load({.file = put("open", kHex, mode)});
    ASSERT_FALSE(secret) << mode;
    EXPECT_TRUE(secret.error().message.contains("chmod 600")) << secret.error().message;
  }
  EXPECT_TRUE(MasterSecret::load({.file = put("open", kHex, 0640)}));  // a group's, as some mounts are
  EXPECT_FALSE(MasterSecret::load({.file = folder_}));
  EXPECT_FALSE(MasterSecret::load({.file = folder_ / "missing"}));
}

TEST_F(Secrets, CredentialsOfSystemdComeBeforeTheDataDirectory) {
  fs::create_directory(folder_ / "credentials");
  const MasterSecretSource source{.credentials = folder_ / "credentials", .data_directory = folder_ / "data"};
  put("credentials/llm-mcp-secret", kHex, 0444);
  const auto secret = MasterSecret::load(source);
  ASSERT_TRUE(secret) << to_string(secret.error());
  EXPECT_EQ(shown(**secret), shown(**MasterSecret::load({.text = std::string(kHex)})));
  EXPECT_FALSE(fs::exists(folder_ / "data"));
}

TEST_F(Secrets, OneIsMadeAtFirstStartAndKept) {
  const MasterSecretSource source{.data_directory = folder_ / "data" / "deeper"};
  const auto first = MasterSecret::load(source);
  ASSERT_TRUE(first) << to_string(first.error());
  const fs::path made = folder_ / "data" / "deeper" / "secret";
  struct stat status{};
  ASSERT_EQ(::stat(made.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_EQ(shown(**MasterSecret::load(source)), shown(**first));
  // Nothing else is left there.
  EXPECT_EQ(std::distance(fs::directory_iterator(made.parent_path()), {}), 1);
  // Another installation has another.
  EXPECT_NE(shown(**MasterSecret::load({.data_directory = folder_ / "other"})), shown(**first));
}

TEST_F(Secrets, ProcessesThatStartTogetherGetTheSame) {
  constexpr int kThreads = 16;
  std::vector<std::string> got(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const auto secret = MasterSecret::load({.data_directory = folder_ / "data"});
        got[static_cast<std::size_t>(i)] = secret ? shown(**secret) : to_string(secret.error());
      });
    }
  }
  EXPECT_EQ(std::set<std::string>(got.begin(), got.end()).size(), 1U);
}

TEST_F(Secrets, ASymbolicLinkInTheDataDirectoryIsNotFollowed) {
  fs::create_directory(folder_ / "data");
  fs::create_symlink(put("elsewhere", kHex), folder_ / "data" / "secret");
  EXPECT_FALSE(MasterSecret::load({.data_directory = folder_ / "data"}));
  fs::remove(folder_ / "data" / "secret");
  fs::create_symlink(folder_ / "nowhere", folder_ / "data" / "secret");
  EXPECT_FALSE(MasterSecret::load({.data_directory = folder_ / "data"}));
  EXPECT_FALSE(fs::exists(folder_ / "nowhere"));
}

TEST(Sealing, OpensWithTheSameKeyAndContextOnly) {
  Key256 key{};
  key[0] = 1;
  Key256 other = key;
  other[31] = 1;
  const std::string sealed = seal(key, "a secret", "row 1");
  EXPECT_FALSE(sealed.contains("a secret"));
  EXPECT_EQ(open_sealed(key, sealed, "row 1"), "a secret");
  EXPECT_FALSE(open_sealed(other, sealed, "row 1"));
  EXPECT_FALSE(open_sealed(key, sealed, "row 2"));
  EXPECT_FALSE(open_sealed(key, "", "row 1"));
  EXPECT_FALSE(open_sealed(key, sealed.substr(0, 27), "row 1"));
  EXPECT_NE(seal(key, "a secret", "row 1"), sealed);  // a nonce of its own each time
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(open_sealed(key, changed, "row 1")) << at;
  }
  EXPECT_EQ(open_sealed(key, seal(key, "", ""), ""), "");
}

TEST(Sealing, ComparesSecrets) {
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_FALSE(same_secret("abc", "abd"));
  EXPECT_FALSE(same_secret("abc", "ab"));
  EXPECT_TRUE(same_secret("", ""));
}

}  // namespace
}  // namespace llm::access
