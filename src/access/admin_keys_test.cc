#include <gtest/gtest.h>

#include "access/admin_under_test.h"
#include "access/timestamp.h"

namespace llm::access {
namespace {

using P = Permission;
using Under = AdminUnderTest;

TEST(AdminKeys, AKeyIsShownOnceAndWorksAtOnce) {
  Under under;
  const auto made = under.admin.create_key(
      Under::object(R"({"name": "CI", "role": "operator", "scopes": ["generate"], "models": ["llama*"],
                        "addresses": ["10.0.0.0/8"], "expires": "90d", "limits": {"concurrent": 3},
                        "priority": "batch", "weight": 2})"),
      under.local);
  ASSERT_TRUE(made) << to_string(made.error());
  const std::string key = Under::text(made, "key");
  const std::string id = Under::text(made, "id");
  EXPECT_TRUE(key.starts_with("llm_" + id + "_"));
  EXPECT_EQ(Under::text(made, "state"), "active");
  EXPECT_EQ(Under::text(made, "created"), format_time(kStart));
  EXPECT_EQ(Under::text(made, "expires"), format_time(kStart + 90LL * 86'400'000));
  EXPECT_EQ(Under::text(made, "project"), "default");

  const auto principal = under.bearer(key);
  ASSERT_TRUE(principal) << to_string(principal.error());
  EXPECT_TRUE(principal->may(P::kGenerate, "llama3"));
  EXPECT_FALSE(principal->may(P::kGenerate, "qwen"));
  EXPECT_EQ(principal->identity->limits->concurrent, 3U);
  EXPECT_EQ(principal->identity->priority, Priority::kBatch);
  EXPECT_FALSE(under.bearer(key, "11.0.0.1:1"));

  const auto shown = under.admin.show_key(id, under.local);
  ASSERT_TRUE(shown);
  EXPECT_FALSE(shown->contains("key"));
  EXPECT_EQ(Under::text(shown, "last_used"), format_time(kStart));
  const auto listed = under.admin.list_keys({}, under.local);
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->at("keys").as_array().size(), 1U);
  EXPECT_EQ(json::write(*listed).find(key.substr(21)), std::string::npos);
}

