// Every tool, resource and prompt against every built-in role: who sees it, and that nobody else does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "mcp/principal_under_test.h"
#include "tools/tools_under_test.h"

namespace llm::tools {
namespace {

using access::Permission;

// As docs/access.md tells it.
const std::map<std::string, std::set<Permission>>& rights() {
  using enum Permission;
  static const std::map<std::string, std::set<Permission>> kRights{
      {"admin", {kAuthenticated, kGenerate, kModelsRead, kModelsWrite, kEnginesRead, kAdmin}},
      {"operator", {kAuthenticated, kGenerate, kModelsRead, kModelsWrite, kEnginesRead}},
      {"user", {kAuthenticated, kGenerate, kModelsRead}},
      {"viewer", {kAuthenticated, kModelsRead, kEnginesRead}},
      {"nobody", {kAuthenticated}},
  };
  return kRights;
}

class Permissions : public ToolsUnderTest {};

TEST_F(Permissions, EveryToolIsOpenToWhoHasItsPermissionAlone) {
  for (const auto& [role, may] : rights()) {
    const auto caller = mcp::with_role(role);
    for (const auto& tool : server_->tools().tools()->tools) {
      const Membership* member = membership(tool->tool.name);
      ASSERT_NE(member, nullptr) << tool->tool.name;
      EXPECT_EQ(tool->tool.open_to(caller), may.contains(member->permission)) << role << " " << tool->tool.name;
      EXPECT_NE(member->permission, Permission::kPublic) << tool->tool.name;
    }
  }
}

TEST_F(Permissions, TheToolsetOriginalTooByItsOperations) {
  use({.toolsets = {Toolset::kOriginal}});
  const std::map<std::string, std::set<std::string>> hidden{
      {"admin", {}},
      {"operator", {}},
      {"user", {"llm_gpu", "llm_vllm"}},
      {"viewer", {"llm_generation", "llm_multimodal"}},
  };
  for (const auto& [role, names] : hidden) {
    const auto caller = mcp::with_role(role);
    for (const auto& tool : server_->tools().tools()->tools) {
      EXPECT_EQ(tool->tool.open_to(caller), !names.contains(tool->tool.name)) << role << " " << tool->tool.name;
    }
  }
  std::set<std::string> open;
  for (const auto& tool : server_->tools().tools()->tools) {
    if (tool->tool.open_to(mcp::with_role("nobody"))) open.insert(tool->tool.name);
  }
  EXPECT_THAT(open, testing::UnorderedElementsAre("llm_help", "llm_health")) << "both tell which tools one has";
}

TEST_F(Permissions, ResourcesAndPrompts) {
  const auto resources = server_->resources().resources();
  for (const auto& [role, may] : rights()) {
    const auto caller = mcp::with_role(role);
    for (const auto& prompt : *server_->prompts().prompts()) {
      EXPECT_EQ(caller.may(prompt->permission), may.contains(Permission::kGenerate)) << role << " " << prompt->name;
    }
    for (const auto& one : resources->fixed) {
      EXPECT_EQ(caller.may(one.info.permission), may.contains(one.info.permission)) << role << " " << one.info.uri;
      EXPECT_TRUE(one.info.permission == Permission::kModelsRead || one.info.permission == Permission::kEnginesRead);
    }
    for (const auto& one : resources->templates) {
      EXPECT_EQ(caller.may(one.info.permission), may.contains(one.info.permission)) << role << " " << one.info.name;
      EXPECT_TRUE(one.info.watchable) << one.info.name;
    }
  }
}

// A scope narrows a role, never widens it.
TEST_F(Permissions, ScopesNarrow) {
  auto narrow = *mcp::with_role("admin").identity;
  narrow.scopes = access::scopes("models:read");
  const access::Principal caller{.id = "key:narrow",
                                 .identity = std::make_shared<const access::Identity>(std::move(narrow))};
  EXPECT_TRUE(find("llm_list_models")->tool.open_to(caller));
  EXPECT_FALSE(find("llm_chat")->tool.open_to(caller));
  EXPECT_FALSE(find("llm_remove_model")->tool.open_to(caller));
}

}  // namespace
}  // namespace llm::tools
