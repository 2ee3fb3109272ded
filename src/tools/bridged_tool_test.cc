#include "tools/bridged_tool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

#include "access/pattern.h"
#include "tools/circuit_breaker.h"

namespace llm::tools {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

json::object object(std::string_view text) {
  return json::parse(text)->as_object();
}

TEST(RemoteTool, KeepsWhatItsServerSays) {
  const auto read = read_remote_tool(object(R"({"name":"get","description":"Gets.","title":"Get it",
      "icons":[{"src":"https://x/i.png","mimeType":"image/png","sizes":["48x48"]},{"src":"file:///etc/passwd"}],
      "inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]},
      "outputSchema":{"type":"object","properties":{"m":{"type":"integer"}}},
      "annotations":{"readOnlyHint":true,"openWorldHint":false,"idempotentHint":true,"title":"other"}})"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->remote->name, "get");
  EXPECT_EQ(read->tool.title, "Get it");
  EXPECT_EQ(read->tool.description, "Gets.");
  EXPECT_EQ(read->tool.input_schema.at("required"), json::array{"n"});
  EXPECT_FALSE(read->tool.output_schema.empty());
  EXPECT_TRUE(read->tool.hints.read_only);
  EXPECT_TRUE(read->tool.hints.destructive);
  EXPECT_TRUE(read->tool.hints.idempotent);
  EXPECT_FALSE(read->tool.hints.open_world);
  ASSERT_EQ(read->tool.icons.size(), 1U);
  EXPECT_EQ(read->tool.icons[0].source, "https://x/i.png");
}

TEST(RemoteTool, ReadsOlderDialects) {
  const auto read =
      read_remote_tool(object(R"({"name":"t","inputSchema":{"$schema":"http://json-schema.org/draft-07/schema#",
      "type":"object","properties":{"pair":{"type":"array","items":[{"type":"string"},{"type":"integer"}],
      "additionalItems":false},"items":{"type":"array","items":{"enum":[{"items":[1]}]}}}}})"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(json::write(read->tool.input_schema.at("properties").at("pair")),
            R"({"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false})");
  EXPECT_EQ(json::write(read->tool.input_schema.at("properties").at("items").at("items")),
            R"({"enum":[{"items":[1]}]})");
  EXPECT_FALSE(read->tool.input_schema.contains("$schema"));
}

TEST(RemoteTool, RefusesSchemasThatCannotBeHeld) {
  for (const std::string_view tool :
       {R"({"name":"t"})", R"({"name":"t","inputSchema":{"type":"array"}})",
        R"({"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"nonsense"}}}})",
        R"({"name":"t","inputSchema":{"type":"object","$ref":"https://example.com/schema.json"}})",
        R"({"name":"t","inputSchema":{"type":"object","$schema":"https://example.com/own-dialect"}})",
        R"({"name":"t","inputSchema":{"type":"object"},"outputSchema":{"type":7}})",
        R"({"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"object","x-mcp-header":"A"}}}})"}) {
    EXPECT_FALSE(read_remote_tool(object(tool))) << tool;
  }
}

TEST(BridgedName, IsValidAndItsOwn) {
  const auto free = [](std::string_view) { return false; };
  EXPECT_EQ(bridged_name("fs", "read", free), "fs_read");
  EXPECT_EQ(bridged_name("", "read", free), "read");
  EXPECT_EQ(bridged_name("fs", "a b/ü", free), "fs_a_b___");
  const std::string longest = bridged_name("fs", std::string(300, 'x'), free);
  EXPECT_EQ(longest.size(), 128U);
  EXPECT_NE(longest, bridged_name("fs", std::string(301, 'x'), free));
  const std::set<std::string, std::less<>> taken{"fs_read", "fs_read_2", longest};
  const auto is_taken = [&](std::string_view name) { return taken.contains(name); };
  EXPECT_EQ(bridged_name("fs", "read", is_taken), "fs_read_3");
  EXPECT_EQ(bridged_name("fs", std::string(300, 'x'), is_taken).size(), 128U);
}

TEST(Offers, FollowsThePatterns) {
  BridgeSettings settings;
  EXPECT_TRUE(offers(settings, "anything"));
  settings.include = {"read_*", "list"};
  settings.exclude = {"*_secret"};
  EXPECT_TRUE(offers(settings, "read_file"));
  EXPECT_TRUE(offers(settings, "list"));
  EXPECT_FALSE(offers(settings, "lists"));
  EXPECT_FALSE(offers(settings, "read_secret"));
}

