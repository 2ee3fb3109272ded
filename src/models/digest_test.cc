#include "models/digest.h"

#include <gtest/gtest.h>

#include "models/test_support.h"

namespace llm::models {
namespace {

// FIPS 180-4 example values.
TEST(Digest, KnownValues) {
  EXPECT_EQ(sha256_of("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hash;
  for (int i = 0; i < 1'000'000; ++i) hash.update("a");
  EXPECT_EQ(hash.finish().hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Digest, StrictText) {
  const std::string good = "sha256:" + std::string(64, 'a');
  ASSERT_TRUE(Digest::parse(good));
  EXPECT_EQ(Digest::parse(good)->to_string(), good);
  EXPECT_EQ(Digest::parse(good)->file_name(), "sha256-" + std::string(64, 'a'));
  for (const std::string& bad :
       {std::string(), std::string("sha256:"), std::string(64, 'a'), "sha256:" + std::string(63, 'a'),
        "sha256:" + std::string(65, 'a'), "sha256:" + std::string(64, 'A'), "SHA256:" + std::string(64, 'a'),
        "sha256-" + std::string(64, 'a'), "sha256:../" + std::string(61, 'a'), "sha256:" + std::string(63, 'a') + '\0',
        " " + good, good + "\n", "sha512:" + std::string(64, 'a')}) {
    EXPECT_FALSE(Digest::parse(bad)) << bad;
  }
  EXPECT_EQ(*Digest::parse_hex(std::string(64, 'A')), *Digest::parse(good));
}

TEST(Digest, HashesFilesAndStops) {
  const testing::TempDir dir;
  const auto path = dir.write("x", std::string(3 << 20, 'x'));
  const auto fd = open_regular(path, false);
  ASSERT_TRUE(fd);
  int reports = 0;
  const auto digest = hash_file(fd->get(), path, [&](const Progress&) { ++reports; }, testing::never());
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, sha256_of(std::string(3 << 20, 'x')));
  EXPECT_GE(reports, 3);
  const std::atomic<bool> cancelled{true};
  EXPECT_EQ(hash_file(fd->get(), path, {}, cancelled).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace llm::models
