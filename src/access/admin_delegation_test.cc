#include <gtest/gtest.h>

#include "access/admin_under_test.h"
#include "access/timestamp.h"

// Nobody hands out more than it has, and nobody but an admin leaves its project.
namespace llm::access {
namespace {

using Under = AdminUnderTest;

struct Delegating : Under {
  Delegating() {
    project("red");
    project("blue");
    role("lead", R"({"rules": [{"permissions": ["generate", "models:read", "keys:read", "keys:write"]}]})");
    role("llama-lead",
         R"({"rules": [{"permissions": ["generate", "keys:read", "keys:write"], "models": ["llama*"]}]})");
    role("generous", R"({"rules": [{"permissions": ["generate"]}], "caps": {"max_choices": 100}})");
    refresh();
  }
};

TEST(AdminDelegation, WhatALeadMayHandOut) {
  Delegating under;
  const Principal lead = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  struct Case {
    const char* request;
    const char* outcome;
  };
  const Case cases[] = {
      {R"({"name": "a"})", "ok"},
      {R"({"name": "a", "project": "red", "role": "user"})", "ok"},
      {R"({"name": "a", "role": "lead"})", "ok"},
      {R"({"name": "a", "role": "llama-lead"})", "ok"},
      {R"({"name": "a", "project": "blue"})", "permission_denied /project"},
      {R"({"name": "a", "project": "default"})", "permission_denied /project"},
      {R"({"name": "a", "project": "nowhere"})", "permission_denied /project"},
      {R"({"name": "a", "role": "admin"})", "permission_denied /role"},
      {R"({"name": "a", "role": "operator"})", "permission_denied /role"},
      {R"({"name": "a", "role": "viewer"})", "permission_denied /role"},
      {R"({"name": "a", "role": "operator", "scopes": ["generate"]})", "ok"},
      {R"({"name": "a", "role": "admin", "scopes": ["generate", "audit:read"]})", "permission_denied /role"},
      {R"({"name": "a", "role": "generous"})", "permission_denied /role"},
      {R"({"name": "a", "limits": {"concurrent": 1000}})", "permission_denied /limits/concurrent"},
      {R"({"name": "a", "weight": 5})", "permission_denied /weight"},
      {R"({"name": "a", "priority": "batch", "weight": 0.5})", "ok"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(outcome(under.admin.create_key(Under::object(c.request), lead)), c.outcome) << c.request;
  }
}

TEST(AdminDelegation, WhatIsNarrowStaysNarrow) {
  Delegating under;
  const Principal lead = under.holder(
      R"({"name": "lead", "role": "lead", "project": "red", "models": ["llama*"], "addresses": ["10.0.0.0/8"],
          "expires": "30d", "priority": "batch", "weight": 0.5,
          "limits": {"concurrent": 4, "requests": {"count": 60, "window": "1m"}, "tokens_per_day": 1000}})");
  // What is left open is what the giver has.
  const auto open = under.admin.create_key(Under::object(R"({"name": "a"})"), lead);
  ASSERT_TRUE(open) << to_string(open.error());
  EXPECT_EQ(open->at("project"), "red");
  EXPECT_EQ(open->at("models"), json::value(json::array{"llama*"}));
  EXPECT_EQ(open->at("addresses"), json::value(json::array{"10.0.0.0/8"}));
  EXPECT_EQ(open->at("expires"), json::value(format_time(kStart + 30LL * 86'400'000)));
  EXPECT_EQ(open->at("priority"), "batch");
  EXPECT_EQ(open->at("weight"), 0.5);
  EXPECT_EQ(open->at("limits").at("concurrent"), 4);
  EXPECT_EQ(open->at("limits").at("tokens_per_day"), 1000);
  struct Case {
    const char* request;
    const char* outcome;
  };
  const Case cases[] = {
      {R"({"name": "a", "models": ["llama3", "llama3:8b"]})", "ok"},
      {R"({"name": "a", "models": ["qwen"]})", "permission_denied /role"},
      {R"({"name": "a", "models": ["*"]})", "permission_denied /role"},
      {R"({"name": "a", "addresses": ["10.1.0.0/16"]})", "ok"},
      {R"({"name": "a", "addresses": ["10.1.0.0/16", "11.0.0.0/8"]})", "permission_denied /addresses/1"},
      {R"({"name": "a", "addresses": ["0.0.0.0/0"]})", "permission_denied /addresses/0"},
      {R"({"name": "a", "expires": "29d"})", "ok"},
      {R"({"name": "a", "expires": "31d"})", "permission_denied /expires"},
      {R"({"name": "a", "priority": "interactive"})", "permission_denied /priority"},
      {R"({"name": "a", "weight": 0.6})", "permission_denied /weight"},
      {R"({"name": "a", "limits": {"concurrent": 4}})", "ok"},
      {R"({"name": "a", "limits": {"concurrent": 5}})", "permission_denied /limits/concurrent"},
      {R"({"name": "a", "limits": {"requests": {"count": 1, "window": "1s"}}})", "ok"},
      {R"({"name": "a", "limits": {"requests": {"count": 61, "window": "1m"}}})", "permission_denied /limits/requests"},
      {R"({"name": "a", "limits": {"requests": {"count": 60, "window": "1m", "burst": 61}}})",
       "permission_denied /limits/requests"},
      {R"({"name": "a", "limits": {"tokens_per_day": 1001}})", "permission_denied /limits/tokens_per_day"},
      {R"({"name": "a", "limits": {"tokens_per_month": 1}})", "permission_denied /limits/tokens_per_month"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(outcome(under.admin.create_key(Under::object(c.request), lead)), c.outcome) << c.request;
  }
}

TEST(AdminDelegation, NobodyTakesOverAStrongerKey) {
  Delegating under;
  const Principal lead = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  const std::string strong = Under::text(
      under.admin.create_key(Under::object(R"({"name": "s", "role": "operator", "project": "red"})"), under.local),
      "id");
  under.holder(R"({"name": "keep", "role": "admin"})");
  EXPECT_EQ(outcome(under.admin.show_key(strong, lead)), "ok");
  EXPECT_EQ(outcome(under.admin.rotate_key(strong, {}, lead)), "permission_denied");
  EXPECT_EQ(outcome(under.admin.revoke_key(strong, {}, lead)), "permission_denied");
  EXPECT_EQ(outcome(under.admin.update_key(strong, Under::object(R"({"name": "mine"})"), lead)), "permission_denied");
  // Its own kind it may manage, but not lift.
  const std::string weak = Under::text(under.admin.create_key(Under::object(R"({"name": "w"})"), lead), "id");
  EXPECT_EQ(outcome(under.admin.rotate_key(weak, {}, lead)), "ok");
  EXPECT_EQ(outcome(under.admin.update_key(weak, Under::object(R"({"role": "operator"})"), lead)),
            "permission_denied /role");
  EXPECT_EQ(outcome(under.admin.update_key(weak, Under::object(R"({"role": "lead"})"), lead)), "ok");
  EXPECT_EQ(outcome(under.admin.update_key(lead.identity->key_id, Under::object(R"({"role": "admin"})"), lead)),
            "permission_denied /role");
  EXPECT_EQ(outcome(under.admin.revoke_key(weak, {}, lead)), "ok");
}

TEST(AdminDelegation, NobodyLiftsItsOwnRestrictions) {
  Delegating under;
  const Principal lead = under.holder(
      R"({"name": "lead", "role": "lead", "project": "red", "models": ["llama*"], "addresses": ["10.0.0.0/8"],
          "expires": "30d", "limits": {"concurrent": 4}})");
  const std::string own = lead.identity->key_id;
  for (const auto& [request, expected] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"models": ["*"]})", "permission_denied /role"},
           {R"({"addresses": ["0.0.0.0/0"]})", "permission_denied /addresses/0"},
           {R"({"expires": "90d"})", "permission_denied /expires"},
           {R"({"limits": {"concurrent": 5}})", "permission_denied /limits/concurrent"}}) {
    EXPECT_EQ(outcome(under.admin.update_key(own, Under::object(request), lead)), expected) << request;
  }
  // Clearing them leaves them as they were.
  const auto cleared = under.admin.update_key(
      own, Under::object(R"({"models": [], "addresses": [], "expires": "never", "limits": {}})"), lead);
  ASSERT_TRUE(cleared) << to_string(cleared.error());
  EXPECT_EQ(cleared->at("models"), json::value(json::array{"llama*"}));
  EXPECT_EQ(cleared->at("addresses"), json::value(json::array{"10.0.0.0/8"}));
  EXPECT_TRUE(cleared->contains("expires"));
  EXPECT_EQ(cleared->at("limits").at("concurrent"), 4);
}