TEST(NamePattern, StarsStandForAnything) {
  EXPECT_TRUE(access::pattern_matches("*", ""));
  EXPECT_TRUE(access::pattern_matches("a*b*c", "a--b--b-c"));
  EXPECT_FALSE(access::pattern_matches("a*b*c", "a--b--b-"));
  EXPECT_FALSE(access::pattern_matches("", "a"));
  EXPECT_TRUE(access::pattern_matches("a**", "a"));
  EXPECT_FALSE(access::pattern_matches("*****************************************b", std::string(100'000, 'a')));
}

RemoteTool remote(std::string_view output = {}) {
  RemoteTool tool{.name = "t", .headers = {}, .output = {}};
  if (!output.empty()) tool.output = *json::Schema::compile(*json::parse(output));
  return tool;
}

TEST(RemoteResult, PassesAllContentOn) {
  const std::string_view content =
      R"([{"type":"image","data":"aGk=","mimeType":"image/png","annotations":{"audience":["user"]}},)"
      R"({"type":"text","text":"hi","_meta":{"a":1}},{"type":"resource_link","uri":"x:y","name":"n"},)"
      R"({"type":"resource","resource":{"uri":"x:z","text":"t"}},{"type":"audio","data":"aGk=","mimeType":"audio/wav"}])";
  auto result =
      read_remote_result(object(std::string(R"({"structuredContent":{"n":1},"content":)") + std::string(content) + "}"),
                         remote(), "bridge 'x'");
  ASSERT_TRUE(result);
  EXPECT_EQ(json::write(result->content), content);
  EXPECT_EQ(json::write(result->structured), R"({"n":1})");
  EXPECT_TRUE(result->text.empty());
  EXPECT_FALSE(result->is_error);
}

TEST(RemoteResult, AnErrorStaysOne) {
  const auto result = read_remote_result(object(R"({"isError":true,"content":[{"type":"text","text":"no"}]})"),
                                         remote(R"({"type":"object","required":["n"]})"), "b");
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->is_error);
}

TEST(RemoteResult, WhatBreaksItsOwnSchemaIsAnError) {
  const auto result = read_remote_result(object(R"({"content":[],"structuredContent":{"m":1}})"),
                                         remote(R"({"type":"object","required":["n"]})"), "bridge 'x'");
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->is_error);
  EXPECT_THAT(result->text, HasSubstr("bridge 'x'"));
}

TEST(RemoteResult, NonsenseIsRefused) {
  for (const std::string_view text : {"{}", R"({"resultType":"task","taskId":"x"})", R"({"content":"text"})"}) {
    EXPECT_FALSE(read_remote_result(object(text), remote(), "b")) << text;
  }
}

TEST(RemoteResult, QuestionsAreHandedOn) {
  const auto result = read_remote_result(
      object(R"({"resultType":"input_required","requestState":"s","inputRequests":{"k":{"method":"elicitation/create",
                 "params":{"message":"?"}}}})"),
      remote(), "b");
  ASSERT_TRUE(result && result->input_required);
  EXPECT_EQ(result->input_required->state, "s");
  EXPECT_EQ(result->input_required->requests.at("k").method, "elicitation/create");
  EXPECT_EQ(result->input_required->requests.at("k").params.at("message"), "?");
}

TEST(CircuitBreaker, OpensAfterFailuresInARowAndProbes) {
  const CircuitBreaker::Clock::time_point start{};
  CircuitBreaker breaker({.failures = 3, .pause = 60s});
  breaker.failed(start);
  breaker.failed(start);
  breaker.succeeded();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(breaker.refuses(start));
    breaker.failed(start);
  }
  EXPECT_EQ(breaker.refuses(start), 60s);
  EXPECT_EQ(breaker.refuses(start + 59s), 1s);
  EXPECT_FALSE(breaker.refuses(start + 60s));   // the probe …
  EXPECT_EQ(breaker.refuses(start + 61s), 0s);  // … and nothing beside it
  breaker.failed(start + 61s);
  EXPECT_EQ(breaker.refuses(start + 62s), 59s);
  EXPECT_FALSE(breaker.refuses(start + 121s));
  breaker.abandoned();
  EXPECT_FALSE(breaker.refuses(start + 121s));
  breaker.succeeded();
  EXPECT_FALSE(breaker.refuses(start + 121s));
  EXPECT_FALSE(breaker.refuses(start + 121s));
}

}  // namespace
}  // namespace llm::tools
