#include "cli/client_config_edit.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

#include "cli/client_config.h"

namespace llm::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr EntryPlace kPlace{"mcpServers", "local-llm"};

std::string bytes_of(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

json::object entry() {
  return {{"command", "/opt/llm-mcp"}, {"args", {"stdio"}}};
}

Client client_of(const std::string& id) {
  const auto env = [](const std::string& name) -> std::optional<std::string> {
    return name == "HOME" ? std::optional<std::string>("/nowhere") : std::nullopt;
  };
  auto client = choose_client(*find_clients(env), id);
  EXPECT_TRUE(client) << id;
  return client ? *client : Client{};
}

// "3:5: message" of an error with a place.
std::string place_and_message(const Error& error) {
  std::string out;
  for (const ErrorDetail& detail : error.details) out += std::to_string(std::get<std::int64_t>(detail.value)) + ":";
  return out + " " + error.message;
}

class ClientFiles : public ::testing::TestWithParam<fs::path> {};

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& one : fs::directory_iterator(fs::path(LLM_TESTDATA) / "client_config")) {
    if (one.is_directory()) out.push_back(one.path());
  }
  std::ranges::sort(out);
  return out;
}

TEST_P(ClientFiles, AreEditedAndRestored) {
  const fs::path& folder = GetParam();
  const std::string name = folder.filename().string();
  const Client client = client_of(name.substr(0, name.find('.')));
  const json::object wanted = entry_of(client, {.program = "/opt/llm-mcp", .arguments = {"stdio"}, .environment = {}});
  const std::string before = bytes_of(folder / "before");

  const auto after = set_entry(client, before, "local-llm", wanted);
  ASSERT_TRUE(after) << place_and_message(after.error());
  EXPECT_EQ(*after, bytes_of(folder / "after"));
  EXPECT_EQ(set_entry(client, *after, "local-llm", wanted), *after) << "a second run has nothing to do";
  const auto found = find_entry(client, *after, "local-llm");
  ASSERT_TRUE(found);
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ(**found, wanted);

  const fs::path back = folder / "back";
  EXPECT_EQ(remove_entry(client, *after, "local-llm").value_or("(error)"),
            bytes_of(fs::exists(back) ? back : folder / "before"));
  EXPECT_EQ(remove_entry(client, before, "local-llm"), before) << "nothing to remove";
}

INSTANTIATE_TEST_SUITE_P(All, ClientFiles, ::testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param.filename().string();
  std::ranges::replace_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

std::string set(std::string_view text, const json::object& wanted = entry()) {
  auto out = set_json_entry(text, kPlace, wanted);
  return out ? *out : "error " + place_and_message(out.error());
}
std::string remove(std::string_view text) {
  auto out = remove_json_entry(text, kPlace);
  return out ? *out : "error " + place_and_message(out.error());
}

TEST(JsonEntry, ChangesOnlyTheMembersThatDiffer) {
  const std::string before = R"({"mcpServers": {"local-llm": {
    // moved last week
    "command": "/old/llm-mcp", /* here */ "args": ["stdio"],
    "disabled": true,
    "env": {"A": "1", "B": "2"}
  }}})";
  std::string after = before;
  after.replace(after.find("/old"), 4, "/opt");
  EXPECT_EQ(set(before), after);
  EXPECT_EQ(set(after), after);
  json::object with_env = entry();
  with_env["env"] = json::object{{"B", "3"}, {"C", "4"}};
  EXPECT_THAT(set(after, with_env), HasSubstr(R"("env": {"A": "1", "B": "3", "C": "4"})"));
  EXPECT_TRUE(covers(**find_json_entry(after, kPlace), entry()));
  EXPECT_FALSE(covers(**find_json_entry(before, kPlace), entry()));
  EXPECT_FALSE(covers(**find_json_entry(after, kPlace), with_env));
}

TEST(JsonEntry, AnEntryThatIsNoObjectIsReplaced) {
  EXPECT_EQ(set(R"({"mcpServers": {"local-llm": null}})"),
            "{\"mcpServers\": {\"local-llm\": {\n  \"command\": \"/opt/llm-mcp\",\n  \"args\": [\"stdio\"]\n}}}");
}

