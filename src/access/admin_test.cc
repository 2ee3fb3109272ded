#include "access/admin.h"

#include <gtest/gtest.h>

#include "access/admin_requests.h"
#include "access/admin_under_test.h"
#include "access/timestamp.h"
#include "store/usage_tables.h"

namespace llm::access {
namespace {

using P = Permission;
using Under = AdminUnderTest;

TEST(AdminProjects, CreateChangeDisable) {
  Under under;
  const auto made = under.admin.create_project(
      Under::object(R"({"id": "red", "name": "Red", "weight": 2, "limits": {"concurrent": 5}})"), under.local);
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_EQ(Under::text(made, "created"), format_time(kStart));
  EXPECT_EQ(under.directory.project("red")->weight, 2);
  EXPECT_EQ(outcome(under.admin.create_project(Under::object(R"({"id": "red"})"), under.local)), "already_exists /id");
  for (const char* id : {"", "-a", "Red", "a b", "a/b", "..", "ä", "a\\u0000"}) {
    const std::string request = std::string(R"({"id": ")") + id + R"("})";
    EXPECT_EQ(outcome(under.admin.create_project(Under::object(request), under.local)), "invalid_argument /id") << id;
  }
  const Principal user = under.holder(R"({"name": "a", "project": "red"})");
  const auto changed =
      under.admin.update_project("red", Under::object(R"({"audit_prompts": true, "limits": {}})"), under.local);
  ASSERT_TRUE(changed) << to_string(changed.error());
  EXPECT_FALSE(changed->contains("limits"));
  EXPECT_TRUE(under.directory.project("red")->audit_prompts);
  EXPECT_EQ(under.directory.project("red")->weight, 2);
  EXPECT_TRUE(under.authenticator->still_valid(user));

  EXPECT_EQ(Under::text(under.admin.disable_project("red", under.local), "disabled"), format_time(kStart));
  EXPECT_FALSE(under.authenticator->still_valid(user));
  EXPECT_EQ(outcome(under.admin.create_key(Under::object(R"({"name": "b", "project": "red"})"), under.local)),
            "conflict /project");
  ASSERT_TRUE(under.admin.update_project("red", Under::object(R"({"disabled": false})"), under.local));
  EXPECT_TRUE(under.authenticator->still_valid(user));
  EXPECT_EQ(outcome(under.admin.disable_project("default", under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.disable_project("nowhere", under.local)), "not_found");
}

TEST(AdminUsers, TheirKeysGoWithThem) {
  Under under;
  const auto made = under.admin.create_user(
      Under::object(R"({"id": "ann@example.com", "name": "Ann", "role": "viewer"})"), under.local);
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_EQ(Under::text(made, "kind"), "user");
  // A key has its user's role unless it says another.
  const Principal key = under.holder(R"({"name": "a", "user": "ann@example.com"})");
  EXPECT_EQ(key.identity->role, "viewer");
  EXPECT_EQ(key.identity->user, "ann@example.com");
  ASSERT_TRUE(under.admin.disable_user("ann@example.com", under.local));
  EXPECT_FALSE(under.authenticator->still_valid(key));
  EXPECT_EQ(Under::text(under.admin.show_key(key.identity->key_id, under.local), "state"), "disabled");
  EXPECT_EQ(outcome(under.admin.create_key(Under::object(R"({"name": "b", "user": "ann@example.com"})"), under.local)),
            "conflict /user");
  ASSERT_TRUE(under.admin.update_user("ann@example.com", Under::object(R"({"disabled": false})"), under.local));
  EXPECT_TRUE(under.authenticator->still_valid(key));

  const auto robot =
      under.admin.create_user(Under::object(R"({"name": "Robot", "kind": "service_account"})"), under.local);
  EXPECT_TRUE(Under::text(robot, "id").starts_with("user-"));
  EXPECT_EQ(outcome(under.admin.create_user(Under::object(R"({"id": "a b", "name": "x"})"), under.local)),
            "invalid_argument /id");
  EXPECT_EQ(outcome(under.admin.create_user(Under::object(R"({"name": "x", "role": "king"})"), under.local)),
            "not_found /role");
}

TEST(AdminUsers, TheLastAdminKeyIsNotDisabledByTheBackDoor) {
  Under under;
  ASSERT_TRUE(under.admin.create_project(Under::object(R"({"id": "red"})"), under.local));
  ASSERT_TRUE(under.admin.create_user(Under::object(R"({"id": "ann", "name": "Ann", "project": "red"})"), under.local));
  under.holder(R"({"name": "a", "user": "ann", "project": "red", "role": "admin"})");
  EXPECT_EQ(outcome(under.admin.disable_user("ann", under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.disable_project("red", under.local)), "conflict");
  under.holder(R"({"name": "b", "role": "admin"})");
  EXPECT_EQ(outcome(under.admin.disable_user("ann", under.local)), "ok");
}

TEST(AdminRoles, CreateChangeRemove) {
  Under under;
  const auto rules = Under::object(
      R"({"name": "writer", "description": "writes", "rules": [{"permissions": ["generate"], "models": ["llama*"]}]})");
  const auto made = under.admin.create_role(rules, under.local);
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_EQ(made->at("rules").at(0).at("models"), json::value(json::array{"llama*"}));
  EXPECT_EQ(made->at("built_in"), false);
  EXPECT_EQ(outcome(under.admin.create_role(rules, under.local)), "already_exists /name");
  EXPECT_EQ(outcome(under.admin.create_role(
                Under::object(R"({"name": "admin", "rules": [{"permissions": ["generate"]}]})"), under.local)),
            "already_exists /name");
  EXPECT_EQ(outcome(under.admin.create_role(Under::object(R"({"name": "x", "rules": [{"permissions": ["fly"]}]})"),
                                            under.local)),
            "invalid_argument /rules/0/permissions/0");
  EXPECT_EQ(outcome(under.admin.create_role(Under::object(R"({"name": "X", "rules": [{"permissions": ["generate"]}]})"),
                                            under.local)),
            "invalid_argument /name");

  const Principal key = under.holder(R"({"name": "a", "role": "writer"})");
  EXPECT_TRUE(key.may(P::kGenerate, "llama3"));
  ASSERT_TRUE(under.admin.update_role("writer", Under::object(R"({"rules": [{"permissions": ["models:read"]}]})"),
                                      under.local));
  EXPECT_EQ(Under::text(under.admin.show_role("writer", under.local), "description"), "writes");
  EXPECT_FALSE(under.authenticator->still_valid(key));
  EXPECT_EQ(outcome(under.admin.remove_role("writer", under.local)), "conflict");
  ASSERT_TRUE(under.admin.revoke_key(key.identity->key_id, {}, under.local));
  EXPECT_EQ(outcome(under.admin.remove_role("writer", under.local)), "ok");
  EXPECT_EQ(outcome(under.admin.show_role("writer", under.local)), "not_found");
  EXPECT_EQ(outcome(under.admin.remove_role("writer", under.local)), "not_found");
  EXPECT_EQ(outcome(under.admin.remove_role("user", under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.update_role("user", Under::object(R"({"description": "x"})"), under.local)),
            "conflict");
  EXPECT_EQ(under.admin.list_roles(under.local)->at("roles").as_array().size(), 4U);
  // It comes back with the same name.
  EXPECT_EQ(outcome(under.admin.create_role(rules, under.local)), "ok");
}

TEST(AdminUsage, SumsByWhatIsAsked) {
  Under under;
  under.project("red");
  const std::int64_t today = kStart / 86'400'000;
  const std::vector<store::UsageRow> rows = {{today, "default", "k1", "llama", 2, 1, 10, 4, 20},
                                             {today, "red", "k2", "llama", 3, 0, 30, 0, 40},
                                             {today - 1, "red", "k2", "qwen", 5, 0, 50, 0, 60},
                                             {today - 40, "red", "k2", "qwen", 7, 0, 1, 0, 1}};
  ASSERT_TRUE(under.database->write([&](store::Session& session) { return store::add_usage(session, "b", rows); }));
  const auto all = under.admin.usage({}, under.local);
  ASSERT_TRUE(all) << to_string(all.error());
  EXPECT_EQ(all->at("usage").as_array().size(), 3U);
  EXPECT_EQ(all->at("total").at("requests"), 10);
  const auto by_model = under.admin.usage({{"by", "model"}}, under.local);
  ASSERT_EQ(by_model->at("usage").as_array().size(), 2U);
  EXPECT_EQ(by_model->at("usage").at(0).at("model"), "llama");
  EXPECT_EQ(by_model->at("usage").at(0).at("requests"), 5);
  EXPECT_FALSE(by_model->at("usage").at(0).as_object().contains("key"));
  EXPECT_EQ(under.admin.usage({{"by", "project,day"}}, under.local)->at("usage").as_array().size(), 3U);
  EXPECT_EQ(under.admin.usage({{"from", "2020-01-01"}}, under.local)->at("total").at("requests"), 17);
  EXPECT_EQ(outcome(under.admin.usage({{"by", "phase_of_moon"}}, under.local)), "invalid_argument /by");
  EXPECT_EQ(outcome(under.admin.usage({{"from", "yesterday"}}, under.local)), "invalid_argument /from");
  EXPECT_EQ(outcome(under.admin.usage({{"from", "2030-01-01"}, {"to", "2029-01-01"}}, under.local)),
            "invalid_argument /from");
  const Principal red = under.holder(R"({"name": "a", "project": "red", "role": "viewer"})");
  EXPECT_EQ(under.admin.usage({}, red)->at("total").at("requests"), 8);
}

TEST(AdminRequests, QueriesAsTheyStandInAUrl) {
  const auto& table = json::Fields<ListKeysQuery>::table();
  EXPECT_EQ(typed_query({{"revoked", "true"}, {"limit", "5"}, {"project", "7"}}, table),
            json::object({{"revoked", true}, {"limit", 5}, {"project", "7"}}));
  // What is neither stays for the decoder to refuse.
  EXPECT_EQ(typed_query({{"revoked", "yes"}, {"limit", "5x"}, {"other", "1"}}, table),
            json::object({{"revoked", "yes"}, {"limit", "5x"}, {"other", "1"}}));
}

TEST(AdminRequests, DefaultsAreSchemasToo) {
  // Every table can be shown: defaults encode, schemas build.
  EXPECT_FALSE(json::schema<CreateKeyRequest>().empty());
  EXPECT_FALSE(json::schema<KeyList>().empty());
  EXPECT_FALSE(json::schema<CreateRoleRequest>().empty());
  EXPECT_FALSE(json::schema<UsageAnswer>().empty());
  EXPECT_FALSE(json::schema<AuditAnswer>().empty());
  EXPECT_EQ(json::encode(json::decode<UsageRequest>(json::object{}).value()).at("by").as_array().size(), 4U);
}

}  // namespace
}  // namespace llm::access