TEST(AdminKeys, ErrorsSayWhere) {
  Under under;
  under.user("ann");
  under.project("red");
  struct Case {
    const char* request;
    const char* outcome;
  };
  const std::string long_name(129, 'n');
  const std::string too_long = R"({"name": ")" + long_name + R"("})";
  const std::string longest = R"({"name": ")" + long_name.substr(1) + R"("})";
  const Case cases[] = {
      {R"({})", "invalid_argument /name"},
      {R"({"name": ""})", "invalid_argument /name"},
      {too_long.c_str(), "invalid_argument /name"},
      {longest.c_str(), "ok"},
      {R"({"name": "a\nb"})", "invalid_argument /name"},
      {R"({"name": "a\u0000b"})", "invalid_argument /name"},
      {R"({"name": "a\u009bb"})", "invalid_argument /name"},
      {R"({"name": "\u001b[31m"})", "invalid_argument /name"},
      {R"({"name": "'; DROP TABLE api_keys; --"})", "ok"},
      {R"({"name": "<script>alert(1)</script> \ud83d\udca9"})", "ok"},
      {R"({"name": "a", "nmae": "b"})", "invalid_argument /nmae"},
      {R"({"name": "a", "role": "king"})", "not_found /role"},
      {R"({"name": "a", "role": "' OR 1=1"})", "not_found /role"},
      {R"({"name": "a", "project": "blue"})", "not_found /project"},
      {R"({"name": "a", "user": "bob"})", "not_found /user"},
      {R"({"name": "a", "project": "red", "user": "ann"})", "not_found /user"},
      {R"({"name": "a", "user": "ann"})", "ok"},
      {R"({"name": "a", "scopes": ["generate", "fly"]})", "invalid_argument /scopes/1"},
      {R"({"name": "a", "models": ["ok", ""]})", "invalid_argument /models/1"},
      {R"({"name": "a", "addresses": ["10.0.0.1", "10.0.0.1/8"]})", "invalid_argument /addresses/1"},
      {R"({"name": "a", "addresses": ["localhost"]})", "invalid_argument /addresses/0"},
      {R"({"name": "a", "expires": "soon"})", "invalid_argument /expires"},
      {R"({"name": "a", "expires": "2001-01-01"})", "invalid_argument /expires"},
      {R"({"name": "a", "expires": "never"})", "ok"},
      {R"({"name": "a", "limits": {"concurrent": -1}})", "invalid_argument /limits/concurrent"},
      {R"({"name": "a", "priority": "first"})", "invalid_argument /priority"},
      {R"({"name": "a", "weight": 0})", "invalid_argument /weight"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(outcome(under.admin.create_key(Under::object(c.request), under.local)), c.outcome) << c.request;
  }
}

TEST(AdminKeys, RotationOverlaps) {
  Under under;
  const auto made = under.admin.create_key(Under::object(R"({"name": "a"})"), under.local);
  const std::string id = Under::text(made, "id");
  const std::string first = Under::text(made, "key");
  const auto rotated = under.admin.rotate_key(id, Under::object(R"({"overlap": "1h"})"), under.local);
  const std::string second = Under::text(rotated, "key");
  EXPECT_NE(first, second);
  EXPECT_EQ(Under::text(rotated, "id"), id);
  EXPECT_EQ(Under::text(rotated, "old_secret_until"), format_time(kStart + 3'600'000));
  EXPECT_TRUE(under.bearer(first));
  EXPECT_TRUE(under.bearer(second));
  under.now = kStart + 3'600'000;
  EXPECT_FALSE(under.bearer(first));
  EXPECT_TRUE(under.bearer(second));
  // Without overlap the old one is dead at once; so is the one before it.
  const auto third = under.admin.rotate_key(id, Under::object(R"({"overlap": 0})"), under.local);
  EXPECT_FALSE(under.bearer(second));
  EXPECT_TRUE(under.bearer(Under::text(third, "key")));
  EXPECT_FALSE(third->contains("old_secret_until"));
  EXPECT_EQ(outcome(under.admin.rotate_key(id, Under::object(R"({"overlap": "91d"})"), under.local)),
            "invalid_argument /overlap");
  EXPECT_EQ(outcome(under.admin.rotate_key("nobody", {}, under.local)), "not_found");
}

TEST(AdminKeys, RevocationIsInForceWhenItReturns) {
  Under under;
  const auto made = under.admin.create_key(Under::object(R"({"name": "a"})"), under.local);
  const std::string id = Under::text(made, "id");
  const std::string key = Under::text(made, "key");
  EXPECT_TRUE(under.bearer(key));
  const auto revoked = under.admin.revoke_key(id, {}, under.local);
  EXPECT_EQ(Under::text(revoked, "state"), "revoked");
  EXPECT_FALSE(under.bearer(key));
  // Twice is once, and nothing brings it back.
  under.now = kStart + 5'000;
  EXPECT_EQ(Under::text(under.admin.revoke_key(id, {}, under.local), "revoked"), format_time(kStart));
  EXPECT_EQ(outcome(under.admin.rotate_key(id, {}, under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.update_key(id, Under::object(R"({"name": "b"})"), under.local)), "conflict");
  EXPECT_EQ(under.admin.list_keys({}, under.local)->at("keys").as_array().size(), 0U);
  const auto all = under.admin.list_keys(Under::object(R"({"revoked": "true"})"), under.local);
  EXPECT_EQ(all->at("keys").as_array().size(), 1U);
}

TEST(AdminKeys, TheLastAdminKeyNeedsForce) {
  Under under;
  const std::string first =
      Under::text(under.admin.create_key(Under::object(R"({"name": "a", "role": "admin"})"), under.local), "id");
  const std::string narrow = Under::text(
      under.admin.create_key(Under::object(R"({"name": "b", "role": "admin", "models": ["x"]})"), under.local), "id");
  EXPECT_EQ(outcome(under.admin.revoke_key(first, {}, under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.update_key(first, Under::object(R"({"role": "user"})"), under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.update_key(first, Under::object(R"({"scopes": ["generate"]})"), under.local)),
            "conflict");
  EXPECT_EQ(outcome(under.admin.update_key(first, Under::object(R"({"name": "c"})"), under.local)), "ok");
  EXPECT_EQ(outcome(under.admin.revoke_key(narrow, {}, under.local)), "ok");
  const std::string second =
      Under::text(under.admin.create_key(Under::object(R"({"name": "d", "role": "admin"})"), under.local), "id");
  EXPECT_EQ(outcome(under.admin.revoke_key(second, {}, under.local)), "ok");
  EXPECT_TRUE(under.directory.has_admin_key(kStart));
  EXPECT_EQ(outcome(under.admin.revoke_key(first, Under::object(R"({"force": true})"), under.local)), "ok");
  EXPECT_FALSE(under.directory.has_admin_key(kStart));
}

TEST(AdminKeys, ChangesAndHowToClear) {
  Under under;
  const auto made = under.admin.create_key(
      Under::object(R"({"name": "a", "models": ["x"], "addresses": ["10.0.0.1"], "scopes": ["generate"],
                        "limits": {"concurrent": 1}, "expires": "1d"})"),
      under.local);
  const std::string id = Under::text(made, "id");
  const std::string key = Under::text(made, "key");
  auto changed =
      under.admin.update_key(id, Under::object(R"({"models": ["y"], "weight": 4, "role": null})"), under.local);
  ASSERT_TRUE(changed) << to_string(changed.error());
  EXPECT_EQ(changed->at("models"), json::value(json::array{"y"}));
  EXPECT_EQ(changed->at("addresses"), json::value(json::array{"10.0.0.1"}));
  EXPECT_TRUE(under.bearer(key)->may(P::kGenerate, "y"));
  EXPECT_FALSE(under.bearer(key)->may(P::kGenerate, "x"));
  changed = under.admin.update_key(
      id, Under::object(R"({"models": [], "addresses": [], "scopes": [], "limits": {}, "expires": "never"})"),
      under.local);
  ASSERT_TRUE(changed) << to_string(changed.error());
  for (const char* gone : {"models", "addresses", "scopes", "limits", "expires"}) {
    EXPECT_FALSE(changed->contains(gone)) << gone;
  }
  EXPECT_TRUE(under.bearer(key, "11.0.0.1:1")->may(P::kModelsRead, "anything"));
}

TEST(AdminKeys, PagesInTheOrderOfIds) {
  Under under;
  for (int i = 0; i < 5; ++i) under.key();
  std::string after;
  std::vector<std::string> ids;
  for (int page = 0; page < 3; ++page) {
    const auto list = under.admin.list_keys({{"limit", "2"}, {"after", after}}, under.local);
    ASSERT_TRUE(list) << to_string(list.error());
    for (const auto& one : list->at("keys").as_array()) ids.emplace_back(json::string_or(one.as_object(), "id"));
    EXPECT_EQ(list->contains("next"), page < 2);
    after = json::string_or(*list, "next");
  }
  EXPECT_EQ(ids.size(), 5U);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
}

TEST(AdminKeys, AWholeKeyForAnIdIsRepeatedNowhere) {
  Under under;
  const std::string key = make_api_key().text;
  const auto shown = under.admin.show_key(key, under.local);
  EXPECT_EQ(outcome(shown), "not_found");
  const auto revoked = under.admin.revoke_key(key, {}, under.local);
  EXPECT_EQ(revoked.error().message.find(key), std::string::npos);
  ASSERT_TRUE(under.trail->flush());
  const auto records = under.admin.audit({}, under.local);
  ASSERT_TRUE(records) << to_string(records.error());
  EXPECT_EQ(json::write(*records).find(key.substr(21)), std::string::npos);
}

TEST(AdminKeys, WhatAnotherVersionWroteCanStillBeListedAndRevoked) {
  Under under;
  const auto row = under.key("user", R"({"from_the_future": 1})");
  under.refresh();
  const auto list = under.admin.list_keys({}, under.local);
  ASSERT_TRUE(list) << to_string(list.error());
  EXPECT_EQ(json::string_or(list->at("keys").as_array().at(0).as_object(), "state"), "unreadable");
  EXPECT_EQ(outcome(under.admin.update_key(row.id, Under::object(R"({"name": "b"})"), under.local)), "conflict");
  EXPECT_EQ(outcome(under.admin.revoke_key(row.id, {}, under.local)), "ok");
}

TEST(AdminKeys, EveryChangeIsAuditedWithoutTheSecret) {
  Under under;
  const Principal ann = under.holder(R"({"name": "ann", "role": "admin"})");
  const auto made = under.admin.create_key(Under::object(R"({"name": "a"})"), ann);
  const std::string id = Under::text(made, "id");
  const std::string key = Under::text(made, "key");
  const auto rotated = under.admin.rotate_key(id, {}, ann);
  ASSERT_TRUE(under.admin.update_key(id, Under::object(R"({"name": "b"})"), ann));
  ASSERT_TRUE(under.admin.revoke_key(id, {}, ann));
  EXPECT_FALSE(under.admin.update_key(id, Under::object(R"({"name": "c"})"), ann));
  ASSERT_TRUE(under.trail->flush());
  const auto audit = under.admin.audit({{"principal", ann.id}, {"action", "key."}}, under.local);
  ASSERT_TRUE(audit) << to_string(audit.error());
  const auto& records = audit->at("records").as_array();
  std::vector<std::string> seen;
  for (const auto& record : records) {
    seen.push_back(std::string(json::string_or(record.as_object(), "action")) + " " +
                   std::string(json::string_or(record.as_object(), "outcome")));
    EXPECT_EQ(json::string_or(record.as_object(), "target"), id);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"key.update conflict", "key.revoke ok", "key.update ok", "key.rotate ok",
                                            "key.create ok"}));
  const std::string all = json::write(*audit);
  EXPECT_EQ(all.find(key.substr(21)), std::string::npos);
  EXPECT_EQ(all.find(Under::text(rotated, "key").substr(21)), std::string::npos);
  const auto& update = records.at(2).as_object();
  EXPECT_EQ(update.at("before").at("name"), "a");
  EXPECT_EQ(update.at("after").at("name"), "b");
}

}  // namespace
}  // namespace llm::access
