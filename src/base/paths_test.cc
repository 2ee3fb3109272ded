#include "base/paths.h"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

namespace llm {
namespace {

namespace fs = std::filesystem;

EnvLookup environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

class PrivateDir : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "paths_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }
  static mode_t mode(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }
  fs::path root_;
};

TEST(Paths, FollowXdgAndFallBackToHome) {
  const auto xdg = environment({{"HOME", "/home/a"},
                                {"XDG_CONFIG_HOME", "/c"},
                                {"XDG_DATA_HOME", "/d"},
                                {"XDG_CACHE_HOME", "/k"},
                                {"XDG_RUNTIME_DIR", "/run/user/7"}});
  EXPECT_EQ(config_dir(xdg).value(), "/c/llm-mcp");
  EXPECT_EQ(data_dir(xdg).value(), "/d/llm-mcp");
  EXPECT_EQ(cache_dir(xdg).value(), "/k/llm-mcp");
  EXPECT_EQ(runtime_dir(xdg, 7), "/run/user/7/llm-mcp");
  const auto home = environment({{"HOME", "/home/a"}, {"XDG_CONFIG_HOME", "relative"}, {"XDG_DATA_HOME", ""}});
  EXPECT_EQ(config_dir(home).value(), "/home/a/.config/llm-mcp");
  EXPECT_EQ(data_dir(home).value(), "/home/a/.local/share/llm-mcp");
  EXPECT_EQ(cache_dir(home).value(), "/home/a/.cache/llm-mcp");
  EXPECT_EQ(runtime_dir(home, 7), "/tmp/llm-mcp-7");
  const auto none = config_dir(environment({}));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "neither XDG_CONFIG_HOME nor HOME holds an absolute path; set one of them");
}

TEST(Paths, HomeIsPutIn) {
  const auto env = environment({{"HOME", "/home/a"}});
  EXPECT_EQ(expand_home("~", env), "/home/a");
  EXPECT_EQ(expand_home("~/x/y", env), "/home/a/x/y");
  EXPECT_EQ(expand_home("~b/x", env), "~b/x");
  EXPECT_EQ(expand_home("/x", env), "/x");
  EXPECT_EQ(expand_home("~/x", environment({})), "~/x");
}

TEST_F(PrivateDir, IsCreatedWithItsParents) {
  ASSERT_TRUE(ensure_private_dir(root_ / "a" / "b"));
  EXPECT_EQ(mode(root_ / "a"), 0700U);
  EXPECT_EQ(mode(root_ / "a" / "b"), 0700U);
  EXPECT_TRUE(ensure_private_dir(root_ / "a" / "b"));
}

TEST_F(PrivateDir, IsRefusedWhenOthersHaveAccess) {
  for (const mode_t open : {0750U, 0701U, 0777U}) {
    fs::create_directory(root_ / "open");
    ASSERT_EQ(::chmod((root_ / "open").c_str(), open), 0);
    const auto refused = ensure_private_dir(root_ / "open");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_NE(refused.error().message.find("chmod 700"), std::string::npos);
  }
}

TEST_F(PrivateDir, IsRefusedWhenItIsALinkOrAFile) {
  fs::create_directory(root_ / "real");
  fs::create_symlink(root_ / "real", root_ / "link");
  EXPECT_EQ(ensure_private_dir(root_ / "link").error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(ensure_private_dir((root_ / "link").string() + "/").error().code, ErrorCode::kPermissionDenied);
  fs::create_symlink(root_ / "nowhere", root_ / "dangling");
  EXPECT_EQ(ensure_private_dir(root_ / "dangling").error().code, ErrorCode::kPermissionDenied);
  ASSERT_NE(::close(::creat((root_ / "file").c_str(), 0600)), -1);
  EXPECT_EQ(ensure_private_dir(root_ / "file").error().code, ErrorCode::kPermissionDenied);
}

TEST(Paths, TheDirectoryOfAnotherUserIsRefused) {
  struct stat info{};
  ASSERT_EQ(::stat("/", &info), 0);
  if (info.st_uid == ::geteuid()) GTEST_SKIP() << "run by the owner of /";
  EXPECT_EQ(ensure_private_dir("/").error().code, ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace llm
