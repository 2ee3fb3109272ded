#include "tools/bridge_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace llm::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Result<BridgeSettings> decode(std::string_view text) {
  return json::decode<BridgeSettings>(*json::parse(text));
}

std::string problem(std::string_view name, std::string_view text) {
  auto settings = decode(text);
  if (!settings) return to_string(settings.error());
  const auto checked = check_bridges({{std::string(name), *settings}}, "/mcp/bridges");
  return checked ? "" : to_string(checked.error());
}

TEST(BridgeSettings, TakesPrograms) {
  const auto settings = decode(R"({"command":"npx","args":["-y","server"],"env":{"A":"b"},"pass_env":["TOKEN"],
                                   "cwd":"/tmp","prefix":"fs","include":["read_*"],"timeout":"5m"})");
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->args, (std::vector<std::string>{"-y", "server"}));
  EXPECT_EQ(settings->env.at("A"), "b");
  EXPECT_EQ(settings->timeout.ms, 300'000);
  EXPECT_EQ(settings->prefix, "fs");
  EXPECT_TRUE(settings->enabled);
}

TEST(BridgeSettings, SaysWhatIsWrong) {
  EXPECT_EQ(problem("fs", R"({"command":"x"})"), "");
  EXPECT_EQ(problem("web", R"({"url":"https://example.com/mcp","token_env":"T"})"), "");
  EXPECT_EQ(problem("web", R"({"url":"http://localhost:1/mcp","token_env":"T"})"), "");
  EXPECT_EQ(problem("fs", "{}"), "a bridge needs a command or a url (at /mcp/bridges/fs/command)");
  EXPECT_THAT(problem("fs", R"({"command":"x","url":"http://x/"})"), HasSubstr("both set"));
  EXPECT_THAT(problem("web", R"({"url":"http://example.com/mcp","token_env":"T"})"), HasSubstr("https://"));
  EXPECT_THAT(problem("web", R"({"url":"https://x/","token_env":"T","token_file":"f"})"), HasSubstr("both set"));
  EXPECT_THAT(problem("web", R"({"url":"nonsense"})"), HasSubstr("/mcp/bridges/web/url"));
  EXPECT_THAT(problem("fs", R"({"command":"x","token_env":"T"})"), HasSubstr("belong to a url"));
  EXPECT_THAT(problem("my server", R"({"command":"x"})"), HasSubstr("expected a name"));
  EXPECT_THAT(problem("fs", R"({"command":"x","prefix":"a.b"})"), HasSubstr("/mcp/bridges/fs/prefix"));
  EXPECT_THAT(problem("fs", R"({"command":"x","comand":"y"})"), HasSubstr("comand"));
  EXPECT_THAT(problem("fs", R"({"command":"x","permission":"admn"})"), HasSubstr("/mcp/bridges/fs/permission"));
  EXPECT_THAT(problem("fs", R"({"command":"x","permission":""})"), HasSubstr("/mcp/bridges/fs/permission"));
}

TEST(BridgeSettings, SecretsAreNotShown) {
  auto settings = decode(R"({"url":"https://x/","env":{"KEY":"s3cret"},"headers":{"X-Key":"s3cret"}})");
  ASSERT_TRUE(settings);
  EXPECT_THAT(json::write(json::encode(*settings, {.redact_secrets = true})), Not(HasSubstr("s3cret")));
}

TEST(BridgeUrls, AreReadWithAndWithoutNames) {
  BridgeMap bridges;
  bridges["kept"].command = "x";
  const auto added = add_bridge_urls(
      bridges,
      "http://127.0.0.1:9001/mcp, docs=https://example.com/mcp?a=b;http://127.0.0.1:9001/other,kept=http://x/");
  ASSERT_TRUE(added) << added.error().message;
  std::map<std::string, std::string> urls;
  for (const auto& [name, bridge] : bridges) urls[name] = bridge.url;
  EXPECT_THAT(urls, ElementsAre(Pair("127-0-0-1-9001", "http://127.0.0.1:9001/mcp"),
                                Pair("127-0-0-1-9001-2", "http://127.0.0.1:9001/other"),
                                Pair("docs", "https://example.com/mcp?a=b"), Pair("kept", "")));
  EXPECT_TRUE(add_bridge_urls(bridges, " ,; "));
  EXPECT_FALSE(add_bridge_urls(bridges, "not a url"));
  EXPECT_FALSE(add_bridge_urls(bridges, "a b=http://x/"));
}

}  // namespace
}  // namespace llm::tools
