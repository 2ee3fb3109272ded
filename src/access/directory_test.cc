#include "access/directory.h"

#include <gtest/gtest.h>
#include <thread>

#include "access/directory_under_test.h"

namespace llm::access {
namespace {

using P = Permission;

TEST(Directory, KnowsTheBuiltInsBeforeAnythingIsLoaded) {
  const Directory directory;
  EXPECT_TRUE(directory.role("admin"));
  EXPECT_FALSE(directory.role("writer"));
  ASSERT_TRUE(directory.project("default"));
  EXPECT_FALSE(directory.project("default")->disabled);
  EXPECT_FALSE(directory.key("nothing"));
  EXPECT_FALSE(directory.has_admin_key());
  EXPECT_EQ(directory.keys(), 0U);
  EXPECT_LT(directory.revision(), 0);
}

TEST(Directory, TheFirstRefreshMakesTheDefaultProject) {
  DirectoryUnderTest under;
  const auto row =
      under.database->read([](store::Session& session) { return store::find_project(session, "default"); });
  ASSERT_TRUE(row && *row);
  EXPECT_GE(under.directory.revision(), 0);
  EXPECT_FALSE(under.refresh());
}

TEST(Directory, AKeyHasWhatItsRowSays) {
  DirectoryUnderTest under;
  under.project("red", R"({"weight": 3, "limits": {"concurrent": 9}, "audit_prompts": true})");
  under.user("ann", "red");
  store::KeyRow row;
  row.id = "k1";
  row.project = "red";
  row.user = "ann";
  row.name = "CI";
  row.role = "operator";
  row.hash = std::string(32, 'h');
  row.settings = R"({"scopes": ["generate"], "models": ["llama*"], "addresses": ["10.0.0.0/8"],
                     "limits": {"concurrent": 2}, "priority": "batch", "weight": 0.5})";
  row.expires = 5'000;
  row.last_used = 70;
  under.insert(row);
  EXPECT_TRUE(under.refresh());
  EXPECT_EQ(under.directory.keys(), 1U);