TEST(AdminDelegation, OtherProjectsDoNotExistForALead) {
  Delegating under;
  const Principal lead = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  const std::string foreign =
      Under::text(under.admin.create_key(Under::object(R"({"name": "b", "project": "blue"})"), under.local), "id");
  under.user("bob", "blue");
  const auto unknown = under.admin.show_key("0123456789abcdef", lead);
  EXPECT_EQ(under.admin.show_key(foreign, lead), unknown);
  EXPECT_EQ(under.admin.rotate_key(foreign, {}, lead), unknown);
  EXPECT_EQ(under.admin.revoke_key(foreign, {}, lead), unknown);
  EXPECT_EQ(under.admin.update_key(foreign, Under::object(R"({"name": "x"})"), lead), unknown);
  EXPECT_EQ(under.admin.list_keys({}, lead)->at("keys").as_array().size(), 1U);
  EXPECT_EQ(under.admin.list_keys({{"project", "blue"}}, lead)->at("keys").as_array().size(), 0U);
  EXPECT_EQ(outcome(under.admin.show_project("blue", lead)), "not_found");
  EXPECT_EQ(outcome(under.admin.show_project("red", lead)), "ok");
  EXPECT_EQ(under.admin.list_projects(lead)->at("projects").as_array().size(), 1U);
  EXPECT_EQ(under.admin.show_user("bob", lead), under.admin.show_user("nobody", lead));
  EXPECT_EQ(outcome(under.admin.disable_user("bob", lead)), "not_found");
  EXPECT_EQ(under.admin.list_users({}, lead)->at("users").as_array().size(), 0U);
  EXPECT_EQ(outcome(under.admin.usage({{"project", "blue"}}, lead)), "permission_denied /project");
  EXPECT_EQ(outcome(under.admin.audit({{"project", "blue"}}, lead)), "permission_denied /project");
}

