#include "cli/secret_references.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <unistd.h>

namespace llm::cli {
namespace {

class SecretReferences : public testing::Test {
 protected:
  SecretReferences() {
    std::string name = (std::filesystem::temp_directory_path() / "llm-secrets-XXXXXX").string();
    directory_ = mkdtemp(name.data());
    variables_["CREDENTIALS_DIRECTORY"] = directory_.string();
  }
  ~SecretReferences() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path file(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
    return directory_ / name;
  }
  Result<std::string> resolve(const std::string& text) {
    return resolve_secret(text, [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    });
  }

  std::filesystem::path directory_;
  std::map<std::string, std::string> variables_;
};

TEST_F(SecretReferences, AnythingElseIsTheSecretItself) {
  EXPECT_EQ(resolve("hf_abc"), "hf_abc");
  EXPECT_EQ(resolve(""), "");
  EXPECT_EQ(resolve("environment"), "environment");
}

TEST_F(SecretReferences, AreReadFromTheirPlace) {
  variables_["TOKEN"] = "from the environment";
  EXPECT_EQ(resolve("env:TOKEN"), "from the environment");
  EXPECT_EQ(resolve("file:" + file("a", "from a file\r\n").string()), "from a file");
  file("hub", "from systemd\n");
  EXPECT_EQ(resolve("credential:hub"), "from systemd");
}

TEST_F(SecretReferences, SayWhichPlaceIsMissing) {
  EXPECT_EQ(resolve("env:NOT_SET").error().message, "the environment variable NOT_SET is not set");
  EXPECT_EQ(resolve("file:/nowhere/token").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(resolve("credential:../a").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(resolve("file:" + file("empty", "\n").string()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(resolve("file:" + file("limit", std::string(64 * 1024, 'x')).string())->size(), 64 * 1024U);
  EXPECT_EQ(resolve("file:" + file("long", std::string(64 * 1024 + 1, 'x')).string()).error().code,
            ErrorCode::kInvalidArgument);
  variables_.clear();
  EXPECT_EQ(resolve("credential:hub").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace llm::cli
