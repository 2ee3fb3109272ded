#include <algorithm>
#include <cstdio>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <sqlite3.h>

#include "store/audit_table.h"
#include "store/directory_tables.h"
#include "store/temporary_sqlite.h"
#include "store/usage_tables.h"

// Every write and every fsync of a whole life of a database fails once, in turn, in several ways. Whatever happened:
// what was acknowledged is there after reopening, and what was not is there as a whole or not at all.
namespace llm::store {
namespace {

enum class Fault { kWriteError, kTornWrite, kDiskFull, kSyncError, kTruncateError };

// The file system below SQLite, whose n-th call of a kind fails. One test at a time.
struct Faults {
  Fault fault = Fault::kWriteError;
  int fail_at = 0;         // 0: nothing fails
  bool and_after = false;  // all later ones as well
  int calls = 0;
  bool hit = false;

  bool now(std::initializer_list<Fault> kinds) {
    if (fail_at == 0 || std::find(kinds.begin(), kinds.end(), fault) == kinds.end()) return false;
    ++calls;
    const bool failing = calls == fail_at || (and_after && calls > fail_at);
    hit |= failing;
    return failing;
  }
};
Faults faults;

struct File {
  sqlite3_file base;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
sqlite3_file* real(sqlite3_file* file) {
  return reinterpret_cast<File*>(file)->real();
}
sqlite3_vfs* below = nullptr;

int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 at) {
  if (faults.now({Fault::kWriteError, Fault::kDiskFull, Fault::kTornWrite})) {
    if (faults.fault == Fault::kTornWrite) real(file)->pMethods->xWrite(real(file), data, size / 2, at);
    return faults.fault == Fault::kDiskFull ? SQLITE_FULL : SQLITE_IOERR_WRITE;
  }
  return real(file)->pMethods->xWrite(real(file), data, size, at);
}
int sync(sqlite3_file*, int) {
  return faults.now({Fault::kSyncError}) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (faults.now({Fault::kTruncateError})) return SQLITE_IOERR_TRUNCATE;
  return real(file)->pMethods->xTruncate(real(file), size);
}

const sqlite3_io_methods kMethods = {
    .iVersion = 2,  // without memory-mapped reading
    .xClose = [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); },
    .xRead = [](sqlite3_file* f, void* to, int n,
                sqlite3_int64 at) { return real(f)->pMethods->xRead(real(f), to, n, at); },
    .xWrite = write,
    .xTruncate = truncate,
    .xSync = sync,
    .xFileSize = [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); },
    .xLock = [](sqlite3_file* f, int kind) { return real(f)->pMethods->xLock(real(f), kind); },
    .xUnlock = [](sqlite3_file* f, int kind) { return real(f)->pMethods->xUnlock(real(f), kind); },
    .xCheckReservedLock = [](sqlite3_file* f, int* is) { return real(f)->pMethods->xCheckReservedLock(real(f), is); },
    .xFileControl = [](sqlite3_file* f, int op,
                       void* arg) { return real(f)->pMethods->xFileControl(real(f), op, arg); },
    .xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); },
    .xDeviceCharacteristics = [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); },
    .xShmMap = [](sqlite3_file* f, int page, int size, int extend,
                  void volatile** to) { return real(f)->pMethods->xShmMap(real(f), page, size, extend, to); },
    .xShmLock = [](sqlite3_file* f, int at, int n,
                   int flags) { return real(f)->pMethods->xShmLock(real(f), at, n, flags); },
    .xShmBarrier = [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); },
    .xShmUnmap = [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); },
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  const int result = below->xOpen(below, name, real(file), flags, out_flags);
  file->pMethods = real(file)->pMethods != nullptr ? &kMethods : nullptr;
  return result;
}

class FaultyFileSystem {
 public:
  FaultyFileSystem() : vfs_(*(below = sqlite3_vfs_find(nullptr))) {
    vfs_.zName = "faulty";
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + below->szOsFile;
    vfs_.xOpen = open_file;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FaultyFileSystem() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(below, 1);
  }

 private:
  sqlite3_vfs vfs_;
};

// What is done to the database: each step is one transaction of several rows.
constexpr int kSteps = 6;
constexpr int kManyKeys = 8;

Result<void> do_step(Session& session, int step) {
  const std::string id = std::to_string(step);
  if (auto done = insert(session, ProjectRow{.id = id, .name = "", .settings = "", .created = 1, .disabled = 0});
      !done) {
    return done;
  }
  // One of the steps is bigger than the others.
  for (int i = 0; i < (step == 3 ? kManyKeys : 1); ++i) {
    KeyRow key;
    key.id = id + "-" + std::to_string(i);
    key.project = id;
    key.role = "user";
    key.hash = std::string(32, 'h');
    key.settings = std::string(step == 3 ? 3000 : 2, ' ');
    if (auto done = insert(session, key); !done) return done;
  }
  AuditRow record;
  record.chain = "c";
  record.seq = step;
  if (auto done = append_audit(session, {record}); !done) return done;
  return add_usage(session, "batch" + id,
                   {{.day = 1, .project = "p", .key = "k", .model = "m", .requests = 1 << step}});
}

