#include "mcp/tool_registry.h"

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
  EXPECT_THAT(tools.names(), ElementsAre("zebra", "ant"));
  EXPECT_EQ(tools.find("ant")->name, "ant");
  EXPECT_EQ(tools.find("bee"), nullptr);
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
  EXPECT_EQ(tools.size(), 2U);
}

// Conformance "json-schema-2020-12" looks at every keyword of a listed schema.
TEST(ToolRegistry, ListsSchemasAsTheyWereGiven) {
  const std::string schema =
      R"({"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"a":{"$anchor":"b"}},)"
      R"("properties":{"x":{"$ref":"#/$defs/a","x-mcp-header":"Region"}},"if":{},"then":{},"additionalProperties":false})";
  ToolRegistry tools;
  Tool exact = tool("exact");
  exact.input_schema = json::parse(schema)->get_object();
  ASSERT_TRUE(tools.add(exact));
  for (const Revision& revision : revisions()) {
    EXPECT_THAT(tools.listing(revision), HasSubstr("\"inputSchema\":" + schema));
  }
}

TEST(ToolRegistry, AnEmptyListIsAList) {
  const ToolRegistry tools;
  for (const Revision& revision : revisions()) EXPECT_EQ(tools.listing(revision), "[]");
}

}  // namespace
}  // namespace llm::mcp
