#include "inference/local_model_api.h"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "async/watch.h"
#include "base/random.h"
#include "base/strings.h"
#include "engines/cpu_budget.h"
#include "inference/checks.h"
#include "inference/default_model.h"
#include "inference/describe.h"
#include "inference/generate.h"
#include "inference/model_rights.h"
#include "inference/operations/operation.h"
#include "inference/text_sink.h"

namespace llm::inference {
namespace {

struct LoadRequest {
  std::string model;
  std::optional<json::Duration> keep_alive;
  bool stream = false;
};
struct UnloadRequest {
  std::string model;
  bool force = false;
};

}  // namespace
}  // namespace llm::inference

template <>
struct llm::json::Fields<llm::inference::LoadRequest> {
  static const Table<inference::LoadRequest>& table() {
    using R = inference::LoadRequest;
    static const Table<R> t{"load request",
                            {field("model", &R::model, {.description = "Model name or alias."}),
                             field("keep_alive", &R::keep_alive,
                                   {.description = "Unload after being idle for so long; -1 never.", .minimum = -1}),
                             field("stream", &R::stream, {.description = "Report progress while loading."})}};
    return t;
  }
};
template <>
struct llm::json::Fields<llm::inference::UnloadRequest> {
  static const Table<inference::UnloadRequest>& table() {
    using R = inference::UnloadRequest;
    static const Table<R> t{
        "unload request",
        {field("model", &R::model, {.description = "Model name or alias.", .required = true, .min_length = 1}),
         field("force", &R::force, {.description = "Do not wait for running requests."})}};
    return t;
  }
};

namespace llm::inference {
namespace {

// For answers that come whole: only the waiting is worth events.
class LoadingSink final : public Sink {
 public:
  explicit LoadingSink(EventSink& sink) : sink_(sink) {}
  Task<Result<void>> on_loading(std::string_view model, const engines::LoadProgress& progress) override {
    co_return co_await sink_(loading_event(model, progress));
  }
  Task<Result<void>> on_events(std::span<const std::string_view>) override { co_return Result<void>(); }

