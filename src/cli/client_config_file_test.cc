#include "cli/client_config_file.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sstream>
#include <sys/resource.h>
#include <unistd.h>

namespace llm::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds(1'795'370'463)};

class ClientFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "client_file.XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    dir_ = pattern;
  }
  void TearDown() override {
    fs::permissions(dir_, fs::perms::owner_all);
    fs::remove_all(dir_);
  }

  fs::path write(const std::string& name, std::string_view text) {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  static std::string text_of(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& one : fs::directory_iterator(dir_)) out.push_back(one.path().filename().string());
    std::ranges::sort(out);
    return out;
  }

  fs::path dir_;
};

TEST_F(ClientFileTest, IsReplacedWithABackupAndKeepsItsMode) {
  const fs::path path = write("a.json", "old");
  fs::permissions(path, fs::perms(0640));
  for (const std::string text : {"new", "newer"}) {
    const auto file = read_client_file(path);
    ASSERT_TRUE(file);
    const auto backup = replace_client_file(*file, text, kNow);
    ASSERT_TRUE(backup) << backup.error().message;
    EXPECT_EQ(text_of(path), text);
    EXPECT_EQ(text_of(*backup), file->text);
    EXPECT_EQ(fs::status(path).permissions(), fs::perms(0640));
    EXPECT_EQ(fs::status(*backup).permissions(), fs::perms(0640));
  }
  EXPECT_EQ(names(),
            (std::vector<std::string>{"a.json", "a.json.bak-20261122T180103Z", "a.json.bak-20261122T180103Z-2"}));
}

TEST_F(ClientFileTest, AMissingOneIsMadeWithItsFoldersAndForItsOwnerAlone) {
  const auto file = read_client_file(dir_ / "x/y/a.json");
  ASSERT_TRUE(file);
  EXPECT_FALSE(file->state);
  const auto backup = replace_client_file(*file, "new", kNow);
  ASSERT_TRUE(backup) << backup.error().message;
  EXPECT_TRUE(backup->empty());
  EXPECT_EQ(text_of(dir_ / "x/y/a.json"), "new");
  EXPECT_EQ(fs::status(dir_ / "x/y/a.json").permissions(), fs::perms(0600));
}

TEST_F(ClientFileTest, LinksStayAndLeadToTheNewText) {
  write("real.json", "old");
  fs::create_symlink("real.json", dir_ / "link");
  fs::create_symlink(dir_ / "link", dir_ / "a.json");
  const auto backup = replace_client_file(*read_client_file(dir_ / "a.json"), "new", kNow);
  ASSERT_TRUE(backup) << backup.error().message;
  EXPECT_TRUE(fs::is_symlink(dir_ / "a.json"));
  EXPECT_TRUE(fs::is_symlink(dir_ / "link"));
  EXPECT_EQ(text_of(dir_ / "real.json"), "new");
  EXPECT_EQ(backup->filename(), "a.json.bak-20261122T180103Z");

  fs::create_symlink("later.json", dir_ / "dangling");
  ASSERT_TRUE(replace_client_file(*read_client_file(dir_ / "dangling"), "made", kNow));
  EXPECT_EQ(text_of(dir_ / "later.json"), "made");
}

TEST_F(ClientFileTest, IsLeftAloneWhenSomebodyElseChangedIt) {
  const fs::path path = write("a.json", "old");
  const auto file = read_client_file(path);
  write("a.json", "theirs now");
  const auto done = replace_client_file(*file, "ours", kNow);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kConflict);
  EXPECT_THAT(done.error().message, HasSubstr("try again"));
  EXPECT_EQ(text_of(path), "theirs now");
  EXPECT_EQ(names(), std::vector<std::string>{"a.json"});

  const auto missing = read_client_file(dir_ / "b.json");
  write("b.json", "theirs");
  EXPECT_FALSE(replace_client_file(*missing, "ours", kNow));
  EXPECT_EQ(text_of(dir_ / "b.json"), "theirs");
}

// No file of this process may grow beyond a number of bytes, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  struct rlimit old_{};
  void (*handler_)(int);
};

TEST_F(ClientFileTest, WhatCannotBeWrittenIsAnErrorAndLeavesEverythingAsItWas) {
  const fs::path path = write("a.json", "four");
  const auto file = read_client_file(path);
  for (const std::string text : {"longer than four", "new"}) {  // the new file fails, then the backup
    const FileSizeLimit limit(3);
    const auto done = replace_client_file(*file, text, kNow);
    ASSERT_FALSE(done) << text;
  }
  EXPECT_EQ(text_of(path), "four");
  EXPECT_EQ(names(), std::vector<std::string>{"a.json"});
}

TEST_F(ClientFileTest, AFolderThatCannotBeWrittenIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const fs::path path = write("a.json", "old");
  fs::permissions(dir_, fs::perms::owner_read | fs::perms::owner_exec);
  const auto done = replace_client_file(*read_client_file(path), "new", kNow);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(done.error().message, HasSubstr("a.json"));
  EXPECT_EQ(text_of(path), "old");
}

TEST_F(ClientFileTest, WhatIsInTheWayOfItsFolderIsAnError) {
  write("file", "");
  const auto read = read_client_file(dir_ / "file/a.json");
  EXPECT_FALSE(read && replace_client_file(*read, "new", kNow));
  fs::create_directory(dir_ / "folder");
  const auto folder = read_client_file(dir_ / "folder");
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace llm::cli
