#include "cli/client_config.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <unistd.h>

namespace llm::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Clients : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "clients.XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    home_ = pattern;
    variables_["HOME"] = home_.string();
  }
  void TearDown() override { fs::remove_all(home_); }

  Client client(std::string_view id, System system = System::kLinux) {
    const auto env = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    auto one = choose_client(*find_clients(env, system), id);
    EXPECT_TRUE(one) << id;
    return one ? *one : Client{};
  }
  std::string file(std::string_view id, System system = System::kLinux) {
    return client(id, system).file.lexically_relative(home_).string();
  }
  void touch(const std::string& name, std::string_view text = {}) {
    fs::create_directories((home_ / name).parent_path());
    std::ofstream(home_ / name) << text;
  }

  fs::path home_;
  std::map<std::string, std::string> variables_;
};

TEST_F(Clients, KeepTheirServersWhereTheirDocumentationSays) {
  EXPECT_EQ(file("claude-desktop"), ".config/Claude/claude_desktop_config.json");
  EXPECT_EQ(file("claude-code"), ".claude.json");
  EXPECT_EQ(file("cline"), ".cline/data/settings/cline_mcp_settings.json");
  EXPECT_EQ(file("codex"), ".codex/config.toml");
  EXPECT_EQ(file("continue"), ".continue/mcpServers/llm-mcp.json");
  EXPECT_EQ(file("copilot-cli"), ".copilot/mcp-config.json");
  EXPECT_EQ(file("cursor"), ".cursor/mcp.json");
  EXPECT_EQ(file("gemini-cli"), ".gemini/settings.json");
  EXPECT_EQ(file("kiro"), ".kiro/settings/mcp.json");
  EXPECT_EQ(file("lm-studio"), ".lmstudio/mcp.json");
  EXPECT_EQ(file("roo-code"), ".config/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json");
  EXPECT_EQ(file("vscode"), ".config/Code/User/mcp.json");
  EXPECT_EQ(file("vscode-insiders"), ".config/Code - Insiders/User/mcp.json");
  EXPECT_EQ(file("windsurf"), ".codeium/windsurf/mcp_config.json");
  EXPECT_EQ(file("zed"), ".config/zed/settings.json");
  EXPECT_EQ(client_ids().size(), 15U);
  EXPECT_TRUE(std::ranges::is_sorted(client_ids()));
}

TEST_F(Clients, OnMacOsSomeAreElsewhere) {
  const std::string support = "Library/Application Support/";
  EXPECT_EQ(file("claude-desktop", System::kMac), support + "Claude/claude_desktop_config.json");
  EXPECT_EQ(file("vscode", System::kMac), support + "Code/User/mcp.json");
  EXPECT_EQ(file("zed", System::kMac), ".config/zed/settings.json");
  EXPECT_EQ(file("cursor", System::kMac), ".cursor/mcp.json");
}

TEST_F(Clients, FollowTheirOwnVariables) {
  variables_["XDG_CONFIG_HOME"] = (home_ / "xdg").string();
  variables_["CODEX_HOME"] = (home_ / "cx").string();
  variables_["CLAUDE_CONFIG_DIR"] = (home_ / "cl").string();
  variables_["COPILOT_HOME"] = (home_ / "co").string();
  variables_["CONTINUE_GLOBAL_DIR"] = (home_ / "cn").string();
  variables_["CLINE_DATA_DIR"] = "relative, so ignored";
  EXPECT_EQ(file("zed"), "xdg/zed/settings.json");
  EXPECT_EQ(file("vscode"), "xdg/Code/User/mcp.json");
  EXPECT_EQ(file("codex"), "cx/config.toml");
  EXPECT_EQ(file("claude-code"), "cl/.claude.json");
  EXPECT_EQ(file("copilot-cli"), "co/mcp-config.json");
  EXPECT_EQ(file("continue"), "cn/mcpServers/llm-mcp.json");
  EXPECT_EQ(file("cline"), ".cline/data/settings/cline_mcp_settings.json");
  variables_["CLINE_MCP_SETTINGS_PATH"] = (home_ / "c.json").string();
  EXPECT_EQ(file("cline"), "c.json");
}

TEST_F(Clients, OlderPlacesCountWhileNothingElseIsThere) {
  const std::string own = ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json";
  touch(own);
  EXPECT_EQ(file("cline"), own);
  touch(".cline/data/settings/cline_mcp_settings.json");
  EXPECT_EQ(file("cline"), ".cline/data/settings/cline_mcp_settings.json");
  touch(".cache/lm-studio/x");
  EXPECT_EQ(file("lm-studio"), ".cache/lm-studio/mcp.json");
  touch("elsewhere/x");
  touch(".lmstudio-home-pointer", (home_ / "elsewhere").string() + "\r\n");
  EXPECT_EQ(file("lm-studio"), "elsewhere/mcp.json");
  touch(".lmstudio-home-pointer", "/does/not/exist");
  EXPECT_EQ(file("lm-studio"), ".cache/lm-studio/mcp.json");
}

TEST_F(Clients, ArePresentWhenTheyLeftATrace) {
  EXPECT_FALSE(is_present(client("cursor")));
  touch(".cursor/x");
  EXPECT_TRUE(is_present(client("cursor")));
  EXPECT_FALSE(is_present(client("claude-code")));
  touch(".claude/x");
  EXPECT_TRUE(is_present(client("claude-code")));
}

TEST_F(Clients, EntriesHaveTheFormOfTheClient) {
  const ServerCommand command{.program = "/p", .arguments = {"stdio", "--standalone"}, .environment = {{"A", "1"}}};
  EXPECT_EQ(json::write(entry_of(client("cursor"), command)),
            R"({"command":"/p","args":["stdio","--standalone"],"env":{"A":"1"}})");
  EXPECT_EQ(json::write(entry_of(client("vscode"), {"/p", {"stdio"}, {}})),
            R"({"type":"stdio","command":"/p","args":["stdio"]})");
  EXPECT_EQ(json::write(entry_of(client("zed"), {"/p", {"stdio"}, {}})),
            R"({"source":"custom","command":"/p","args":["stdio"]})");
  EXPECT_EQ(json::write(entry_of(client("copilot-cli"), {"/p", {"stdio"}, {}})),
            R"({"type":"local","tools":["*"],"command":"/p","args":["stdio"]})");
}

TEST_F(Clients, UnknownOnesAreAnsweredWithTheNearest) {
  const auto all = find_clients([this](const std::string& name) -> std::optional<std::string> {
    return name == "HOME" ? std::optional(home_.string()) : std::nullopt;
  });
  const auto chosen = choose_client(*all, "claude");
  ASSERT_FALSE(chosen);
  EXPECT_THAT(chosen.error().message, HasSubstr("did you mean claude-code or claude-desktop?"));
  EXPECT_THAT(choose_client(*all, "vcsode").error().message, HasSubstr("vscode"));
  EXPECT_THAT(choose_client(*all, "emacs").error().message, HasSubstr("install --list"));
  EXPECT_FALSE(find_clients([](const std::string&) { return std::nullopt; }));
}

TEST_F(Clients, ServerNamesAreWhatEveryClientTakes) {
  EXPECT_TRUE(check_server_name("local-llm_2"));
  EXPECT_TRUE(check_server_name(std::string(64, 'a')));
  for (const std::string name : {"", "a b", "a.b", "ä", std::string(65, 'a').c_str()}) {
    EXPECT_FALSE(check_server_name(name)) << name;
  }
}

}  // namespace
}  // namespace llm::cli
