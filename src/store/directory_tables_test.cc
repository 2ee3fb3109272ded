#include "store/directory_tables.h"

#include <atomic>
#include <gtest/gtest.h>
#include <set>
#include <thread>
#include <tuple>

#include "store/nasty_texts.h"
#include "store/store_fixture.h"

namespace llm::store {
namespace {

class DirectoryTables : public StoreTest {};
STORE_ON_BOTH(DirectoryTables);

ProjectRow project(std::string id) {
  return {.id = std::move(id), .name = "A project", .settings = R"({"weight": 2})", .created = 10, .disabled = 0};
}
UserRow user(std::string id, std::string in_project) {
  return {.id = std::move(id),
          .project = std::move(in_project),
          .name = "Ada",
          .kind = "user",
          .role = "user",
          .created = 11,
          .disabled = 0};
}
KeyRow key(std::string id, std::string in_project) {
  KeyRow row;
  row.id = std::move(id);
  row.project = std::move(in_project);
  row.name = "for tests";
  row.role = "user";
  row.hash = std::string("\0\xff\x80 hash of 32 bytes with a NUL", 32);
  row.settings = "{}";
  row.created = 12;
  return row;
}
bool equal(const KeyRow& a, const KeyRow& b) {
  const auto all = [](const KeyRow& row) {
    return std::tie(row.id, row.project, row.user, row.name, row.role, row.hash, row.old_hash, row.old_until,
                    row.settings, row.created, row.expires, row.revoked, row.last_used);
  };
  return all(a) == all(b);
}

TEST_P(DirectoryTables, KeepsEveryColumnOfEveryRow) {
  KeyRow full = key("k1", "p");
  full.user = "u";
  full.role = "auditor";
  full.old_hash = std::string(32, '\xfe');
  full.old_until = 1;
  full.expires = 2;
  full.revoked = 3;
  full.last_used = std::int64_t{1} << 62;
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    EXPECT_TRUE(insert(s, RoleRow{.name = "auditor", .rules = "[]", .created = 5}));
    EXPECT_TRUE(insert(s, user("u", "p")));
    return insert(s, full);
  });
  const auto rows = read([](Session& s) { return load_directory(s); });
  ASSERT_EQ(rows.projects.size(), 1U);
  EXPECT_EQ(rows.projects[0].id, "p");
  EXPECT_EQ(rows.projects[0].name, "A project");
  EXPECT_EQ(rows.projects[0].settings, R"({"weight": 2})");
  EXPECT_EQ(rows.projects[0].created, 10);
  ASSERT_EQ(rows.users.size(), 1U);
  EXPECT_EQ(rows.users[0].project, "p");
  EXPECT_EQ(rows.users[0].kind, "user");
  EXPECT_EQ(rows.users[0].role, "user");
  ASSERT_EQ(rows.roles.size(), 1U);
  EXPECT_EQ(rows.roles[0].name, "auditor");
  EXPECT_EQ(rows.roles[0].rules, "[]");
  EXPECT_EQ(rows.roles[0].created, 5);
  ASSERT_EQ(rows.keys.size(), 1U);
  EXPECT_TRUE(equal(rows.keys[0], full));
  const auto found = read([](Session& s) { return find_key(s, "k1"); });
  ASSERT_TRUE(found);
  EXPECT_TRUE(equal(*found, full));
}

TEST_P(DirectoryTables, RefusesWhatIsThereAlready) {
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    EXPECT_TRUE(insert(s, user("u", "p")));
    EXPECT_TRUE(insert(s, RoleRow{.name = "r", .rules = "[]", .created = 5}));
    return insert(s, key("k", "p"));
  });
  const auto again = [&](const auto& row) {
    const auto result = database_->write([&](Session& s) { return insert(s, row); });
    EXPECT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kAlreadyExists);
  };
  again(project("p"));
  again(user("u", "p"));
  again(RoleRow{.name = "r", .rules = "[]", .created = 6});
  again(key("k", "p"));
  for (const auto name : kBuiltInRoles) again(RoleRow{.name = std::string(name), .rules = "[]", .created = 6});
}

TEST_P(DirectoryTables, ReferencesMustExist) {
  write([&](Session& s) { return insert(s, project("p")); });
  const auto missing = [&](const auto& row, const char* pointer) {
    const auto result = database_->write([&](Session& s) { return insert(s, row); });
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(result.error().pointer, pointer);
  };
  KeyRow row = key("k", "p");
  row.project = "q";
  missing(row, "/project");
  row = key("k", "p");
  row.user = "u";
  missing(row, "/user");
  row = key("k", "p");
  row.role = "r";
  missing(row, "/role");
  missing(user("u", "q"), "/project");
  UserRow person = user("u", "p");
  person.role = "r";
  missing(person, "/role");
  EXPECT_TRUE(read([](Session& s) { return load_directory(s); }).keys.empty());
}

