#include "inference/model_rights.h"

#include <gtest/gtest.h>

#include "access/identity.h"

namespace llm::inference {
namespace {

using access::Permission;
using access::Rule;

access::Principal limited_to(std::vector<std::string> models) {
  auto identity = std::make_shared<access::Identity>();
  identity->id = "key:k1";
  identity->project = std::make_shared<access::Project>();
  identity->rules = std::make_shared<std::vector<Rule>>(
      std::vector<Rule>{{.permissions = {Permission::kGenerate, Permission::kModelsRead}}});
  identity->models = std::make_shared<std::vector<std::string>>(std::move(models));
  return {.id = "key:k1", .identity = identity};
}

TEST(ModelRights, TheLocalUserMayEverything) {
  EXPECT_TRUE(check_model_right({}, Permission::kAdmin, "anything", ""));
}

TEST(ModelRights, ARightOnTheModelOrOnTheNameThatWasUsedIsEnough) {
  const auto llama = limited_to({"llama3*"});
  EXPECT_TRUE(check_model_right(llama, Permission::kGenerate, "llama3", "llama3:latest"));
  EXPECT_TRUE(check_model_right(llama, Permission::kGenerate, "prod", "llama3:8b"));
  EXPECT_TRUE(check_model_right(limited_to({"prod"}), Permission::kGenerate, "prod", "llama3:8b"));
  EXPECT_FALSE(check_model_right(llama, Permission::kGenerate, "prod", "qwen3:8b"));
  EXPECT_FALSE(check_model_right(llama, Permission::kModelsWrite, "llama3", "llama3:latest"));
}

TEST(ModelRights, WhatIsNotTheCallersBusinessAnswersTheSameWhetherItExistsOrNot) {
  const auto llama = limited_to({"llama3*"});
  const auto there = check_model_right(llama, Permission::kGenerate, "secret", "secret:latest");
  const auto not_there = check_model_right(llama, Permission::kGenerate, "secret", "");
  ASSERT_FALSE(there);
  ASSERT_FALSE(not_there);
  EXPECT_EQ(there.error(), not_there.error());
  EXPECT_EQ(there.error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(there.error().pointer, "/model");
}

TEST(ModelRights, TheDefaultModelNeedsARightToo) {
  const auto refused = check_model_right(limited_to({"llama3"}), Permission::kGenerate, "", "qwen3:8b");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("name another"), std::string::npos);
}

}  // namespace
}  // namespace llm::inference
