// Starting and stopping engines with all their replicas.
#include <chrono>
#include <fmt/format.h>

#include "inference/describe.h"
#include "inference/operations/engine_calls.h"

namespace llm {
namespace inference {
struct StartEngineRequest {
  std::string name;
  std::optional<json::Duration> keep_alive;
};
struct StopEngineRequest {
  std::string name;
  bool force = false;
};
}  // namespace inference

template <>
struct json::Fields<inference::StartEngineRequest> {
  static const Table<inference::StartEngineRequest>& table() {
    using R = inference::StartEngineRequest;
    static const Table<R> t{
        "engine start request",
        {field("name", &R::name, {.description = "Entry of engines.vllm, or a model.", .required = true}),
         field("keep_alive", &R::keep_alive,
               {.description = "Stop or sleep after being idle for so long; -1 never. Default: the entry's.",
                .minimum = -1})}};
    return t;
  }
};
template <>
struct json::Fields<inference::StopEngineRequest> {
  static const Table<inference::StopEngineRequest>& table() {
    using R = inference::StopEngineRequest;
    static const Table<R> t{
        "engine stop request",
        {field("name", &R::name, {.description = "Entry of engines.vllm, or a model.", .required = true}),
         field("force", &R::force, {.description = "End requests that are running instead of waiting for them."})}};
    return t;
  }
};

namespace inference {
namespace {

// An image may have to come first, which start_timeout does not count.
constexpr std::chrono::hours kForTheImage{2};

std::chrono::milliseconds patience(const OperationContext& context, const engines::EngineSpec& spec) {
  if (!spec.vllm) return context.backend.load_timeout;
  return std::chrono::milliseconds(spec.vllm->start_timeout.ms) + kForTheImage;
}

Task<Result<json::object>> start_replica(OperationContext& context, std::shared_ptr<const engines::EngineSpec> spec,
                                         std::optional<json::Duration> keep_alive) {
  const auto begin = std::chrono::steady_clock::now();
  engines::Supervisor::AcquireOptions options{
      .keep_alive = keep_alive, .timeout = patience(context, *spec), .progress = {}, .retry_now = true};
  if (context.sink) {
    options.progress = [&context, spec](engines::LoadProgress progress) -> Task<Result<void>> {
      json::object event = loading_event(spec->model, progress);
      event["replica"] = spec->replica;
      co_return co_await context.sink(std::move(event));
    };
  }
  auto lease = co_await context.backend.supervisor.acquire(spec, std::move(options), context.cancel);
  if (!lease) co_return fail(lease.error());
  const auto& info = lease->info();
  co_return json::object{{"replica", spec->replica},
                         {"state", "ready"},
                         {"endpoint", info.endpoint.text()},
                         {"version", info.version},
                         {"context", info.context},
                         {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()}};
}

}  // namespace

Task<Result<json::object>> start_engine(OperationContext context, json::object arguments) {
  const auto request = json::decode<StartEngineRequest>(arguments);
  if (!request) co_return fail(request.error());
  const auto entry = co_await find_engine(context, access::Permission::kModelsWrite, request->name);
  if (!entry) co_return fail(entry.error());
  if (auto servable = router::check_servable(**entry); !servable) co_return fail(servable.error());
  // One after the other: each takes the GPUs that are free after the one before.
  json::array replicas;
  for (const auto& spec : (*entry)->replicas) {
    auto started = co_await start_replica(context, spec, request->keep_alive);
    if (!started) co_return fail(started.error());
    replicas.push_back(std::move(*started));
  }
  co_return json::object{{"name", request->name}, {"model", (*entry)->spec->model}, {"replicas", std::move(replicas)}};
}

Task<Result<json::object>> stop_engine(OperationContext context, json::object arguments) {
  const auto request = json::decode<StopEngineRequest>(arguments);
  if (!request) co_return fail(request.error());
  const auto entry = co_await find_engine(context, access::Permission::kModelsWrite, request->name);
  if (!entry) co_return fail(entry.error());
  std::int64_t stopped = 0;
  Result<void> failed;
  for (const auto& spec : (*entry)->replicas) {
    auto done = co_await context.backend.supervisor.unload(spec->key, request->force);
    if (done) {
      ++stopped;
    } else if (done.error().code != ErrorCode::kNotFound && failed) {
      failed = std::move(done);  // the others are stopped all the same
    }
  }
  if (!failed) co_return fail(failed.error());
  co_return json::object{
      {"name", request->name}, {"model", (*entry)->spec->model}, {"state", "stopped"}, {"stopped", stopped}};
}

}  // namespace inference
}  // namespace llm