TEST(JsonEntry, TheLastOfTwoContainersCounts) {
  const std::string out = set(R"({"mcpServers": {"a": {}}, "mcpServers": {"b": {}}})");
  EXPECT_THAT(out, ::testing::StartsWith(R"({"mcpServers": {"a": {}}, "mcpServers": {"b": {}, "local-llm": {)"));
}

TEST(JsonEntry, IsTakenOutWhereverItStands) {
  const std::string ours = R"("local-llm": {"command": "x", "args": []})";
  EXPECT_EQ(remove(R"({"mcpServers": {)" + ours + R"(, "b": {}}})"), R"({"mcpServers": { "b": {}}})");
  EXPECT_EQ(remove(R"({"mcpServers": {"a": {}, )" + ours + R"(, "b": {}}})"), R"({"mcpServers": {"a": {}, "b": {}}})");
  EXPECT_EQ(remove(R"({"mcpServers": {"a": {}, )" + ours + R"(}})"), R"({"mcpServers": {"a": {}}})");
  EXPECT_EQ(remove("{\"mcpServers\": {\n  // about a\n  \"a\": {}, // a\n  // about us\n  " + ours +
                   ", // us\n  // about b\n  \"b\": {}\n}}"),
            "{\"mcpServers\": {\n  // about a\n  \"a\": {}, // a\n  // about us\n  // us\n  // about b\n  \"b\": "
            "{}\n}}");
  EXPECT_EQ(remove("{\"mcpServers\": {\n  \"a\": {} /* a */,\n  " + ours + " // us\n}}"),
            "{\"mcpServers\": {\n  \"a\": {} /* a */\n  // us\n}}");
  EXPECT_EQ(remove("{\"mcpServers\": {\n  /* kept */\n  " + ours + ",\n}}"), "{\"mcpServers\": {\n  /* kept */\n}}");
}

TEST(JsonEntry, AContainerThatOthersShapedStays) {
  EXPECT_EQ(remove(R"({"mcpServers": {"local-llm": {"command": "x"}}, "z": 1})"), R"({"mcpServers": {}, "z": 1})");
}

TEST(JsonEntry, MistakesAreToldWithTheirPlace) {
  EXPECT_EQ(set("{\n  \"a\": 1\n  \"b\": 2\n}"), "error 3:3: expected a comma or \"}\"");
  EXPECT_EQ(set("{\"ö\": [1, 2}"), "error 1:12: expected a comma or \"]\"");
  EXPECT_EQ(set("{\"a\": }"), "error 1:7: expected a value");
  EXPECT_EQ(set("{'a': 1}"), "error 1:2: expected a name in double quotes");
  EXPECT_EQ(set("{\"a\" 1}"), "error 1:6: expected a colon");
  EXPECT_EQ(set("{\"a\": 01}"), "error 1:7: expected a value");
  EXPECT_EQ(set("{\"a\": \"\\x\"}"),
            "error 1:7: this text is no JSON string: look at its escapes and its encoding (UTF-8)");
  EXPECT_EQ(set("{\"a\": \"b"), "error 1:7: this text has no closing quote");
  EXPECT_EQ(set("{\"a\": \"b\n\"}"), "error 1:9: a line end or control character inside a text");
  EXPECT_EQ(set("\n/* open"), "error 2:1: this comment has no end");
  EXPECT_EQ(set("{} {}"), "error 1:4: expected the end of the file");
  EXPECT_EQ(set("{\"a\":"), "error 1:6: expected a value, got the end of the file");
  EXPECT_EQ(set("[]"), "error 1:1: the file does not hold a JSON object");
  EXPECT_EQ(set("{\n \"mcpServers\": []}"), "error 2:16: \"mcpServers\" is no object");
  EXPECT_EQ(set("\xEF\xBB\xBF{,}"), "error 1:2: expected a name in double quotes");
  EXPECT_EQ(remove("{"), "error 1:2: expected a name in double quotes");
  EXPECT_EQ(set(std::string(200, '[')), "error 1:62: more than 60 levels");
}

