#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <malloc.h>
#include <unistd.h>

#include "access/authenticator.h"
#include "store/directory_tables.h"
#include "store/temporary_sqlite.h"

// 100,000 keys in SQLite: how long they take to load, how much memory they keep, what a change and a request cost.
// Keys as in a large installation: 50 projects, 2,000 users, a name each, 20 kinds of settings.
namespace llm::access {
namespace {

constexpr int kKeys = 100'000;
constexpr int kProjects = 50;
constexpr int kUsers = 2'000;
constexpr double kMiB = 1024.0 * 1024;

std::size_t allocated() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::string settings_of(int i) {
  const int kind = i % 20;
  if (kind < 10) return "{}";
  return fmt::format(
      R"({{"models": ["llama*", "qwen{}"], "addresses": ["10.{}.0.0/16"], "limits": {{"concurrent": {}}}}})", kind,
      kind, kind);
}

struct Installation {
  store::TemporarySqlite files;
  std::unique_ptr<store::Database> database = files.open();
  std::vector<std::string> keys;

  Installation() {
    const auto filled = database->write([&](store::Session& session) -> Result<void> {
      keys.clear();
      for (int i = 0; i < kProjects; ++i) {
        store::ProjectRow row{.id = fmt::format("project-{}", i), .name = "A project", .settings = "{}", .created = 1};
        if (auto done = store::insert(session, row); !done) return done;
      }
      for (int i = 0; i < kUsers; ++i) {
        store::UserRow row{.id = fmt::format("user-{}@example.com", i),
                           .project = fmt::format("project-{}", i % kProjects),
                           .name = "Somebody",
                           .kind = "user",
                           .role = "user",
                           .created = 1};
        if (auto done = store::insert(session, row); !done) return done;
      }
      for (int i = 0; i < kKeys; ++i) {
        NewApiKey made = make_api_key();
        store::KeyRow row;
        row.id = made.id;
        row.project = fmt::format("project-{}", i % kProjects);
        row.user = fmt::format("user-{}@example.com", i % kUsers);
        row.name = fmt::format("key number {}", i);
        row.role = i % 100 == 0 ? "operator" : "user";
        row.hash = made.hash;
        row.settings = settings_of(i);
        row.created = 1;
        if (auto done = store::insert(session, row); !done) return done;
        keys.push_back(std::move(made.text));
      }
      return {};
    });
    if (!filled) {
      fmt::print(stderr, "{}\n", to_string(filled.error()));
      std::abort();
    }
  }
};

Installation& installation() {
  static Installation one;
  return one;
}

void BM_Load(benchmark::State& state) {
  Installation& from = installation();
  double kept = 0;
  double peak = 0;
  for (auto _ : state) {
    state.PauseTiming();
    ::malloc_trim(0);
    const std::size_t before = allocated();
    const std::size_t resident_before = resident();
    auto directory = std::make_unique<Directory>();
    state.ResumeTiming();
    const auto done = directory->refresh(*from.database);
    if (!done || directory->keys() != kKeys) state.SkipWithError("not loaded");
    state.PauseTiming();
    peak = std::max(peak, static_cast<double>(resident()) - static_cast<double>(resident_before));
    kept = static_cast<double>(allocated()) - static_cast<double>(before);
    directory.reset();
    state.ResumeTiming();
  }
  state.counters["kept_MiB"] = kept / kMiB;
  state.counters["resident_after_MiB"] = peak / kMiB;  // with what the allocator has not given back yet
  state.counters["bytes_per_key"] = kept / kKeys;
}
BENCHMARK(BM_Load)->Unit(benchmark::kMillisecond)->Iterations(3);

struct Loaded {
  Directory directory;
  LoginThrottle throttle;
  std::int64_t now = 1;
  Authenticator authenticator{{}, directory, nullptr, throttle, [this] { return now; }};

  Loaded() {
    if (!directory.refresh(*installation().database)) std::abort();
  }
};

Loaded& loaded() {
  static Loaded one;
  return one;
}

void BM_PollWithoutNews(benchmark::State& state) {
  Loaded& one = loaded();
  for (auto _ : state) benchmark::DoNotOptimize(one.directory.refresh(*installation().database));
}
BENCHMARK(BM_PollWithoutNews)->Unit(benchmark::kMicrosecond);

void BM_OneKeyChanges(benchmark::State& state) {
  Loaded& one = loaded();
  Installation& from = installation();
  const std::string id = from.keys.front().substr(4, 16);
  for (auto _ : state) {
    state.PauseTiming();
    const auto changed = from.database->write([&](store::Session& session) -> Result<void> {
      auto row = store::find_key(session, id);
      if (!row) return fail(row.error());
      return store::update(session, **row);
    });
    if (!changed) state.SkipWithError("not changed");
    state.ResumeTiming();
    benchmark::DoNotOptimize(one.directory.refresh(*from.database));
  }
}
BENCHMARK(BM_OneKeyChanges)->Unit(benchmark::kMicrosecond)->Iterations(50);

// Keys that may be used from anywhere, `step` apart: one key again and again, or all in turn, where the processor's
// caches do not help.
void authenticate(benchmark::State& state, std::size_t step) {
  Loaded& one = loaded();
  std::vector<std::string> fields;
  for (int i = 0; i < kKeys; ++i) {
    if (i % 20 < 10) fields.push_back("Bearer " + installation().keys[static_cast<std::size_t>(i)]);
  }
  std::size_t next = 0;
  for (auto _ : state) {
    Credentials credentials;
    credentials.authorization = fields[next];
    credentials.address = "127.0.0.1:52100";
    auto principal = one.authenticator.try_authenticate(credentials);
    if (!principal || !*principal) state.SkipWithError("not authenticated");
    benchmark::DoNotOptimize(principal);
    next = (next + step) % fields.size();
  }
}
void BM_OneKey(benchmark::State& state) {
  authenticate(state, 0);
}
BENCHMARK(BM_OneKey);
void BM_AllKeysInTurn(benchmark::State& state) {
  authenticate(state, 7919);
}
BENCHMARK(BM_AllKeysInTurn);
void BM_HashAlone(benchmark::State& state) {
  const NewApiKey key = make_api_key();
  const auto parsed = *parse_api_key(key.text);
  for (auto _ : state) benchmark::DoNotOptimize(hash_api_key(parsed));
}
BENCHMARK(BM_HashAlone);

}  // namespace
}  // namespace llm::access
