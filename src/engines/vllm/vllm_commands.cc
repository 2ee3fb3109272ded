#include "engines/vllm/vllm_commands.h"

#include <fmt/format.h>

#include "engines/vllm/vllm_metrics.h"
#include "json/fields.h"

namespace llm {

const json::Table<engines::SleepArguments>& json::Fields<engines::SleepArguments>::table() {
  using S = engines::SleepArguments;
  static const Table<S> table{
      "sleep_arguments",
      {
          field("level", &S::level,
                {.description = "1: the weights move to the machine's memory. 2: they are dropped and read again.",
                 .minimum = 1,
                 .maximum = 2}),
      }};
  return table;
}

const json::Table<engines::AdapterArguments>& json::Fields<engines::AdapterArguments>::table() {
  using S = engines::AdapterArguments;
  static const Table<S> table{
      "adapter_arguments",
      {
          field("name", &S::name, {.description = "What requests call the adapter."}),
          field("path", &S::path, {.description = "Its folder as the engine sees it, or a repository."}),
      }};
  return table;
}

namespace engines {
namespace {

using Answer = VllmProbe::Answer;
constexpr int kOk = 200;

template <class T>
Result<T> arguments_of(const EngineCommand& command) {
  return json::decode<T>(json::value(command.arguments));
}

Error refused(const VllmTarget& target, std::string_view what, const Answer& answer) {
  return {ErrorCode::kEngineFailed,
          fmt::format("the engine \"{}\" refused to {} (status {}): {}", target.engine, what, answer.status,
                      message_of(answer)),
          {},
          {},
          0};
}

Error no_sleep(const VllmTarget& target) {
  return {
      ErrorCode::kUnsupported,
      fmt::format("the engine \"{}\" does not offer to sleep; set sleep_mode: true and start it again", target.engine),
      {},
      {},
      0};
}

Error no_adapters(const VllmTarget& target) {
  return {ErrorCode::kUnsupported,
          fmt::format("the engine \"{}\" loads no adapters at run time; set enable_lora: true and start it again",
                      target.engine),
          {},
          {},
          0};
}

// One step that must succeed.
Task<Result<void>> step(VllmTarget target, std::string path, std::string body, std::string_view what,
                        CancelToken cancel) {
  auto answer = co_await target.probe.post(std::move(path), std::move(body), target.work_timeout, cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  if (answer->status != kOk) co_return fail(refused(target, what, *answer));
  co_return Result<void>();
}

Task<Result<json::object>> sleep(VllmTarget target, EngineCommand command, CancelToken cancel) {
  auto arguments = arguments_of<SleepArguments>(command);
  if (!arguments) co_return fail(std::move(arguments.error()));
  if (!target.api.sleep()) co_return fail(no_sleep(target));
  if (arguments->level == 2 && !target.api.has("/collective_rpc")) {
    co_return fail(
        ErrorCode::kUnsupported,
        fmt::format("the engine \"{}\" (vLLM {}) could not read its weights again after level 2; use level 1",
                    target.engine, target.api.version),
        "/level");
  }
  auto done = co_await step(target, fmt::format("/sleep?level={}", arguments->level), {}, "sleep", cancel);
  if (!done) co_return fail(std::move(done.error()));
  target.sleep_level = arguments->level;
  co_return json::object{{"sleeping", true}, {"level", arguments->level}};
}

// Of what was dropped at level 2 the weights come first: the KV cache has to find its place beside them.
Task<Result<void>> wake_deeply(VllmTarget target, CancelToken cancel) {
  auto done = co_await step(target, "/wake_up?tags=weights", {}, "wake up", cancel);
  if (done)
    done = co_await step(target, "/collective_rpc", R"({"method":"reload_weights"})", "read its weights", cancel);
  if (done) done = co_await step(target, "/wake_up?tags=kv_cache", {}, "wake up", cancel);
  if (done && target.api.has("/reset_prefix_cache")) {
    done = co_await step(target, "/reset_prefix_cache", {}, "empty its prefix cache", cancel);
  }
  co_return done;
}

Task<Result<json::object>> wake(VllmTarget target, CancelToken cancel) {
  if (!target.api.sleep()) co_return fail(no_sleep(target));
  if (!co_await vllm_is_sleeping(target.probe, target.api, cancel)) {
    target.sleep_level = 0;
    co_return json::object{{"sleeping", false}};
  }
  const bool deeply = target.sleep_level >= 2 || target.sleep_level == 0;  // 0: somebody else put it to sleep
  Result<void> done;
  if (deeply && target.api.has("/collective_rpc")) {
    done = co_await wake_deeply(target, cancel);
  } else {
    done = co_await step(target, "/wake_up", {}, "wake up", cancel);
  }
  if (done && co_await vllm_is_sleeping(target.probe, target.api, cancel)) {
    done = fail(ErrorCode::kEngineFailed, fmt::format("the engine \"{}\" did not wake up", target.engine));
  }
  if (!done) co_return fail(std::move(done.error()));
  target.sleep_level = 0;
  co_return json::object{{"sleeping", false}};
}

// What the engine itself says it has; keeps the table of adapters right.
Task<Result<json::object>> list_adapters(VllmTarget target, CancelToken cancel) {
  auto models = co_await target.probe.models(cancel);
  if (!models) co_return fail(std::move(models.error()));
  json::array list;
  std::vector<LoraModule> known;
  for (const auto& model : *models) {
    if (!model.adapter()) continue;
    list.push_back(json::object{{"name", model.id}, {"path", model.root}});
    known.push_back({model.id, model.root});
  }
  if (target.adapters) target.adapters->set(target.engine, std::move(known));
  co_return json::object{{"adapters", std::move(list)}};
}

// vLLM answers 400 both for a name that is taken and for other mistakes; its words tell them apart.
Error load_error(const VllmTarget& target, const AdapterArguments& adapter, const Answer& answer) {
  const std::string said = message_of(answer);
  if (said.contains("already")) {
    return {
        ErrorCode::kAlreadyExists,
        fmt::format("the engine \"{}\" has an adapter \"{}\" already; unload it first", target.engine, adapter.name),
        "/name",
        {},
        0};
  }
  if (answer.status == 404) {
    return {ErrorCode::kNotFound,
            fmt::format("the engine \"{}\" finds no adapter at \"{}\"; the path is the engine's own (in its container)",
                        target.engine, adapter.path),
            "/path",
            {},
            0};
  }
  if (answer.status == 400) {
    return {ErrorCode::kInvalidArgument,
            fmt::format("the engine \"{}\" refused the adapter \"{}\": {}", target.engine, adapter.name, said),
            "/path",
            {},
            0};
  }
  return refused(target, "load the adapter", answer);
}

Task<Result<json::object>> load_adapter(VllmTarget target, EngineCommand command, CancelToken cancel) {
  auto adapter = arguments_of<AdapterArguments>(command);
  if (!adapter) co_return fail(std::move(adapter.error()));
  if (auto good = check_adapter_name(adapter->name); !good) co_return fail(std::move(good.error()));
  if (auto good = check_adapter_path(adapter->path); !good) co_return fail(std::move(good.error()));
  if (!target.api.adapters()) co_return fail(no_adapters(target));
  const json::object body{{"lora_name", adapter->name}, {"lora_path", adapter->path}};
  auto answer = co_await target.probe.post("/v1/load_lora_adapter", json::write(body), target.work_timeout, cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  if (answer->status != kOk) co_return fail(load_error(target, *adapter, *answer));
  if (target.adapters) target.adapters->add(target.engine, {adapter->name, adapter->path});
  co_return co_await list_adapters(target, cancel);
}

Task<Result<json::object>> unload_adapter(VllmTarget target, EngineCommand command, CancelToken cancel) {
  auto adapter = arguments_of<AdapterArguments>(command);
  if (!adapter) co_return fail(std::move(adapter.error()));
  if (auto good = check_adapter_name(adapter->name); !good) co_return fail(std::move(good.error()));
  if (!target.api.adapters()) co_return fail(no_adapters(target));
  auto answer = co_await target.probe.post(
      "/v1/unload_lora_adapter", json::write(json::object{{"lora_name", adapter->name}}), target.work_timeout, cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  if (answer->status == 404) {
    if (target.adapters) target.adapters->remove(target.engine, adapter->name);
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("the engine \"{}\" has no adapter \"{}\"", target.engine, adapter->name), "/name");
  }
  if (answer->status != kOk) co_return fail(refused(target, "unload the adapter", *answer));
  if (target.adapters) target.adapters->remove(target.engine, adapter->name);
  co_return co_await list_adapters(target, cancel);
}

Task<Result<json::object>> metrics(VllmTarget target, CancelToken cancel) {
  auto answer = co_await target.probe.get("/metrics", cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  if (answer->status != kOk) co_return fail(refused(target, "tell its metrics", *answer));
  co_return to_json(vllm_figures(answer->body));
}

json::array names_of(const VllmApi& api) {
  json::array out;
  const auto add = [&out](bool has, const char* name) {
    if (has) out.emplace_back(name);
  };
  add(api.generation(), "generation");
  add(api.embedding(), "embeddings");
  add(api.rerank(), "rerank");
  add(api.tokenize(), "tokenize");
  add(api.responses(), "responses");
  add(api.messages(), "messages");
  add(api.adapters(), "lora");
  add(api.sleep(), "sleep");
  return out;
}

// The engine's own configuration only where dev mode offers it, and of that not the environment, which holds keys.
Task<Result<json::object>> server_info(VllmTarget target, CancelToken cancel) {
  auto models = co_await target.probe.models(cancel);
  if (!models) co_return fail(std::move(models.error()));
  json::array names;
  for (const auto& model : *models) {
    json::object one{{"id", model.id}, {"root", model.root}};
    if (model.adapter()) one["parent"] = model.parent;
    if (model.context > 0) one["context"] = model.context;
    names.push_back(std::move(one));
  }
  json::object out{{"version", target.api.version},
                   {"models", std::move(names)},
                   {"features", names_of(target.api)},
                   {"endpoints", json::array(target.api.paths.begin(), target.api.paths.end())}};
  if (target.api.sleep()) out["sleeping"] = co_await vllm_is_sleeping(target.probe, target.api, cancel);
  if (target.api.has("/load")) {
    auto load = co_await target.probe.get("/load", cancel);
    const auto document = load && load->status == kOk ? json::parse(load->body) : Result<json::value>(nullptr);
    if (document && document->is_object()) out["server_load"] = json::int_or(document->get_object(), "server_load");
  }
  if (target.api.has("/server_info")) {
    auto info = co_await target.probe.get("/server_info", cancel);
    const auto document = info && info->status == kOk ? json::parse(info->body) : Result<json::value>(nullptr);
    if (document && document->is_object()) {
      if (const auto* config = json::find(document->get_object(), "vllm_config")) out["config"] = *config;
    }
  }
  co_return out;
}

}  // namespace

Task<bool> vllm_is_sleeping(const VllmProbe& probe, const VllmApi& api, CancelToken cancel) {
  if (!api.has("/is_sleeping")) co_return false;
  auto answer = co_await probe.get("/is_sleeping", cancel);
  if (!answer || answer->status != kOk) co_return false;
  const auto document = json::parse(answer->body);
  co_return document && document->is_object() && json::bool_or(document->get_object(), "is_sleeping");
}

Task<Result<json::object>> run_vllm_command(VllmTarget target, EngineCommand command, CancelToken cancel) {
  using enum EngineCommand::Kind;
  switch (command.kind) {
    case kSleep:
      co_return co_await sleep(target, std::move(command), cancel);
    case kWake:
      co_return co_await wake(target, cancel);
    case kLoadAdapter:
      co_return co_await load_adapter(target, std::move(command), cancel);
    case kUnloadAdapter:
      co_return co_await unload_adapter(target, std::move(command), cancel);
    case kListAdapters:
      co_return co_await list_adapters(target, cancel);
    case kMetrics:
      co_return co_await metrics(target, cancel);
    case kServerInfo:
      co_return co_await server_info(target, cancel);
  }
  co_return fail(ErrorCode::kUnsupported, "this engine cannot be asked for that");
}

}  // namespace engines
}  // namespace llm