TEST(TomlEntry, ChangesOnlyTheValuesThatDiffer) {
  const EntryPlace place{"mcp_servers", "local-llm"};
  const std::string before =
      "[mcp_servers.\"local-llm\"] # ours\ncommand = '/old' # moved\nenabled = false\n\n"
      "[mcp_servers.local-llm.env]\nA = \"1\"\n\n[other]\nx = 1979-05-27 07:32:00Z\n";
  const std::string after =
      "[mcp_servers.\"local-llm\"] # ours\ncommand = \"/opt/llm-mcp\" # moved\nenabled = false\nargs = [\"stdio\"]\n\n"
      "[mcp_servers.local-llm.env]\nA = \"1\"\nB = \"2\"\n\n[other]\nx = 1979-05-27 07:32:00Z\n";
  json::object wanted = entry();
  wanted["env"] = json::object{{"B", "2"}};
  EXPECT_EQ(set_toml_entry(before, place, wanted), after);
  EXPECT_EQ(set_toml_entry(after, place, wanted), after);
  EXPECT_TRUE(covers(**find_toml_entry(after, place), wanted));
  EXPECT_EQ(remove_toml_entry(after, place).value_or("(error)"), "\n[other]\nx = 1979-05-27 07:32:00Z\n");
  const std::string in_line = "[mcp_servers.local-llm]\r\nenv = { A = \"1\" }";
  EXPECT_EQ(set_toml_entry(in_line, place, wanted).value_or("(error)"),
            "[mcp_servers.local-llm]\r\nenv = { A = \"1\", B = \"2\" }\r\ncommand = \"/opt/llm-mcp\"\r\nargs = "
            "[\"stdio\"]");
}

TEST(TomlEntry, OtherFormsAreLeftToTheUser) {
  const EntryPlace place{"mcp_servers", "local-llm"};
  for (const std::string text :
       {"mcp_servers = {}", "mcp_servers.local-llm.command = 'x'", "[mcp_servers]\nlocal-llm = {command = 'x'}",
        "[[mcp_servers.local-llm]]", "[mcp_servers.local-llm]\n[mcp_servers.'local-llm']"}) {
    const auto out = set_toml_entry(text, place, entry());
    ASSERT_FALSE(out) << text;
    EXPECT_EQ(out.error().code, ErrorCode::kConflict) << text;
    EXPECT_EQ(out.error().details.size(), 2U) << text;
  }
  json::object wanted = entry();
  wanted["env"] = json::object{{"B", "2"}};
  EXPECT_FALSE(set_toml_entry("[mcp_servers.local-llm]\nenv.A = '1'\n", place, wanted));
  EXPECT_TRUE(set_toml_entry("[mcp_servers.local-llm]\nenv.A = '1'\n", place, entry()));
}

TEST(TomlEntry, MistakesAreToldWithTheirPlace) {
  const EntryPlace place{"mcp_servers", "local-llm"};
  const auto error = [&](std::string_view text) {
    const auto out = set_toml_entry(text, place, entry());
    return out ? *out : place_and_message(out.error());
  };
  EXPECT_EQ(error("a = 1\nb = \n"), "2:5: expected a value");
  EXPECT_EQ(error("a = 'x\n'"), "1:5: this text has no closing quote");
  EXPECT_EQ(error("a = \"\"\"x"), "1:5: this text has no closing quote");
  EXPECT_EQ(error("a = [1, 2\n"), "1:5: this list has no end");
  EXPECT_EQ(error("a = {b = 1"), "1:5: this table has no end");
  EXPECT_EQ(error("[a"), "1:3: expected \"]\"");
  EXPECT_EQ(error("[a] b = 1"), "1:5: expected the end of the line");
  EXPECT_EQ(error("a b = 1"), "1:3: expected \"=\"");
  EXPECT_EQ(error("= 1"), "1:1: expected a key");
  EXPECT_EQ(error("a = \"\\q\""), "1:6: unknown escape");
  EXPECT_EQ(error("a = \"\\uD800\""), "1:6: no Unicode character");
}

TEST(Snippets, AreWholeFiles) {
  json::object wanted = entry();
  wanted["env"] = json::object{{"A", "ö \"\x7f"}};
  EXPECT_EQ(json_snippet(kPlace, wanted), *set_json_entry("", kPlace, wanted));
  const EntryPlace place{"mcp_servers", "local-llm"};
  EXPECT_EQ(toml_snippet(place, wanted), *set_toml_entry("", place, wanted));
  EXPECT_EQ(toml_snippet(place, wanted),
            "[mcp_servers.local-llm]\ncommand = \"/opt/llm-mcp\"\nargs = [\"stdio\"]\nenv = { A = \"ö \\\"\\u007F\" "
            "}\n");
}

}  // namespace
}  // namespace llm::cli