  const auto entry = under.directory.key("k1");
  ASSERT_TRUE(entry);
  EXPECT_TRUE(entry->active);
  EXPECT_EQ(entry->hash[0], 'h');
  EXPECT_TRUE(entry->usable(4'999));
  EXPECT_FALSE(entry->usable(5'000));
  EXPECT_EQ(entry->last_used.load(), 70);
  ASSERT_TRUE(entry->addresses);
  EXPECT_TRUE(entry->addresses->front().contains(*parse_ip("10.1.1.1")));
  const Identity& identity = entry->identity;
  EXPECT_EQ(identity.id, "key:k1");
  EXPECT_EQ(identity.key_id, "k1");
  EXPECT_EQ(identity.user, "ann");
  EXPECT_EQ(identity.name, "CI");
  EXPECT_EQ(identity.role, "operator");
  EXPECT_EQ(identity.scopes, PermissionSet{P::kGenerate});
  EXPECT_TRUE(identity.may(P::kGenerate, "llama3:8b"));
  EXPECT_FALSE(identity.may(P::kGenerate, "qwen"));
  EXPECT_FALSE(identity.may(P::kModelsRead));
  ASSERT_TRUE(identity.limits);
  EXPECT_EQ(identity.limits->concurrent, 2U);
  EXPECT_EQ(identity.priority, Priority::kBatch);
  EXPECT_EQ(identity.weight, 0.5);
  EXPECT_EQ(identity.project->id, "red");
  EXPECT_EQ(identity.project->weight, 3);
  EXPECT_EQ(identity.project->limits.concurrent, 9U);
  EXPECT_TRUE(identity.project->audit_prompts);
}

TEST(Directory, WhatKeysHaveInCommonIsShared) {
  DirectoryUnderTest under;
  const std::string settings = R"({"models": ["a"], "addresses": ["::1"], "limits": {"concurrent": 1}})";
  const auto first = under.key("user", settings);
  under.refresh();
  const auto second = under.key("user", R"({"weight": 2, "models": ["a"], "addresses": ["::1"],
                                            "limits": {"concurrent": 1}})");
  under.refresh();
  const auto a = under.directory.key(first.id);
  const auto b = under.directory.key(second.id);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->identity.models, b->identity.models);
  EXPECT_EQ(a->identity.limits, b->identity.limits);
  EXPECT_EQ(a->identity.rules, b->identity.rules);
  EXPECT_EQ(a->identity.project, b->identity.project);
  EXPECT_EQ(a->addresses, b->addresses);
}

TEST(Directory, ARevocationTakesEffectWithTheNextRefresh) {
  DirectoryUnderTest under;
  auto row = under.key();
  under.refresh();
  const auto held = under.directory.key(row.id);
  row.revoked = 9;
  under.update(row);
  EXPECT_TRUE(under.refresh());
  EXPECT_FALSE(under.directory.key(row.id)->active);
  // What a request holds does not change under it.
  EXPECT_TRUE(held->active);
  EXPECT_EQ(under.directory.keys(), 1U);
}

TEST(Directory, KeysOfADisabledUserOrProjectAreOff) {
  DirectoryUnderTest under;
  auto project = under.project("red");
  auto user = under.user("ann", "red");
  auto row = under.key();
  row.project = "red";
  row.user = "ann";
  under.update(row);
  auto other = under.key();
  under.refresh();
  const auto active = [&](const store::KeyRow& key) { return under.directory.key(key.id)->active; };
  EXPECT_TRUE(active(row));

  user.disabled = 5;
  under.update(user);
  under.refresh();
  EXPECT_FALSE(active(row));
  EXPECT_TRUE(active(other));

  project.disabled = 5;
  under.update(project);
  user.disabled = 0;
  under.update(user);
  under.refresh();
  EXPECT_FALSE(active(row));
  EXPECT_TRUE(under.directory.project("red")->disabled);

  project.disabled = 0;
  under.update(project);
  under.refresh();
  EXPECT_TRUE(active(row));

  // The same from a first load.
  user.disabled = 6;
  under.update(user);
  Directory fresh;
  ASSERT_TRUE(fresh.refresh(*under.database));
  EXPECT_FALSE(fresh.key(row.id)->active);
  EXPECT_TRUE(fresh.key(other.id)->active);
}

TEST(Directory, AChangedRoleReachesItsKeys) {
  DirectoryUnderTest under;
  auto role = under.role("writer", R"({"rules": [{"permissions": ["generate"]}], "caps": {"max_choices": 3}})");
  const auto row = under.key("writer");
  const auto other = under.key("user");
  under.refresh();
  const auto untouched = under.directory.key(other.id);
  EXPECT_TRUE(under.directory.key(row.id)->identity.may(P::kGenerate));
  EXPECT_EQ(under.directory.key(row.id)->identity.caps->max_choices, 3U);

  role.rules = R"({"rules": [{"permissions": ["models:read"]}]})";
  under.update(role);
  under.refresh();
  EXPECT_FALSE(under.directory.key(row.id)->identity.may(P::kGenerate));
  EXPECT_TRUE(under.directory.key(row.id)->identity.may(P::kModelsRead));
  EXPECT_FALSE(under.directory.key(row.id)->identity.caps);
  // Only what the change concerns was made anew.
  EXPECT_EQ(under.directory.key(other.id), untouched);
}

TEST(Directory, ARemovedRoleIsGone) {
  DirectoryUnderTest under;
  under.role("writer", R"({"rules": [{"permissions": ["generate"]}]})");
  under.refresh();
  ASSERT_TRUE(under.directory.role("writer"));
  const auto removed =
      under.database->write([](store::Session& session) { return store::remove_role(session, "writer"); });
  ASSERT_TRUE(removed);
  under.refresh();
  EXPECT_FALSE(under.directory.role("writer"));
}

TEST(Directory, WhatCannotBeReadIsOff) {
  DirectoryUnderTest under;
  auto bad = under.key("admin", R"({"models": 7})");
  const auto newer = under.key("admin", R"({"from_the_future": true})");
  under.project("red", "not json");
  under.role("writer", R"({"rules": "all"})");
  const auto good = under.key("user");
  under.refresh();
  EXPECT_FALSE(under.directory.key(bad.id)->active);
  EXPECT_FALSE(under.directory.key(newer.id)->active);
  EXPECT_TRUE(under.directory.key(good.id)->active);
  EXPECT_TRUE(under.directory.project("red")->disabled);
  EXPECT_FALSE(under.directory.role("writer"));
  EXPECT_FALSE(under.directory.has_admin_key());
  EXPECT_EQ(under.directory.unreadable(), 4U);

  bad.settings = "{}";
  under.update(bad);
  under.refresh();
  EXPECT_TRUE(under.directory.key(bad.id)->active);
  EXPECT_TRUE(under.directory.has_admin_key());
  EXPECT_EQ(under.directory.unreadable(), 3U);
}

TEST(Directory, AnAdminKeyIsOneThatCanDoEverythingNow) {
  DirectoryUnderTest under;
  under.key("operator");
  under.key("admin", R"({"scopes": ["generate", "models:read"]})");
  under.key("admin", R"({"models": ["llama*"]})");
  auto expired = under.key("admin");
  expired.expires = 1'000;
  under.update(expired);
  under.refresh();
  EXPECT_FALSE(under.directory.has_admin_key(1'000));
  EXPECT_TRUE(under.directory.has_admin_key(999));
  EXPECT_FALSE(under.directory.has_admin_key());  // by the system's clock

  auto admin = under.key("admin");
  under.refresh();
  EXPECT_TRUE(under.directory.has_admin_key());
  admin.revoked = 1;
  under.update(admin);
  under.refresh();
  EXPECT_FALSE(under.directory.has_admin_key());
}

TEST(Directory, IdentityByPrincipalId) {
  DirectoryUnderTest under;
  auto row = under.key();
  row.expires = 1'000;
  under.update(row);
  under.refresh();
  const auto identity = under.directory.identity("key:" + row.id, 999);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->key_id, row.id);
  EXPECT_FALSE(under.directory.identity("key:" + row.id, 1'000));
  EXPECT_FALSE(under.directory.identity("key:nobody", 1));
  EXPECT_FALSE(under.directory.identity("token:keycloak:" + row.id, 1));
  EXPECT_FALSE(under.directory.identity("local", 1));
  EXPECT_FALSE(under.directory.identity(row.id, 1));
}

TEST(Directory, WhenKeysWereLastUsedIsSaved) {
  DirectoryUnderTest under;
  const auto row = under.key();
  const auto idle = under.key();
  under.refresh();
  const std::int64_t revision = under.directory.revision();
  under.directory.key(row.id)->last_used.store(4'000);
  ASSERT_TRUE(under.directory.save_last_used(*under.database));
  const auto last_used = [&](const std::string& id) {
    return under.database->read([&](store::Session& session) { return store::find_key(session, id); })
        .value()
        .value()
        .last_used;
  };
  EXPECT_EQ(last_used(row.id), 4'000);
  EXPECT_EQ(last_used(idle.id), 0);
  // No news for other gateways.
  EXPECT_FALSE(under.refresh());
  EXPECT_EQ(under.directory.revision(), revision);

  // A change of the row does not turn the time back.
  under.directory.key(row.id)->last_used.store(6'000);
  auto changed = row;
  changed.name = "another";
  under.update(changed);
  under.refresh();
  EXPECT_EQ(under.directory.key(row.id)->identity.name, "another");
  EXPECT_EQ(under.directory.key(row.id)->last_used.load(), 6'000);
  ASSERT_TRUE(under.directory.save_last_used(*under.database));
  EXPECT_EQ(last_used(row.id), 6'000);
}

TEST(Directory, ABackupThatWasPutBackIsLoadedWhole) {
  DirectoryUnderTest newer;
  DirectoryUnderTest older;
  const auto old_key = older.key();
  std::vector<store::KeyRow> keys;
  for (int i = 0; i < 5; ++i) {
    keys.push_back(newer.key("admin"));
    newer.refresh();
  }
  ASSERT_TRUE(newer.directory.has_admin_key());
  const auto done = newer.directory.refresh(*older.database);
  ASSERT_TRUE(done && *done);
  EXPECT_TRUE(newer.directory.key(old_key.id));
  for (const auto& key : keys) EXPECT_FALSE(newer.directory.key(key.id));
  EXPECT_EQ(newer.directory.keys(), 1U);
  EXPECT_FALSE(newer.directory.has_admin_key());
}

TEST(Directory, KeepsWhatItKnowsWhileTheDatabaseIsDown) {
  DirectoryUnderTest under;
  const auto row = under.key();
  under.refresh();
  struct Down : store::Database {
    bool shared() const override { return false; }
    std::string description() const override { return "down"; }
    Result<void> run_transaction(const std::function<Result<void>(store::Session&)>&, bool) override {
      return fail(ErrorCode::kUnavailable, "down");
    }
  } down;
  const auto done = under.directory.refresh(down);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(under.directory.key(row.id)->active);
}

TEST(Directory, ReadersSeeWholeEntriesDuringRefresh) {
  DirectoryUnderTest under;
  std::vector<store::KeyRow> rows;
  for (int i = 0; i < 40; ++i) rows.push_back(under.key("admin"));
  auto role = under.role("writer", R"({"rules": [{"permissions": ["generate"]}]})");
  under.refresh();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        for (const auto& row : rows) {
          const auto entry = under.directory.key(row.id);
          // Role and rules of an entry always belong together.
          const bool admin = entry && entry->identity.role == "admin";
          if (!entry || entry->identity.may(P::kAdmin) != admin) {
            ++wrong;
            continue;
          }
          entry->last_used.store(1, std::memory_order_relaxed);
        }
        (void)under.directory.has_admin_key();
        (void)under.directory.role("writer");
      }
    });
  }
  for (int round = 0; round < 20; ++round) {
    for (std::size_t i = 0; i < rows.size(); i += 4) {
      rows[i].role = rows[i].role == "admin" ? "writer" : "admin";
      under.update(rows[i]);
    }
    role.rules = round % 2 == 0 ? R"({"rules": [{"permissions": ["models:read"]}]})"
                                : R"({"rules": [{"permissions": ["generate"]}]})";
    under.update(role);
    under.key("user");
    under.refresh();
    ASSERT_TRUE(under.directory.save_last_used(*under.database));
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(under.directory.keys(), rows.size() + 20);
}

}  // namespace
}  // namespace llm::access
