#include <gmock/gmock.h>

#include "access/audit/audit_under_test.h"

// What was done to the files or the table after the fact is found, with the place.
namespace llm::access {
namespace {

using ::testing::HasSubstr;

struct File {
  std::filesystem::path path;
  std::vector<std::string> lines;
};
using Trail = std::vector<File>;

class AuditTamperTest : public testing::AuditTest {
 protected:
  // Four files with three lines each and one line in the fifth.
  void SetUp() override {
    settings.rotate_bytes = 1'000;
    database = std::make_unique<testing::UnsteadyDatabase>(folder.open());
    auto log = open_log(database.get());
    while (files().size() < 5) EXPECT_TRUE(log->commit(event("a", std::to_string(lines().size()))));
    EXPECT_TRUE(log->flush());
    log.reset();
    original = load();
    chain = audit_files(settings.directory)->begin()->first;
    verified(database.get());
  }
  Trail load() const {
    Trail trail;
    for (const auto& path : files()) trail.push_back({path, testing::lines_of(path)});
    return trail;
  }
  void store(const Trail& trail) const {
    for (const auto& path : files()) std::filesystem::remove(path);
    for (const auto& file : trail) {
      std::string text;
      for (const auto& line : file.lines) text += line + "\n";
      testing::write_whole(file.path, text);
    }
  }
  std::filesystem::path path(std::int64_t first_seq) const {
    return audit_file_path(settings.directory, chain, first_seq);
  }
  // The line with another text, and a hash that fits it.
  static std::string forged(const std::string& line, std::string_view from, std::string_view to) {
    std::string out = line;
    out.replace(out.find(from), from.size(), to);
    const auto parts = split_line(out);
    const std::string hash = audit_hash(parts->prev, std::string(parts->before_hash) + "}");
    return std::string(parts->before_hash) + ",\"hash\":\"" + hash + "\"}";
  }
  // A whole new history, each line of it right.
  static void rehash(Trail& trail) {
    std::string hash = genesis_hash();
    for (auto& file : trail) {
      for (auto& line : file.lines) {
        const auto parts = split_line(line);
        const std::string old_prev(parts->prev);
        line = forged(line, "\"prev\":\"" + old_prev, "\"prev\":\"" + hash);
        hash = split_line(line)->hash;
      }
    }
  }

