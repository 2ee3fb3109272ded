#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "access/directory.h"
#include "store/directory_tables.h"
#include "store/temporary_sqlite.h"

// For tests: a directory over a real database in a temporary folder.
namespace llm::access {

struct DirectoryUnderTest {
  store::TemporarySqlite files;
  std::unique_ptr<store::Database> database = files.open();
  Directory directory;

  DirectoryUnderTest() { refresh(); }

  // True: something changed.
  bool refresh() {
    const auto done = directory.refresh(*database);
    EXPECT_TRUE(done) << to_string(done.error());
    return done && *done;
  }
  template <class Row>
  void insert(const Row& row) {
    const auto done = database->write([&](store::Session& session) { return store::insert(session, row); });
    EXPECT_TRUE(done) << to_string(done.error());
  }
  template <class Row>
  void update(const Row& row) {
    const auto done = database->write([&](store::Session& session) { return store::update(session, row); });
    EXPECT_TRUE(done) << to_string(done.error());
  }

  store::ProjectRow project(const std::string& id, const std::string& settings = "{}") {
    store::ProjectRow row{.id = id, .name = id, .settings = settings, .created = 1};
    insert(row);
    return row;
  }
  store::UserRow user(const std::string& id, const std::string& project = "default") {
    store::UserRow row{.id = id, .project = project, .name = id, .kind = "user", .role = "user", .created = 1};
    insert(row);
    return row;
  }
  store::RoleRow role(const std::string& name, const std::string& rules) {
    store::RoleRow row{.name = name, .rules = rules, .created = 1};
    insert(row);
    return row;
  }
  // `text`: the key as its owner has it.
  store::KeyRow key(const std::string& role = "user", const std::string& settings = "{}", std::string* text = nullptr) {
    const NewApiKey made = make_api_key();
    store::KeyRow row;
    row.id = made.id;
    row.project = "default";
    row.name = "a key";
    row.role = role;
    row.hash = made.hash;
    row.settings = settings;
    row.created = 1;
    insert(row);
    if (text != nullptr) *text = made.text;
    return row;
  }
};

}  // namespace llm::access
