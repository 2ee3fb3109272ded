#include <benchmark/benchmark.h>

#include "store/directory_tables.h"
#include "store/postgres_under_test.h"
#include "store/temporary_sqlite.h"

namespace llm::store {
namespace {

void fill(Database& database, std::int64_t keys) {
  auto done = database.write([&](Session& s) -> Result<void> {
    if (auto made = insert(s, ProjectRow{.id = "p", .name = "P", .settings = "{}", .created = 1, .disabled = 0});
        !made) {
      return made;
    }
    for (std::int64_t i = 0; i < keys; ++i) {
      KeyRow key;
      key.id = "key" + std::to_string(100'000'000 + i);
      key.project = "p";
      key.name = "key number " + std::to_string(i);
      key.role = "user";
      key.hash = std::string(32, static_cast<char>(i));
      key.settings = R"({"models":["*"],"scopes":["generate"]})";
      key.created = 1'790'000'000'000 + i;
      if (auto made = insert(s, key); !made) return made;
    }
    return {};
  });
  if (!done) throw std::runtime_error(done.error().message);
}

void load(benchmark::State& state, Database& database) {
  fill(database, state.range(0));
  for (auto _ : state) {
    auto rows = database.read([](Session& s) { return load_directory(s); });
    if (!rows || rows->keys.size() != static_cast<std::size_t>(state.range(0))) state.SkipWithError("load failed");
    benchmark::DoNotOptimize(rows);
  }
}

// The start of a gateway: everything.
void LoadDirectorySqlite(benchmark::State& state) {
  TemporarySqlite temporary;
  load(state, *temporary.open());
}
BENCHMARK(LoadDirectorySqlite)->Arg(100'000)->Unit(benchmark::kMillisecond)->UseRealTime();

void LoadDirectoryPostgres(benchmark::State& state) {
  auto* postgres = PostgresUnderTest::shared();
  if (postgres == nullptr) return state.SkipWithError(PostgresUnderTest::kMissing);
  auto database = Database::open(postgres->new_database());
  if (!database) return state.SkipWithError(database.error().message.c_str());
  load(state, **database);
}
BENCHMARK(LoadDirectoryPostgres)->Arg(100'000)->Unit(benchmark::kMillisecond)->UseRealTime();

// What every gateway asks several times a second.
void DirectoryRevisionSqlite(benchmark::State& state) {
  TemporarySqlite temporary;
  auto database = temporary.open();
  for (auto _ : state) benchmark::DoNotOptimize(database->read([](Session& s) { return directory_revision(s); }));
}
BENCHMARK(DirectoryRevisionSqlite);

}  // namespace
}  // namespace llm::store