  std::unique_ptr<testing::UnsteadyDatabase> database;
  Trail original;
  std::string chain;
};

struct Case {
  const char* what;
  std::function<void(Trail&)> change;
  std::size_t file;  // where it is found
  std::int64_t line;
};

TEST_F(AuditTamperTest, EveryChangeOfTheFilesIsFoundWithFileAndLine) {
  ASSERT_EQ(original.size(), 5U);
  for (std::size_t i = 0; i < 4; ++i) ASSERT_EQ(original[i].lines.size(), 3U);
  const std::vector<Case> cases = {
      {"a member changed", [](Trail& t) { t[1].lines[1].replace(t[1].lines[1].find("key:k1"), 6, "key:k2"); }, 1, 2},
      {"the time changed",
       [](Trail& t) { t[1].lines[1].replace(t[1].lines[1].find("\"time\":\"20"), 10, "\"time\":\"19"); }, 1, 2},
      {"the hash changed", [](Trail& t) { t[2].lines[2][t[2].lines[2].size() - 3] ^= 1; }, 2, 3},
      {"changed and hashed anew", [](Trail& t) { t[1].lines[1] = forged(t[1].lines[1], "key:k1", "key:k2"); }, 1, 3},
      {"the last of a file changed and hashed anew",
       [](Trail& t) { t[1].lines[2] = forged(t[1].lines[2], "key:k1", "key:k2"); }, 2, 1},
      {"the first line removed", [](Trail& t) { t[0].lines.erase(t[0].lines.begin()); }, 0, 1},
      {"a line removed", [](Trail& t) { t[1].lines.erase(t[1].lines.begin() + 1); }, 1, 2},
      {"the last line of a file removed", [](Trail& t) { t[1].lines.pop_back(); }, 2, 1},
      {"two lines swapped", [](Trail& t) { std::swap(t[1].lines[0], t[1].lines[1]); }, 1, 1},
      {"a line twice", [](Trail& t) { t[1].lines.insert(t[1].lines.begin() + 1, t[1].lines[1]); }, 1, 3},
      {"a line of elsewhere inserted", [](Trail& t) { t[1].lines.insert(t[1].lines.begin() + 1, t[3].lines[0]); }, 1,
       2},
      {"a forged line inserted",
       [](Trail& t) {
         const auto parts = *split_line(t[1].lines[0]);
         AuditEvent event;
         event.action = "a";
         t[1].lines.insert(t[1].lines.begin() + 1,
                           make_line(parts.seq + 1, row_of(t[1].lines[0])->chain, parts.hash, 1, event).text);
       },
       1, 3},
      {"renumbered",
       [](Trail& t) {
         t[1].lines.erase(t[1].lines.begin());
         t[1].lines[0] = forged(t[1].lines[0], "{\"seq\":5", "{\"seq\":4");
       },
       1, 1},
      {"an empty line", [](Trail& t) { t[1].lines.insert(t[1].lines.begin() + 1, ""); }, 1, 2},
      {"a space at the end", [](Trail& t) { t[1].lines[1] += " "; }, 1, 2},
      {"not JSON", [](Trail& t) { t[1].lines[1] = "removed"; }, 1, 2},
      {"written in another way", [](Trail& t) { t[1].lines[1].replace(0, 9, "{ \"seq\":5"); }, 1, 2},
      {"the first file removed", [](Trail& t) { t.erase(t.begin()); }, 0, 1},
      {"a file removed", [](Trail& t) { t.erase(t.begin() + 1); }, 1, 1},
      {"a file emptied", [](Trail& t) { t[1].lines.clear(); }, 1, 1},
      {"a file replaced", [](Trail& t) { t[2].lines = t[1].lines; }, 2, 1},
      {"two files swapped", [](Trail& t) { std::swap(t[1].lines, t[2].lines); }, 1, 1},
      {"the newest file is another's",
       [](Trail& t) {
         AuditEvent event;
         t[4].lines = {make_line(13, std::string(32, 'f'), split_line(t[3].lines[2])->hash, 1, event).text};
       },
       4, 1},
  };
  for (const bool with_rows : {false, true}) {
    for (const auto& [what, change, file, line] : cases) {
      SCOPED_TRACE(what);
      Trail trail = original;
      change(trail);
      store(trail);
      const auto result = verify_audit(settings.directory, with_rows ? database.get() : nullptr);
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, ErrorCode::kConflict);
      ASSERT_EQ(result.error().details.size(), 2U);
      if (with_rows) continue;  // may be found earlier: at the line that was changed, where its hash was made to fit
      const std::vector<ErrorDetail> place = {{"file", trail[file].path.filename().string()}, {"line", line}};
      EXPECT_EQ(result.error().details, place) << result.error().message;
      EXPECT_THAT(result.error().message,
                  HasSubstr(fmt::format("{}, line {}:", trail[file].path.filename().string(), line)));
    }
  }
  store(original);
  verified(database.get());
}

TEST_F(AuditTamperTest, EveryByteCounts) {
  for (const std::size_t i : {std::size_t{1}, original.size() - 1}) {
    const std::string text = testing::read_whole(original[i].path);
    // The newline at the very end is what only the table can miss.
    auto* const table = i == 1 ? nullptr : database.get();
    for (std::size_t at = 0; at < text.size(); ++at) {
      std::string changed = text;
      changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
      testing::write_whole(original[i].path, changed);
      ASSERT_FALSE(verify_audit(settings.directory, table)) << original[i].path << ", byte " << at;
    }
    testing::write_whole(original[i].path, text);
  }
}

// What the files alone cannot tell, the table can.
TEST_F(AuditTamperTest, NewestLinesCutOffAreFoundByTheTable) {
  const std::vector<std::function<void(Trail&)>> cuts = {
      [](Trail& t) { t.pop_back(); },
      [](Trail& t) { t[4].lines.clear(); },
      [](Trail& t) {
        t.pop_back();
        t[3].lines.pop_back();
      },
      [](Trail& t) { t.resize(1); },
  };
  for (const auto& cut : cuts) {
    Trail trail = original;
    cut(trail);
    store(trail);
    EXPECT_TRUE(verify_audit(settings.directory, nullptr));  // as audit_log.h says
    const auto result = verify_audit(settings.directory, database.get());
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("the database has record"));
    EXPECT_EQ(try_open(database.get()).error().code, ErrorCode::kConflict);
  }
}

