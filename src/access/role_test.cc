#include "access/role.h"

#include <gtest/gtest.h>

namespace llm::access {
namespace {

using P = Permission;

PermissionSet permissions_of(std::string_view name) {
  for (const Role& role : built_in_roles()) {
    if (role.name != name) continue;
    EXPECT_TRUE(role.built_in);
    EXPECT_EQ(role.rules->size(), 1U);
    EXPECT_TRUE(role.rules->front().models.empty());
    return role.rules->front().permissions;
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(Role, BuiltIn) {
  EXPECT_EQ(built_in_roles().size(), 4U);
  EXPECT_EQ(permissions_of("admin"), PermissionSet::all());
  const PermissionSet operates = permissions_of("operator");
  EXPECT_TRUE(operates.has(P::kModelsWrite));
  EXPECT_TRUE(operates.has(P::kGenerate));
  for (const P never : {P::kAdmin, P::kKeysRead, P::kKeysWrite, P::kAuditRead}) EXPECT_FALSE(operates.has(never));
  EXPECT_EQ(permissions_of("user"), (PermissionSet{P::kGenerate, P::kModelsRead}));
  const PermissionSet views = permissions_of("viewer");
  for (const P never : {P::kGenerate, P::kModelsWrite, P::kKeysRead, P::kAdmin}) EXPECT_FALSE(views.has(never));
  EXPECT_TRUE(operates.contains(views));
}

TEST(Role, JsonGoesBothWays) {
  const auto document = json::parse(R"({"description": "writers", "rules": [
      {"permissions": ["generate", "models:read"], "models": ["llama3*", "qwen"]},
      {"permissions": ["usage:read"]}], "caps": {"max_choices": 2, "max_schema_bytes": "4KiB"}})");
  const auto role = role_from_json("writer", *document);
  ASSERT_TRUE(role) << to_string(role.error());
  EXPECT_EQ(role->name, "writer");
  EXPECT_FALSE(role->built_in);
  ASSERT_EQ(role->rules->size(), 2U);
  EXPECT_EQ(role->rules->at(0), (Rule{{P::kGenerate, P::kModelsRead}, {"llama3*", "qwen"}}));
  EXPECT_EQ(role->rules->at(1), (Rule{{P::kUsageRead}, {}}));
  ASSERT_TRUE(role->caps);
  EXPECT_EQ(role->caps->max_choices, 2U);
  EXPECT_EQ(role->caps->max_schema_bytes.bytes, 4096U);

  const auto again = role_from_json("writer", role_to_json(*role));
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_EQ(*again->rules, *role->rules);
  EXPECT_EQ(*again->caps, *role->caps);
  EXPECT_EQ(again->description, "writers");
}

TEST(Role, BuiltInRolesCanBeWrittenToo) {
  for (const Role& role : built_in_roles()) {
    const auto again = role_from_json(role.name, role_to_json(role));
    ASSERT_TRUE(again) << to_string(again.error());
    EXPECT_EQ(*again->rules, *role.rules);
  }
}

TEST(Role, ErrorsSayWhere) {
  struct Case {
    const char* text;
    const char* pointer;
  };
  const Case cases[] = {
      {R"({})", "/rules"},
      {R"({"rules": []})", "/rules"},
      {R"({"rules": [{"permissions": []}]})", "/rules/0/permissions"},
      {R"({"rules": [{"permissions": ["generate"]}, {"permissions": ["generate", "fly"]}]})", "/rules/1/permissions/1"},
      {R"({"rules": [{"permissions": ["public"]}]})", "/rules/0/permissions/0"},
      {R"({"rules": [{"permissions": ["admin"], "models": ["llama3"]}]})", "/rules/0/models"},
      {R"({"rules": [{"permissions": ["generate"], "models": [""]}]})", "/rules/0/models/0"},
      {R"({"rules": [{"permissions": ["generate"], "model": "llama3"}]})", "/rules/0/model"},
      {R"({"rules": [{"permissions": ["generate"]}], "caps": {"max_choices": -1}})", "/caps/max_choices"},
      {R"({"rules": [{"permissions": ["generate"]}], "built_in": true})", "/built_in"},
  };
  for (const Case& c : cases) {
    const auto role = role_from_json("r", *json::parse(c.text));
    ASSERT_FALSE(role) << c.text;
    EXPECT_EQ(role.error().code, ErrorCode::kInvalidArgument) << c.text;
    EXPECT_EQ(role.error().pointer, c.pointer) << c.text;
  }
}

}  // namespace
}  // namespace llm::access
