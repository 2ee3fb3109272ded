#include "mcp/registry.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

#include "mcp/example_tools.h"

namespace llm::mcp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tool tool(std::string name) {
  return {.name = std::move(name), .input_schema = example::no_arguments(), .handler = example::nothing};
}

TEST(ToolRegistry, KeepsTheOrderOfAddition) {
  ToolRegistry tools;
  ASSERT_TRUE(tools.add(tool("zebra")));
  ASSERT_TRUE(tools.add(tool("ant")));
  EXPECT_THAT(tools.tools()->names(), ElementsAre("zebra", "ant"));
  EXPECT_EQ(tools.tools()->by_name.at("ant")->tool.name, "ant");
  EXPECT_FALSE(tools.tools()->by_name.contains("bee"));
}

TEST(ToolRegistry, RefusesUnusableTools) {
  ToolRegistry tools;
  EXPECT_EQ(tools.add(tool("")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(tools.add(tool("a b")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(tools.add(tool(std::string(128, 'x'))));
  EXPECT_FALSE(tools.add(tool(std::string(129, 'x'))));
  EXPECT_TRUE(tools.add(tool("a.B-3_c")));
  EXPECT_EQ(tools.add(tool("a.B-3_c")).error().code, ErrorCode::kAlreadyExists);
  Tool schemaless = tool("schemaless");
  schemaless.input_schema = {};
  EXPECT_THAT(tools.add(schemaless).error().message, HasSubstr("object"));
  Tool idle = tool("idle");
  idle.handler = nullptr;
  EXPECT_THAT(tools.add(idle).error().message, HasSubstr("handler"));
  EXPECT_EQ(tools.tools()->tools.size(), 2U);
}

// Conformance "json-schema-2020-12" looks at every keyword of a listed schema.
TEST(ToolRegistry, ListsSchemasAsTheyWereGiven) {
  const std::string schema =
      R"({"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"a":{"$anchor":"b"}},)"
      R"("properties":{"x":{"$ref":"#/$defs/a","type":"string","x-mcp-header":"Region"}},"if":{},"then":{},"additionalProperties":false})";
  ToolRegistry tools;
  Tool exact = tool("exact");
  exact.input_schema = json::parse(schema)->get_object();
  ASSERT_TRUE(tools.add(exact));
  for (const Revision& revision : revisions()) {
    EXPECT_THAT(tools.tools()->listings[revision.index], HasSubstr("\"inputSchema\":" + schema));
  }
}

TEST(ToolRegistry, RefusesSchemasThatDoNotCompile) {
  ToolRegistry tools;
  Tool wrong = tool("wrong");
  wrong.input_schema["properties"] = json::object{{"x", json::object{{"type", "strnig"}}}};
  const auto error = tools.add(wrong).error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("wrong"));
  EXPECT_THAT(error.pointer, HasSubstr("/properties/x/type"));
  Tool far = tool("far");
  far.output_schema = {{"$ref", "https://example.com/schema.json"}};
  EXPECT_FALSE(tools.add(far));
}

TEST(ToolRegistry, CallsToolsByTheirAliases) {
  ToolRegistry tools;
  Tool one = tool("one");
  one.aliases = {"uno", "eins"};
  ASSERT_TRUE(tools.add(one));
  EXPECT_EQ(tools.tools()->by_name.at("eins")->tool.name, "one");
  EXPECT_THAT(tools.tools()->names(), ElementsAre("one"));
  EXPECT_EQ(tools.add(tool("uno")).error().code, ErrorCode::kAlreadyExists);
}

TEST(ToolRegistry, ReplacesAGroupAtOnceAndTellsOfIt) {
  const Changes changes;
  int told = 0;
  const auto subscription = changes.listen([&](const auto& change) { told += change->kind == Change::Kind::kTools; });
  ToolRegistry tools(&changes);
  ASSERT_TRUE(tools.add(tool("own")));
  ASSERT_TRUE(tools.replace("bridge", {tool("a"), tool("b")}));
  const auto before = tools.tools();
  ASSERT_TRUE(tools.add(tool("late")));
  EXPECT_THAT(tools.tools()->names(), ElementsAre("own", "late", "a", "b"));
  EXPECT_EQ(tools.replace("bridge", {tool("own")}).error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(tools.tools()->names(), ElementsAre("own", "late", "a", "b"));
  ASSERT_TRUE(tools.replace("bridge", {tool("c")}));
  EXPECT_THAT(tools.tools()->names(), ElementsAre("own", "late", "c"));
  EXPECT_THAT(before->names(), ElementsAre("own", "a", "b"));  // who holds an older state keeps it
  EXPECT_EQ(told, 4);
}

TEST(HeaderParameters, AreFoundInNestedProperties) {
  const auto schema = json::parse(
      R"({"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"integer","x-mcp-header":"B"}}},)"
      R"("c":{"type":"string","x-mcp-header":"Sea"}}})");
  const auto found = header_parameters(schema->get_object());
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].header, "Mcp-Param-B");
  EXPECT_THAT((*found)[0].path, ElementsAre("a", "b"));
  EXPECT_EQ((*found)[1].header, "Mcp-Param-Sea");
}

TEST(HeaderParameters, AreRefusedWhereTheyCannotWork) {
  const auto refused = [](std::string_view property) {
    const auto schema = json::parse(fmt::format(R"({{"properties":{{"x":{}}}}})", property));
    return header_parameters(schema->get_object()).error().pointer;
  };
  EXPECT_EQ(refused(R"({"type":"array","x-mcp-header":"X"})"), "/properties/x/x-mcp-header");
  EXPECT_EQ(refused(R"({"type":"string","x-mcp-header":"a b"})"), "/properties/x/x-mcp-header");
  EXPECT_EQ(refused(R"({"type":"string","x-mcp-header":5})"), "/properties/x/x-mcp-header");
  const auto twice = json::parse(
      R"({"properties":{"x":{"type":"string","x-mcp-header":"Same"},"y":{"type":"string","x-mcp-header":"same"}}})");
  EXPECT_EQ(header_parameters(twice->get_object()).error().pointer, "/properties/y/x-mcp-header");
}

TEST(UriTemplate, Matches) {
  using Variables = std::map<std::string, std::string, std::less<>>;
  EXPECT_EQ(match_template("a://{x}", "a://one"), (Variables{{"x", "one"}}));
  EXPECT_EQ(match_template("a://{x}/data", "a://one%20two/data"), (Variables{{"x", "one two"}}));
  EXPECT_EQ(match_template("a://{x}-{y}", "a://1-2"), (Variables{{"x", "1"}, {"y", "2"}}));
  EXPECT_EQ(match_template("a://{+path}/end", "a://b/c/end"), (Variables{{"path", "b/c"}}));
  EXPECT_EQ(match_template("a://x", "a://x"), Variables{});
  EXPECT_FALSE(match_template("a://{x}", "a://one/two"));
  EXPECT_FALSE(match_template("a://{x}", "a://"));
  EXPECT_FALSE(match_template("a://{x}", "b://one"));
  EXPECT_FALSE(match_template("a://{x}", "a://%ff"));
  EXPECT_FALSE(match_template("a://{x", "a://one"));
}

TEST(ToolRegistry, AnEmptyListIsAList) {
  const ToolRegistry tools;
  for (const Revision& revision : revisions()) EXPECT_EQ(tools.tools()->listings[revision.index], "[]");
}

}  // namespace
}  // namespace llm::mcp