TEST_F(AuditTamperTest, ANewHistoryIsFoundByTheTable) {
  Trail trail = original;
  auto& line = trail[1].lines[1];
  line.replace(line.find("key:k1"), 6, "key:k2");
  rehash(trail);
  store(trail);
  EXPECT_TRUE(verify_audit(settings.directory, nullptr));
  const auto result = verify_audit(settings.directory, database.get());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().details.back(), (ErrorDetail{"line", 2}));
  EXPECT_FALSE(try_open(database.get()));
}

TEST_F(AuditTamperTest, ChangesOfTheTableAreFound) {
  const auto rows = [&] {
    return *database->read([&](store::Session& session) { return store::audit_chain(session, chain, 0, 100); });
  }();
  // The table has no way to change rows: another database, with other rows, has.
  const auto with = [&](std::vector<store::AuditRow> changed) {
    const store::TemporarySqlite other;
    auto second = other.open();
    EXPECT_TRUE(second->write([&](store::Session& session) { return store::append_audit(session, changed); }));
    return verify_audit(settings.directory, second.get());
  };
  EXPECT_TRUE(with(rows));
  auto changed = rows;
  changed[4].principal = "somebody";
  EXPECT_THAT(with(changed).error().message, HasSubstr("the database has another record 5"));
  changed = rows;
  changed[4].record[20] ^= 1;
  EXPECT_FALSE(with(changed));
  changed = rows;
  changed.erase(changed.begin() + 4);
  EXPECT_THAT(with(changed).error().message, HasSubstr("the database lacks record 5"));
  changed = rows;
  changed.push_back(changed.back());
  changed.back().seq += 1;
  EXPECT_FALSE(with(changed));
  // At the ends rows may lack: old ones were removed, new ones are copied a little later. Both are said.
  changed = rows;
  changed.resize(10);
  EXPECT_EQ(with(changed)->at("chains").at(0).at("rows_behind").as_int64(), 3);
  changed = rows;
  changed.erase(changed.begin(), changed.begin() + 2);
  EXPECT_EQ(with(changed)->at("chains").at(0).at("rows_first").as_int64(), 3);
}

TEST_F(AuditTamperTest, AChainWithoutFilesIsFoundUnlessItIsOfAnotherMachine) {
  store({});
  EXPECT_THAT(verify_audit(settings.directory, database.get()).error().message, HasSubstr(chain));
  database->many_gateways = true;
  const auto result = verified(database.get());
  EXPECT_EQ(result.at("chains").at(0).at("files").as_int64(), 0);
  EXPECT_EQ(result.at("chains").at(0).at("records").as_int64(), 13);
}

TEST_F(AuditTamperTest, LinksAndOtherThingsAreNoFilesOfTheTrail) {
  std::filesystem::rename(original[2].path, folder.folder() / "elsewhere");
  std::filesystem::create_symlink(folder.folder() / "elsewhere", original[2].path);
  EXPECT_FALSE(verify_audit(settings.directory, nullptr));
  std::filesystem::remove(original[2].path);
  std::filesystem::create_directory(original[2].path);
  EXPECT_FALSE(verify_audit(settings.directory, nullptr));
}

TEST_F(AuditTamperTest, AForgedRemovalMustKnowTheHash) {
  Trail trail = original;
  trail.erase(trail.begin());
  const auto last = *split_line(trail.back().lines.back());
  const Removed wrong{.seq = 3, .hash = std::string(64, '0')};
  trail.back().lines.push_back(make_line(last.seq + 1, chain, last.hash, 1, retention_event(wrong, "x")).text);
  store(trail);
  EXPECT_EQ(verify_audit(settings.directory, nullptr).error().code, ErrorCode::kConflict);
}

}  // namespace
}  // namespace llm::access