TEST_P(DirectoryTables, UpdatesByIdAndSaysWhatIsNotThere) {
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    EXPECT_TRUE(insert(s, project("q")));
    EXPECT_TRUE(insert(s, user("u", "p")));
    EXPECT_TRUE(insert(s, RoleRow{.name = "r", .rules = "[]", .created = 5}));
    KeyRow row = key("k", "p");
    row.last_used = 77;
    return insert(s, row);
  });
  write([&](Session& s) -> Result<void> {
    ProjectRow changed_project = project("p");
    changed_project.disabled = 9;
    EXPECT_TRUE(update(s, changed_project));
    UserRow changed_user = user("u", "q");
    changed_user.role = "r";
    EXPECT_TRUE(update(s, changed_user));
    EXPECT_TRUE(update(s, RoleRow{.name = "r", .rules = "[1]", .created = 5}));
    KeyRow row = key("k", "q");
    row.user = "u";
    row.revoked = 8;
    row.last_used = 1;  // not taken over
    return update(s, row);
  });
  const auto rows = read([](Session& s) { return load_directory(s); });
  EXPECT_EQ(read([](Session& s) { return find_project(s, "p"); })->disabled, 9);
  EXPECT_EQ(read([](Session& s) { return find_project(s, "q"); })->disabled, 0);
  EXPECT_EQ(rows.users[0].project, "q");
  EXPECT_EQ(rows.users[0].role, "r");
  EXPECT_EQ(rows.roles[0].rules, "[1]");
  EXPECT_EQ(rows.keys[0].user, "u");
  EXPECT_EQ(rows.keys[0].revoked, 8);
  EXPECT_EQ(rows.keys[0].last_used, 77);
  const auto not_there = [&](const auto& row) {
    const auto result = database_->write([&](Session& s) { return update(s, row); });
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(result.error().pointer, "");
  };
  not_there(project("x"));
  not_there(user("x", "p"));
  not_there(RoleRow{.name = "x", .rules = "", .created = 1});
  not_there(key("x", "p"));
}

TEST_P(DirectoryTables, ARoleInUseStaysAndARemovedOneComesBackEmpty) {
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    EXPECT_TRUE(insert(s, RoleRow{.name = "r", .rules = "[]", .created = 5}));
    KeyRow row = key("k", "p");
    row.role = "r";
    EXPECT_TRUE(insert(s, row));
    UserRow person = user("u", "p");
    person.role = "r";
    return insert(s, person);
  });
  const auto remove = [&] { return database_->write([](Session& s) { return remove_role(s, "r"); }); };
  ASSERT_FALSE(remove());
  EXPECT_EQ(remove().error().code, ErrorCode::kConflict);
  KeyRow row = key("k", "p");
  row.role = "r";
  row.revoked = 1;
  write([&](Session& s) { return update(s, row); });
  EXPECT_EQ(remove().error().code, ErrorCode::kConflict);  // the user has it still
  write([&](Session& s) { return update(s, user("u", "p")); });
  const auto before = read([](Session& s) { return directory_revision(s); });
  EXPECT_TRUE(remove());
  EXPECT_EQ(remove().error().code, ErrorCode::kNotFound);

  EXPECT_TRUE(read([](Session& s) { return load_directory(s); }).roles.empty());
  EXPECT_FALSE(read([](Session& s) { return find_role(s, "r"); }));
  auto changes = read([&](Session& s) { return load_directory_changes(s, before); });
  ASSERT_EQ(changes.roles.size(), 1U);
  EXPECT_EQ(changes.roles[0].name, "r");
  EXPECT_EQ(changes.roles[0].rules, "");
  EXPECT_EQ(changes.roles[0].created, 0);
  write([&](Session& s) { return update(s, row); });  // revoked: its role may be gone
  row.revoked = 0;
  EXPECT_EQ(database_->write([&](Session& s) { return update(s, row); }).error().pointer, "/role");

  write([&](Session& s) { return insert(s, RoleRow{.name = "r", .rules = "[2]", .created = 6}); });
  EXPECT_EQ(read([](Session& s) { return find_role(s, "r"); })->rules, "[2]");
}

TEST_P(DirectoryTables, TheChangeFeedHasEachChangeOnce) {
  const auto empty = read([](Session& s) { return load_directory(s); });
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    return insert(s, key("k1", "p"));
  });
  auto changes = read([&](Session& s) { return load_directory_changes(s, empty.revision); });
  EXPECT_GT(changes.revision, empty.revision);
  EXPECT_EQ(changes.projects.size(), 1U);
  EXPECT_EQ(changes.keys.size(), 1U);
  EXPECT_EQ(read([](Session& s) { return directory_revision(s); }), changes.revision);

  write([&](Session& s) { return insert(s, key("k2", "p")); });
  auto next = read([&](Session& s) { return load_directory_changes(s, changes.revision); });
  EXPECT_TRUE(next.projects.empty());
  ASSERT_EQ(next.keys.size(), 1U);
  EXPECT_EQ(next.keys[0].id, "k2");

  // A change that is rolled back is none.
  EXPECT_FALSE(database_->write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, key("k3", "p")));
    return fail(ErrorCode::kConflict, "no");
  }));
  EXPECT_EQ(read([](Session& s) { return directory_revision(s); }), next.revision);
  EXPECT_FALSE(read([](Session& s) { return find_key(s, "k3"); }));

  // Use of a key is not a change of the directory.
  write([](Session& s) { return touch_keys(s, {{"k1", 5}, {"k2", 6}, {"none", 7}}); });
  write([](Session& s) { return touch_keys(s, {{"k1", 4}, {"k2", 8}}); });
  const auto now = read([](Session& s) { return load_directory(s); });
  EXPECT_EQ(now.revision, next.revision);
  EXPECT_EQ(now.keys[0].last_used + now.keys[1].last_used, 5 + 8);
}