TEST(AdminDelegation, ProjectsAndRolesAreAnAdmins) {
  Delegating under;
  const Principal lead = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  const Principal narrow = under.holder(R"({"name": "narrow", "role": "admin", "models": ["llama*"]})");
  const auto rules = R"({"name": "mine", "rules": [{"permissions": ["generate"]}]})";
  EXPECT_EQ(outcome(under.admin.create_project(Under::object(R"({"id": "green"})"), lead)), "permission_denied");
  EXPECT_EQ(outcome(under.admin.update_project("red", Under::object(R"({"weight": 9})"), lead)), "permission_denied");
  EXPECT_EQ(outcome(under.admin.disable_project("red", lead)), "permission_denied");
  for (const Principal& who : {lead, narrow}) {
    EXPECT_EQ(outcome(under.admin.create_role(Under::object(rules), who)), "permission_denied");
    EXPECT_EQ(outcome(under.admin.update_role("generous", Under::object(R"({"description": "x"})"), who)),
              "permission_denied");
    EXPECT_EQ(outcome(under.admin.remove_role("generous", who)), "permission_denied");
  }
  // An admin narrowed to models hands out no more than that.
  EXPECT_EQ(
      outcome(under.admin.create_key(Under::object(R"({"name": "x", "role": "admin", "models": ["*"]})"), narrow)),
      "permission_denied /role");
  const auto made = under.admin.create_key(Under::object(R"({"name": "x", "role": "admin"})"), narrow);
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_EQ(made->at("models"), json::value(json::array{"llama*"}));
}

TEST(AdminDelegation, ATokenHandsOutNoMoreThanItsScopes) {
  Delegating under;
  const Principal key = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  const auto token = under.bearer(under.token_of(key.identity->key_id, "models:read keys:write"));
  ASSERT_TRUE(token) << to_string(token.error());
  EXPECT_EQ(outcome(under.admin.create_key(Under::object(R"({"name": "x", "role": "user"})"), *token)),
            "permission_denied /role");
  EXPECT_EQ(outcome(under.admin.create_key(Under::object(R"({"name": "x", "scopes": ["models:read"]})"), *token)),
            "ok");
}

TEST(AdminDelegation, UsersGetRolesWithinOnesOwn) {
  Delegating under;
  const Principal lead = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  EXPECT_EQ(outcome(under.admin.create_user(Under::object(R"({"id": "ann", "name": "Ann"})"), lead)), "ok");
  EXPECT_EQ(outcome(under.admin.create_user(Under::object(R"({"name": "Bob", "role": "admin"})"), lead)),
            "permission_denied /role");
  EXPECT_EQ(outcome(under.admin.create_user(Under::object(R"({"name": "Bob", "project": "blue"})"), lead)),
            "permission_denied /project");
  EXPECT_EQ(outcome(under.admin.update_user("ann", Under::object(R"({"role": "operator"})"), lead)),
            "permission_denied /role");
  EXPECT_EQ(outcome(under.admin.create_user(
                Under::object(R"({"id": "boss", "name": "Boss", "role": "admin", "project": "red"})"), under.local)),
            "ok");
  EXPECT_EQ(outcome(under.admin.disable_user("boss", lead)), "permission_denied");
  EXPECT_EQ(outcome(under.admin.disable_user("ann", lead)), "ok");
}

TEST(AdminDelegation, ARevokedKeyHandsOutNothing) {
  Delegating under;
  const Principal lead = under.holder(R"({"name": "lead", "role": "lead", "project": "red"})");
  ASSERT_TRUE(under.admin.revoke_key(lead.identity->key_id, {}, under.local));
  EXPECT_EQ(outcome(under.admin.create_key(Under::object(R"({"name": "x"})"), lead)), "unauthenticated");
}

}  // namespace
}  // namespace llm::access