struct State {
  std::set<int> projects, keys, audit;
  std::int64_t usage = 0;
};

State state_of(Database& database) {
  State state;
  const auto rows = database.read([](Session& s) { return load_directory(s); });
  if (!rows) throw std::runtime_error(rows.error().message);
  for (const auto& row : rows->projects) state.projects.insert(std::stoi(row.id));
  std::map<int, int> keys;
  for (const auto& row : rows->keys) ++keys[std::stoi(row.id)];
  for (const auto& [step, count] : keys) {
    if (count == (step == 3 ? kManyKeys : 1)) state.keys.insert(step);
  }
  EXPECT_EQ(keys.size(), state.keys.size()) << "a part of a step";
  const auto records = database.read([](Session& s) { return audit_chain(s, "c", -1, 1000); });
  for (const auto& row : *records) state.audit.insert(static_cast<int>(row.seq));
  const auto sums = database.read([](Session& s) { return usage(s, {.from_day = 0, .to_day = 9}); });
  for (const auto& row : *sums) state.usage += row.requests;
  return state;
}

// The whole life, up to the first failure. Gives back the steps that were acknowledged.
std::set<int> live(const TemporarySqlite& temporary) {
  std::set<int> acknowledged;
  for (int start = 0; start < 2; ++start) {  // stopped and started again in the middle
    auto database = Database::open(temporary.settings());
    if (!database) return acknowledged;
    for (int step = start * kSteps / 2; step < (start + 1) * kSteps / 2; ++step) {
      const auto done = (*database)->write([&](Session& s) { return do_step(s, step); });
      if (!done) {
        EXPECT_TRUE(done.error().code == ErrorCode::kIo || done.error().code == ErrorCode::kDiskFull)
            << done.error().message;
        EXPECT_TRUE(faults.hit);
        // The failed one is not half done for those who go on either, and the database can be read.
        const auto after = state_of(**database);
        EXPECT_EQ(after.projects, after.keys);
        return acknowledged;
      }
      acknowledged.insert(step);
    }
  }
  return acknowledged;
}

void verify(const TemporarySqlite& temporary, const std::set<int>& acknowledged) {
  auto database = temporary.open();
  const State state = state_of(*database);
  EXPECT_EQ(state.projects, state.keys);
  EXPECT_EQ(state.projects, state.audit);
  std::int64_t usage = 0;
  for (const int step : state.projects) usage += 1 << step;
  EXPECT_EQ(state.usage, usage);
  for (const int step : acknowledged) EXPECT_TRUE(state.projects.contains(step)) << "step " << step << " was lost";
  EXPECT_LE(state.projects.size(), acknowledged.size() + 1);
  // And life goes on.
  EXPECT_TRUE(database->write([](Session& s) { return do_step(s, 20); }));
}

// And whether all calls fail from there on.
class SqliteFaults : public testing::TestWithParam<std::pair<Fault, bool>> {};
INSTANTIATE_TEST_SUITE_P(, SqliteFaults,
                         testing::Values(std::pair(Fault::kWriteError, false), std::pair(Fault::kWriteError, true),
                                         std::pair(Fault::kTornWrite, false), std::pair(Fault::kDiskFull, true),
                                         std::pair(Fault::kSyncError, false), std::pair(Fault::kSyncError, true),
                                         std::pair(Fault::kTruncateError, false)));

TEST_P(SqliteFaults, AtEveryCallLoseNothingAcknowledged) {
  FaultyFileSystem file_system;
  // Making the schema is most of the calls: with one kind of fault it is part of the life, else it has been made
  // before.
  const bool from_nothing = GetParam() == std::pair(Fault::kTornWrite, false);
  const TemporarySqlite made;
  (void)made.open();
  int failed = 0;
  for (int at = 1;; ++at) {
    TemporarySqlite temporary;
    if (!from_nothing) std::filesystem::copy_file(made.file(), temporary.file());
    faults = {.fault = GetParam().first, .fail_at = at, .and_after = GetParam().second};
    const auto acknowledged = live(temporary);
    const bool hit = faults.hit;
    faults = {};
    ASSERT_NO_THROW(verify(temporary, acknowledged)) << "call " << at;
    ASSERT_FALSE(HasFailure()) << "call " << at;
    if (!hit) {
      EXPECT_EQ(acknowledged.size(), static_cast<std::size_t>(kSteps));
      break;
    }
    ++failed;
  }
  std::printf("%d calls failed, one after the other\n", failed);
  if (GetParam().first != Fault::kTruncateError) EXPECT_GT(failed, kSteps);
}

}  // namespace
}  // namespace llm::store
