// What running engines are asked for: sleep, adapters, numbers. Each goes to all replicas that run.
#include <algorithm>
#include <fmt/format.h>

#include "inference/describe.h"
#include "inference/operations/engine_calls.h"

namespace llm {
namespace inference {
struct NamedRequest {
  std::string name;
};
struct SleepRequest {
  std::string name;
  std::uint32_t level = 1;
};
struct AdapterRequest {
  std::string name;
  std::string adapter;
  std::string path;
};
struct UnloadAdapterRequest {
  std::string name;
  std::string adapter;
};
}  // namespace inference

namespace {
constexpr std::string_view kNameText = "Entry of engines.vllm, or a model.";
}

template <>
struct json::Fields<inference::NamedRequest> {
  static const Table<inference::NamedRequest>& table() {
    using R = inference::NamedRequest;
    static const Table<R> t{"engine request", {field("name", &R::name, {.description = kNameText, .required = true})}};
    return t;
  }
};
template <>
struct json::Fields<inference::SleepRequest> {
  static const Table<inference::SleepRequest>& table() {
    using R = inference::SleepRequest;
    static const Table<R> t{
        "engine sleep request",
        {field("name", &R::name, {.description = kNameText, .required = true}),
         field("level", &R::level,
               {.description = "1 keeps the weights in host memory; 2 drops them.", .minimum = 1, .maximum = 2})}};
    return t;
  }
};
template <>
struct json::Fields<inference::AdapterRequest> {
  static const Table<inference::AdapterRequest>& table() {
    using R = inference::AdapterRequest;
    static const Table<R> t{
        "adapter request",
        {field("name", &R::name, {.description = kNameText, .required = true}),
         field("adapter", &R::adapter,
               {.description = "Name of the LoRA adapter.", .required = true, .min_length = 1, .max_length = 128}),
         field("path", &R::path,
               {.description = "Its folder as the engine sees it, or OWNER/NAME.",
                .required = true,
                .min_length = 1,
                .max_length = 4096})}};
    return t;
  }
};
template <>
struct json::Fields<inference::UnloadAdapterRequest> {
  static const Table<inference::UnloadAdapterRequest>& table() {
    using R = inference::UnloadAdapterRequest;
    static const Table<R> t{
        "adapter request",
        {field("name", &R::name, {.description = kNameText, .required = true}),
         field("adapter", &R::adapter,
               {.description = "Name of the LoRA adapter.", .required = true, .min_length = 1, .max_length = 128})}};
    return t;
  }
};

namespace inference {
namespace {

using engines::EngineCommand;
using engines::EngineState;

// Each replica's answer, with its number. An error of one is the answer, but only after all were asked: what can be
// done is done.
Task<Result<json::object>> ask(OperationContext& context, access::Permission permission, std::string name,
                               EngineCommand command) {
  const auto entry = co_await find_engine(context, permission, name);
  if (!entry) co_return fail(entry.error());
  json::array replicas;
  Result<void> failed;
  for (const auto& spec : (*entry)->replicas) {
    const auto reports = replicas_of(context, **entry);
    const auto running = std::ranges::find_if(reports, [&spec](const engines::EngineReport& report) {
      const auto state = report.status.state;
      return report.key == spec->key && (state == EngineState::kReady || state == EngineState::kAsleep);
    });
    if (running == reports.end()) continue;
    auto answer = co_await context.backend.supervisor.command(spec->key, command, context.cancel);
    if (!answer) {
      if (failed) failed = fail(std::move(answer.error()));
      continue;
    }
    json::object one{{"replica", spec->replica}};
    for (const auto& member : *answer) one[member.key()] = member.value();
    replicas.push_back(std::move(one));
  }
  if (!failed) co_return fail(failed.error());
  if (replicas.empty()) {
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("the engine \"{}\" does not run; `llm-mcp engine start {}` starts it", name, name),
                   "/name");
  }
  co_return json::object{{"name", name}, {"model", (*entry)->spec->model}, {"replicas", std::move(replicas)}};
}

Result<void> check_adapter(const AdapterRequest& request) {
  engines::VllmSettings settings;
  settings.model = "a";
  settings.lora_modules = {{request.adapter, request.path}};
  auto checked = engines::check_vllm(settings);
  if (checked) return {};
  const bool name = checked.error().pointer.ends_with("/name");
  return fail(checked.error().code, checked.error().message, name ? "/adapter" : "/path");
}

// For operations that need nothing but a name.
Task<Result<json::object>> ask_by_name(OperationContext& context, json::object arguments, access::Permission permission,
                                       EngineCommand::Kind kind) {
  const auto request = json::decode<NamedRequest>(arguments);
  if (!request) co_return fail(request.error());
  co_return co_await ask(context, permission, request->name, {.kind = kind});
}

}  // namespace

Task<Result<json::object>> engine_info(OperationContext context, json::object arguments) {
  const auto request = json::decode<NamedRequest>(arguments);
  if (!request) co_return fail(request.error());
  const auto entry = co_await find_engine(context, access::Permission::kEnginesRead, request->name);
  if (!entry) co_return fail(entry.error());
  const auto& spec = *(*entry)->spec;
  json::object out{{"name", request->name}, {"model", spec.model}, {"kind", "llama.cpp"}};
  if (spec.vllm) {
    out["kind"] = "vllm";
    out["settings"] = json::encode(*spec.vllm, {.redact_secrets = true});
  } else if (spec.external) {
    out["kind"] = "external";
  }
  json::array replicas;
  for (const auto& report : replicas_of(context, **entry)) {
    json::object one = engine_json(report);
    const auto state = report.status.state;
    if (state == EngineState::kReady || state == EngineState::kAsleep) {
      one["version"] = report.status.info.version;
      one["can_sleep"] = report.status.info.can_sleep;
    }
    // What the engine says of itself, where it says anything.
    if (state == EngineState::kReady && spec.vllm) {
      auto server = co_await context.backend.supervisor.command(report.key, {.kind = EngineCommand::Kind::kServerInfo},
                                                                context.cancel);
      if (server) one["server"] = std::move(*server);
    }
    replicas.push_back(std::move(one));
  }
  out["replicas"] = std::move(replicas);
  co_return out;
}

Task<Result<json::object>> sleep_engine(OperationContext context, json::object arguments) {
  const auto request = json::decode<SleepRequest>(arguments);
  if (!request) co_return fail(request.error());
  co_return co_await ask(context, access::Permission::kModelsWrite, request->name,
                         {.kind = EngineCommand::Kind::kSleep, .arguments = {{"level", request->level}}});
}

Task<Result<json::object>> wake_engine(OperationContext context, json::object arguments) {
  co_return co_await ask_by_name(context, std::move(arguments), access::Permission::kModelsWrite,
                                 EngineCommand::Kind::kWake);
}

Task<Result<json::object>> list_adapters(OperationContext context, json::object arguments) {
  co_return co_await ask_by_name(context, std::move(arguments), access::Permission::kEnginesRead,
                                 EngineCommand::Kind::kListAdapters);
}

Task<Result<json::object>> load_adapter(OperationContext context, json::object arguments) {
  const auto request = json::decode<AdapterRequest>(arguments);
  if (!request) co_return fail(request.error());
  if (auto checked = check_adapter(*request); !checked) co_return fail(checked.error());
  auto loaded = co_await ask(
      context, access::Permission::kModelsWrite, request->name,
      {.kind = EngineCommand::Kind::kLoadAdapter, .arguments = {{"name", request->adapter}, {"path", request->path}}});
  context.backend.catalogue.invalidate();  // adapters are models
  co_return loaded;
}

Task<Result<json::object>> unload_adapter(OperationContext context, json::object arguments) {
  const auto request = json::decode<UnloadAdapterRequest>(arguments);
  if (!request) co_return fail(request.error());
  auto unloaded =
      co_await ask(context, access::Permission::kModelsWrite, request->name,
                   {.kind = EngineCommand::Kind::kUnloadAdapter, .arguments = {{"name", request->adapter}}});
  context.backend.catalogue.invalidate();
  co_return unloaded;
}

Task<Result<json::object>> engine_metrics(OperationContext context, json::object arguments) {
  co_return co_await ask_by_name(context, std::move(arguments), access::Permission::kMetricsRead,
                                 EngineCommand::Kind::kMetrics);
}

}  // namespace inference
}  // namespace llm
