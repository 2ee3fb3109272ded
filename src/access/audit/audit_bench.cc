#include <benchmark/benchmark.h>

#include "access/audit/audit_log.h"
#include "access/audit/audit_record.h"
#include "store/temporary_sqlite.h"

namespace llm::access {
namespace {

AuditEvent request_event() {
  AuditEvent event;
  event.time = 1'700'000'000'000;
  event.request_id = "0192f0c1a2b3c4d5e6f708192a3b4c5d";
  event.principal = "key:0123456789abcdef";
  event.project = "research";
  event.address = "192.0.2.17";
  event.action = "chat";
  event.target = "llama3:8b";
  event.outcome = "ok";
  event.input_tokens = 812;
  event.output_tokens = 240;
  return event;
}

// What a request pays: its event goes into the queue. The writer runs beside it.
void record(benchmark::State& state) {
  const store::TemporarySqlite folder;
  auto log = AuditLog::open({.directory = folder.folder() / "audit", .queue_limit = 10'000'000}, nullptr, {});
  for (auto _ : state) (*log)->record(request_event());
}
BENCHMARK(record)->Iterations(200'000);

// What the writer pays: the line, its hash included.
void make_line_of_request(benchmark::State& state) {
  const AuditEvent event = request_event();
  const std::string hash = genesis_hash();
  for (auto _ : state)
    benchmark::DoNotOptimize(make_line(1'000'000, "0192f0c1a2b3c4d5e6f708192a3b4c5d", hash, 0, event));
}
BENCHMARK(make_line_of_request);

void verify(benchmark::State& state) {
  const store::TemporarySqlite folder;
  const auto directory = folder.folder() / "audit";
  {
    auto log = AuditLog::open({.directory = directory, .queue_limit = 10'000'000}, nullptr, {});
    for (int i = 0; i < 50'000; ++i) (*log)->record(request_event());
  }
  for (auto _ : state) benchmark::DoNotOptimize(verify_audit(directory, nullptr));
  state.SetItemsProcessed(state.iterations() * 50'000);
}
BENCHMARK(verify)->Iterations(3);

}  // namespace
}  // namespace llm::access
