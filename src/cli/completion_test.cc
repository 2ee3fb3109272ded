#include "cli/completion.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace llm::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Completion : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "completion.XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    dir_ = pattern;
    write("llm-mcp", "#!/bin/sh\n[ \"$*\" = 'list --quiet' ] && printf 'smollm2\\nteam/qwen:v1\\nteam/qwen:v2\\n'\n");
    fs::permissions(dir_ / "llm-mcp", fs::perms::owner_all);
    write("script", *completion_script(describe_arguments(), "bash"));
  }
  void TearDown() override { fs::remove_all(dir_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }

  // The replies of the bash script to a line with the cursor at its end.
  std::vector<std::string> replies(const std::string& line) {
    write("ask",
          "PATH='" + dir_.string() + "':$PATH\nsource '" + (dir_ / "script").string() + "'\nCOMP_LINE='" + line +
              "'\nCOMP_POINT=${#COMP_LINE}\n_llm_mcp\n(( ${#COMPREPLY[@]} )) && printf '%s\\n' \"${COMPREPLY[@]}\"\n");
    const std::string command = "bash --norc --noprofile '" + (dir_ / "ask").string() + "' 2>&1";
    std::vector<std::string> out;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (!pipe) return out;
    std::array<char, 512> text{};
    while (std::fgets(text.data(), text.size(), pipe)) {
      out.emplace_back(text.data());
      if (out.back().ends_with('\n')) out.back().pop_back();
    }
    ::pclose(pipe);
    return out;
  }

  fs::path dir_;
};

TEST_F(Completion, BashCompletesCommandsOptionsChoicesAndModels) {
  if (std::system("bash -c true") != 0) GTEST_SKIP() << "no bash";
  using ::testing::Contains;
  using ::testing::ElementsAre;
  using ::testing::UnorderedElementsAre;
  EXPECT_THAT(replies("llm-mcp sh"), ElementsAre("show"));
  EXPECT_THAT(replies("llm-mcp --json sh"), ElementsAre("show"));
  EXPECT_THAT(replies("llm-mcp "), Contains("serve"));
  EXPECT_THAT(replies("llm-mcp --js"), ElementsAre("--json"));
  EXPECT_THAT(replies("llm-mcp chat --temp"), ElementsAre("--temperature"));
  EXPECT_THAT(replies("llm-mcp chat --js"), ElementsAre("--json"));
  EXPECT_THAT(replies("llm-mcp completion "), UnorderedElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(replies("llm-mcp serve --tcp o"), UnorderedElementsAre("optional", "off"));
  EXPECT_THAT(replies("llm-mcp show sm"), ElementsAre("smollm2"));
  EXPECT_THAT(replies("llm-mcp chat --system hello sm"), ElementsAre("smollm2"));
  EXPECT_THAT(replies("llm-mcp rm smollm2 te"), UnorderedElementsAre("team/qwen:v1", "team/qwen:v2"));
  EXPECT_THAT(replies("llm-mcp alias other sm"), ElementsAre("smollm2"));
  EXPECT_THAT(replies("llm-mcp help ser"), ElementsAre("serve"));
  EXPECT_THAT(replies("llm-mcp install claude"), UnorderedElementsAre("claude-code", "claude-desktop"));
  EXPECT_THAT(replies("llm-mcp uninstall --name x zed"), ElementsAre("zed"));
  EXPECT_THAT(replies("llm-mcp chat smollm2 what "), ElementsAre());
}

TEST_F(Completion, BashKeepsWhatStandsBeforeAColon) {
  if (std::system("bash -c true") != 0) GTEST_SKIP() << "no bash";
  EXPECT_THAT(replies("llm-mcp show team/qwen:v"), ::testing::UnorderedElementsAre("v1", "v2"));
}

TEST_F(Completion, BashCompletesFiles) {
  if (std::system("bash -c true") != 0) GTEST_SKIP() << "no bash";
  EXPECT_THAT(replies("llm-mcp import " + (dir_ / "scr").string()), ::testing::ElementsAre((dir_ / "script").string()));
  EXPECT_THAT(replies("llm-mcp --config " + (dir_ / "scr").string()),
              ::testing::ElementsAre((dir_ / "script").string()));
}

TEST(CompletionScript, ZshAndFishNameEveryCommandAndOption) {
  const CommandSpec program = describe_arguments();
  const std::string zsh = *completion_script(program, "zsh");
  const std::string fish = *completion_script(program, "fish");
  for (const CommandSpec& command : program.commands) {
    EXPECT_THAT(zsh, HasSubstr("'" + command.name + ":"));
    EXPECT_THAT(fish, HasSubstr("-a " + command.name + " -d '"));
    for (const ArgumentSpec& argument : command.arguments) {
      if (argument.positional) continue;
      EXPECT_THAT(zsh, HasSubstr(argument.names.back() + "["));
      EXPECT_THAT(fish, HasSubstr(" -l " + argument.names.back().substr(2)));
    }
  }
  EXPECT_THAT(zsh, HasSubstr("_llm_mcp_models"));
  EXPECT_THAT(zsh, ::testing::StartsWith("#compdef llm-mcp\n"));
  EXPECT_THAT(fish, HasSubstr("(llm-mcp list --quiet 2>/dev/null)"));
}

TEST(CompletionScript, OtherShellsAreAnError) {
  const auto script = completion_script(describe_arguments(), "tcsh");
  ASSERT_FALSE(script);
  EXPECT_EQ(script.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace llm::cli