TEST_P(DirectoryTables, ReadersThatFollowTheFeedMissNothing) {
  write([&](Session& s) { return insert(s, project("p")); });
  auto other = open();
  constexpr int kWriters = 6;
  constexpr int kKeys = 12;
  std::atomic<int> running = kWriters;
  std::vector<std::jthread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      Database& database = w % 2 == 0 ? *database_ : *other;
      for (int i = 0; i < kKeys; ++i) {
        EXPECT_TRUE(database.write(
            [&](Session& s) { return insert(s, key(std::to_string(w) + "-" + std::to_string(i), "p")); }));
      }
      --running;
    });
  }
  std::set<std::string> seen;
  std::int64_t revision = 0;
  for (bool last = false; !last;) {
    last = running == 0;
    const auto changes = read([&](Session& s) { return load_directory_changes(s, revision); });
    EXPECT_GE(changes.revision, revision);
    revision = changes.revision;
    for (const auto& row : changes.keys) EXPECT_TRUE(seen.insert(row.id).second) << row.id << " came twice";
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kWriters * kKeys));
}

TEST_P(DirectoryTables, ReadModifyWriteLosesNoUpdate) {
  write([&](Session& s) { return insert(s, project("p")); });
  auto other = open();
  constexpr int kTimes = 20;
  std::vector<std::jthread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kTimes; ++i) {
        EXPECT_TRUE((w % 2 == 0 ? *database_ : *other).write([&](Session& s) -> Result<void> {
          auto row = find_project(s, "p");
          if (!row) return fail(row.error());
          (*row)->created += 1;
          return update(s, **row);
        }));
      }
    });
  }
  writers.clear();
  EXPECT_EQ(read([](Session& s) { return find_project(s, "p"); })->created, 10 + 4 * kTimes);
}

TEST_P(DirectoryTables, TextsAreDataWhateverTheyHold) {
  write([&](Session& s) { return insert(s, project("p")); });
  int number = 0;
  for (const std::string& nasty : kNastyTexts) {
    const std::string id = nasty + std::to_string(++number);
    write([&](Session& s) -> Result<void> {
      if (auto done = insert(s, ProjectRow{.id = id, .name = nasty, .settings = nasty, .created = 1, .disabled = 0});
          !done)
        return done;
      if (auto done = insert(s, RoleRow{.name = id, .rules = nasty, .created = 1}); !done) return done;
      UserRow person{.id = id, .project = id, .name = nasty, .kind = nasty, .role = id, .created = 1, .disabled = 0};
      if (auto done = insert(s, person); !done) return done;
      KeyRow row = key(id, id);
      row.user = id;
      row.role = id;
      row.name = row.settings = nasty;
      if (auto done = insert(s, row); !done) return done;
      if (auto done = update(s, row); !done) return done;
      return touch_keys(s, {{id, 3}});
    });
    const auto found = read([&](Session& s) { return find_key(s, id); });
    ASSERT_TRUE(found) << nasty;
    EXPECT_EQ(found->user, id);
    EXPECT_EQ(found->name, nasty);
    EXPECT_EQ(found->settings, nasty);
    EXPECT_EQ(found->last_used, 3);
    EXPECT_EQ(read([&](Session& s) { return find_user(s, id); })->kind, nasty);
    EXPECT_EQ(read([&](Session& s) { return find_role(s, id); })->rules, nasty);
    EXPECT_EQ(read([&](Session& s) { return find_project(s, id); })->name, nasty);
    EXPECT_FALSE(read([&](Session& s) { return find_key(s, nasty); }));
  }
  EXPECT_EQ(read([](Session& s) { return load_directory(s); }).keys.size(), std::size(kNastyTexts));
}

TEST_P(DirectoryTables, RefusesNulBytesAndWhatIsNotUtf8) {
  write([&](Session& s) -> Result<void> {
    EXPECT_TRUE(insert(s, project("p")));
    return insert(s, key("k", "p"));
  });
  for (const std::string& bad : kUnstorableTexts) {
    EXPECT_FALSE(read([&](Session& s) { return find_key(s, bad); }));
    EXPECT_FALSE(read([&](Session& s) { return find_role(s, bad); }));
    ProjectRow row = project("q");
    row.name = bad;
    auto refused = database_->write([&](Session& s) { return insert(s, row); });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    KeyRow with = key(bad, "p");
    EXPECT_EQ(database_->write([&](Session& s) { return insert(s, with); }).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(database_->write([&](Session& s) { return touch_keys(s, {{bad, 1}}); }).error().code,
              ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(read([](Session& s) { return load_directory(s); }).projects.size(), 1U);
}

}  // namespace
}  // namespace llm::store