 private:
  EventSink& sink_;
};

// A log line as JSON can carry it, and not longer than people read.
std::string printable_line(std::string_view line) {
  constexpr std::size_t kLongest = 500;  // bytes
  std::string text(line.substr(0, kLongest));
  text.resize(utf8_complete_prefix(text));
  if (text.size() < line.size()) text += "…";
  return valid_utf8(text) ? text : "(not UTF-8)";
}

Task<Result<void>> no_events(json::object) {
  co_return Result<void>();
}

}  // namespace

std::string new_request_id() {
  return unique_id("req_");
}

LocalModelApi::LocalModelApi(Backend& backend, Loop& loop, access::Principal principal, std::string request_id,
                             CallOptions options)
    : backend_(backend),
      loop_(loop),
      principal_(std::move(principal)),
      request_id_(std::move(request_id)),
      options_(std::move(options)) {}

std::string LocalModelApi::next_request_id() const {
  return request_id_.empty() ? new_request_id() : request_id_;
}

Task<Result<json::object>> LocalModelApi::generate(json::object request, EventSink sink, CancelToken cancel) {
  auto decoded = json::decode<GenerateRequest>(request);
  if (!decoded) co_return fail(decoded.error());
  auto engine_request = to_engine_request(*decoded);
  if (!engine_request) co_return fail(engine_request.error());
  if (!sink) sink = no_events;
  Request work{
      .operation = engine_request->chat ? Operation::kChat : Operation::kCompletion,
      .body = std::move(engine_request->body),
      .stream = true,  // also when the caller wants it whole: a client that goes away is then noticed by the engine
      .request_id = next_request_id(),
      .principal = principal_,
      .keep_alive = decoded->keep_alive,
      .options = options_};
  TextSink text(sink);
  auto outcome = co_await backend_.service.run(std::move(work), &text, loop_, cancel);
  if (!outcome) co_return fail(outcome.error());
  json::object answer{{"id", ""}, {"model", outcome->model}, {"text", ""}};
  text.complete(answer);
  answer["finish_reason"] = outcome->finish_reason;
  answer["usage"] = usage_json(outcome->usage);
  answer["timings"] = outcome->timings;
  answer["version"] = outcome->version;
  co_return answer;
}

Task<Result<json::object>> LocalModelApi::forward(Operation operation, json::object request, EventSink sink,
                                                  CancelToken cancel, std::string* model) {
  if (!sink) sink = no_events;
  LoadingSink loading(sink);
  Request work{.operation = operation,
               .body = std::move(request),
               .request_id = next_request_id(),
               .principal = principal_,
               .keep_alive = {},
               .options = options_};
  auto outcome = co_await backend_.service.run(std::move(work), &loading, loop_, cancel);
  if (!outcome) co_return fail(outcome.error());
  if (model) *model = outcome->model;
  auto answer = json::parse(outcome->body);
  if (!answer || !answer->is_object())
    co_return fail(ErrorCode::kEngineFailed, "the engine's answer is not a JSON object");
  co_return std::move(answer->get_object());
}

Task<Result<json::object>> LocalModelApi::embed(json::object request, EventSink sink, CancelToken cancel) {
  return forward(Operation::kEmbedding, std::move(request), std::move(sink), std::move(cancel));
}

Task<Result<json::object>> LocalModelApi::rerank(json::object request, EventSink sink, CancelToken cancel) {
  return forward(Operation::kRerank, std::move(request), std::move(sink), std::move(cancel));
}

Task<Result<std::shared_ptr<const router::CatalogueEntry>>> LocalModelApi::find(access::Permission permission,
                                                                                std::string name, bool default_too) {
  using Found = Result<std::shared_ptr<const router::CatalogueEntry>>;
  Found entry = default_too ? co_await resolve_model(backend_.catalogue, backend_.supervisor, name)
                            : co_await backend_.catalogue.resolve(name);
  const std::string_view resolved = entry ? std::string_view((*entry)->name) : std::string_view();
  if (auto may = check_model_right(principal_, permission, name, resolved); !may) co_return fail(may.error());
  co_return entry;
}

void LocalModelApi::audit(std::string_view action, std::string_view model, const Result<json::object>& result) const {
  if (!backend_.access) return;
  backend_.access->audit.record({.request_id = request_id_,
                                 .principal = principal_.id,
                                 .project = std::string(principal_.project()),
                                 .user = principal_.identity ? principal_.identity->user : std::string(),
                                 .address = principal_.address,
                                 .action = std::string(action),
                                 .target = std::string(model),
                                 .outcome = std::string(result ? "ok" : describe(result.error().code).name),
                                 .message = result ? std::string() : result.error().message});
}

Task<Result<json::object>> LocalModelApi::list_models() {
  auto snapshot = co_await backend_.catalogue.list(true);
  if (!snapshot) co_return fail(snapshot.error());
  const auto reports = backend_.supervisor.report();
  json::array models;
  const auto visible = [this](std::string_view name) {
    return principal_.local() || principal_.may(access::Permission::kModelsRead, name);
  };
  for (const auto& entry : (*snapshot)->entries) {
    if (visible(entry->name)) models.push_back(model_summary(*entry, reports, **snapshot));
  }
  json::object aliases;
  for (const auto& [alias, target] : (*snapshot)->aliases) {
    if (visible(target) || visible(alias)) aliases[alias] = target;
  }
  // What a request without a model gets.
  const auto fallback = co_await find(access::Permission::kModelsRead, "", true);
  co_return json::object{{"models", std::move(models)},
                         {"aliases", std::move(aliases)},
                         {"default", fallback ? json::value((*fallback)->spec->model) : json::value()}};
}

Task<Result<json::object>> LocalModelApi::model_info(std::string name) {
  auto entry = co_await find(access::Permission::kModelsRead, std::move(name), true);
  if (!entry) co_return fail(entry.error());
  auto snapshot = co_await backend_.catalogue.list(false);
  if (!snapshot) co_return fail(snapshot.error());
  co_return model_details(**entry, backend_.supervisor.report(), **snapshot);
}

Task<Result<json::object>> LocalModelApi::load_model(json::object request, EventSink sink, CancelToken cancel) {
  auto decoded = json::decode<LoadRequest>(request);
  if (!decoded) co_return fail(decoded.error());
  auto entry = co_await find(access::Permission::kModelsWrite, decoded->model, true);
  auto loaded = entry ? co_await load(**entry, decoded->keep_alive, sink, std::move(cancel))
                      : Result<json::object>(fail(entry.error()));
  audit("model.load", entry ? (*entry)->name : decoded->model, loaded);
  co_return loaded;
}

Task<Result<json::object>> LocalModelApi::load(const router::CatalogueEntry& entry,
                                               std::optional<json::Duration> keep_alive, EventSink& sink,
                                               CancelToken cancel) {
  if (auto servable = router::check_servable(entry); !servable) co_return fail(servable.error());
  const auto begin = std::chrono::steady_clock::now();
  engines::Supervisor::AcquireOptions options{
      .keep_alive = keep_alive, .timeout = backend_.load_timeout, .progress = {}, .retry_now = true};
  if (sink) {
    options.progress = [&sink, &entry](engines::LoadProgress progress) -> Task<Result<void>> {
      co_return co_await sink(loading_event(entry.spec->model, progress));
    };
  }
  // All of its replicas, one after the other: each may have to make room.
  Result<engines::Lease> lease = engines::Lease();
  for (const auto& replica : entry.replicas) {
    auto next = co_await backend_.supervisor.acquire(replica, options, cancel);
    if (!next) co_return fail(next.error());
    if (replica == entry.replicas.front()) lease = std::move(next);
  }
  json::object answer{{"model", entry.spec->model},
                      {"state", "ready"},
                      {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()},
                      {"context", lease->info().context},
                      {"slots", lease->info().slots},
                      {"memory_bytes", 0}};
  if (entry.replicas.size() > 1) answer["replicas"] = entry.replicas.size();
  std::uint64_t used = 0;
  for (const auto& report : backend_.supervisor.report()) {
    const auto same = [&](const auto& replica) { return replica->key == report.key; };
    if (std::ranges::any_of(entry.replicas, same)) used += report.memory_used;
  }
  answer["memory_bytes"] = used;
  co_return answer;
}

// All replicas; whether any of them was loaded.
Task<Result<bool>> LocalModelApi::unload(const router::CatalogueEntry& entry, bool force) {
  bool any = false;
  for (const auto& replica : entry.replicas) {
    auto unloaded = co_await backend_.supervisor.unload(replica->key, force);
    if (!unloaded && unloaded.error().code != ErrorCode::kNotFound) co_return fail(unloaded.error());
    any = any || unloaded.has_value();
  }
  co_return any;
}

Task<Result<json::object>> LocalModelApi::unload_model(json::object request) {
  auto decoded = json::decode<UnloadRequest>(request);
  if (!decoded) co_return fail(decoded.error());
  auto entry = co_await find(access::Permission::kModelsWrite, decoded->model, false);
  Result<json::object> answer = json::object();
  if (entry) {
    auto unloaded = co_await unload(**entry, decoded->force);
    if (unloaded) {
      answer = json::object{{"model", (*entry)->spec->model}, {"state", "stopped"}, {"was_loaded", *unloaded}};
    } else {
      answer = fail(unloaded.error());
    }
  } else {
    answer = fail(entry.error());
  }
  audit("model.unload", entry ? (*entry)->name : decoded->model, answer);
  co_return answer;
}

Task<Result<json::object>> LocalModelApi::remove_model(std::string name) {
  auto removed = co_await remove(name);
  audit("model.remove", name, removed);
  co_return removed;
}

Task<Result<json::object>> LocalModelApi::remove(std::string name) {
  auto entry = co_await find(access::Permission::kAdmin, name, false);
  if (!entry) co_return fail(entry.error());
  // One version goes by itself, not the model with all of them.
  if (const auto version = models::parse_version_ref(name); version && !version->digits.empty()) {
    auto removed = co_await backend_.files.run([this, &version] { return backend_.store.remove_version(*version); });
    backend_.catalogue.invalidate();
    if (!removed) co_return fail(removed.error());
    // Versions that differ in notes alone share an engine.
    const auto now = co_await backend_.catalogue.resolve(models::to_string(version->name));
    if (!now || (*now)->spec->key != (*entry)->spec->key) (void)co_await unload(**entry, false);
    co_return json::object{{"model", (*entry)->version}, {"removed", true}};
  }
  if ((*entry)->manifest.size == 0) {
    co_return fail(ErrorCode::kConflict, fmt::format("model \"{}\" belongs to an external engine; remove it from the "
                                                     "configuration",
                                                     (*entry)->spec->model));
  }
  (void)co_await unload(**entry, false);
  const auto model = (*entry)->manifest.name;
  auto removed = co_await backend_.files.run([this, &model] { return backend_.store.remove(model); });
  backend_.catalogue.invalidate();
  if (!removed) co_return fail(removed.error());
  // A request that came in between may have loaded it once more; and its other versions have engines, too.
  (void)co_await unload(**entry, false);
  for (const auto& report : backend_.supervisor.report()) {
    if (report.key == (*entry)->name || report.key.starts_with((*entry)->name + "@sha256:"))
      (void)co_await backend_.supervisor.unload(report.key, false);
  }
  backend_.log.info("model removed", {{"model", (*entry)->name}});
  co_return json::object{{"model", (*entry)->spec->model}, {"removed", true}};
}

Task<Result<json::object>> LocalModelApi::engines() {
  json::array list;
  for (const auto& report : backend_.supervisor.report()) {
    // Who may see a model's engines sees those of its replicas ("…#1") and versions ("…@sha256:…"), too.
    const std::string_view model = std::string_view(report.key).substr(0, report.key.find_first_of("@#"));
    if (principal_.local() || principal_.may(access::Permission::kEnginesRead, report.key) ||
        principal_.may(access::Permission::kEnginesRead, model)) {
      list.push_back(engine_json(report));
    }
  }
  co_return json::object{{"engines", std::move(list)}};
}

Task<Result<json::object>> LocalModelApi::engine_logs(std::string name) {
  // The engine may be of a model that is gone, or of an external one, whose name the catalogue makes up.
  auto entry = co_await find(access::Permission::kEnginesRead, name, false);
  if (!entry && entry.error().code == ErrorCode::kPermissionDenied) co_return fail(entry.error());
  if (entry) {
    if (auto harmless = check_log(*(*entry)->spec); !harmless) co_return fail(std::move(harmless.error()));
  }
  const std::string key = entry ? (*entry)->spec->key : name;
  auto lines = co_await backend_.supervisor.log_lines(key);
  if (!lines && !entry) co_return fail(entry.error());
  if (!lines) co_return fail(std::move(lines.error()));
  json::array told;
  for (const auto& line : *lines) told.emplace_back(printable_line(line));
  co_return json::object{{"model", entry ? (*entry)->spec->model : name}, {"lines", std::move(told)}};
}

Task<Result<json::object>> LocalModelApi::operate(std::string operation, json::object arguments, EventSink sink,
                                                  CancelToken cancel) {
  const OperationRow* row = find_operation(operation);
  if (!row) co_return fail(ErrorCode::kNotFound, fmt::format("there is no operation \"{}\"", operation));
  const std::string target(json::string_or(arguments, "name"));
  auto result = co_await row->handler(
      {backend_, loop_, principal_, next_request_id(), std::move(sink), std::move(cancel)}, std::move(arguments));
  // What only looks leaves no trace.
  if (row->method != "GET") audit(operation, target, result);
  co_return result;
}

Task<Result<json::object>> LocalModelApi::status() {
  auto snapshot = co_await backend_.catalogue.list(false);
  if (!snapshot) co_return fail(snapshot.error());
  std::int64_t ready = 0;
  double own_load = 0;
  for (const auto& report : backend_.supervisor.report()) {
    if (report.status.state != engines::EngineState::kReady) continue;
    ++ready;
    if (report.in_flight > 0) own_load += report.status.info.threads;
  }
  // Files under /proc and /sys: not on a loop that carries streams.
  const auto machine = co_await backend_.files.run(
      [] { return std::tuple(engines::read_system_memory(), engines::read_cpu_facts(), gpus()); });
  const auto& [memory, cpu, cards] = machine;
  const auto budget = engines::cpu_budget(cpu, own_load);
  co_return json::object{
      {"status", "ok"},
      {"version", LLM_MCP_VERSION},
      {"uptime_s", std::chrono::duration<double>(std::chrono::steady_clock::now() - backend_.started).count()},
      {"models", (*snapshot)->entries.size()},
      {"engines_ready", ready},
      {"requests_in_flight", backend_.service.in_flight()},
      {"memory", json::object{{"total", memory.total}, {"available", memory.available}}},
      {"cpu", json::object{{"cores", cpu.usable_cores}, {"threads", budget.threads}, {"reason", budget.reason}}},
      {"gpus", cards}};
}

}  // namespace llm::inference
