// What is known of engines without asking them, and what would be started.
#include <algorithm>

#include "base/strings.h"
#include "engines/vllm/plan.h"
#include "inference/describe.h"
#include "inference/model_rights.h"
#include "inference/operations/engine_calls.h"

namespace llm {
namespace inference {
struct PlanRequest {
  std::string name;
  engines::PlanFormat format = engines::PlanFormat::kArgv;
};
}  // namespace inference

template <>
struct json::Fields<inference::PlanRequest> {
  static const Table<inference::PlanRequest>& table() {
    using R = inference::PlanRequest;
    static const Table<R> t{"engine plan request",
                            {field("name", &R::name, {.description = "Entry of engines.vllm.", .required = true}),
                             field("format", &R::format, {.description = "What the plan is written as."})}};
    return t;
  }
};

namespace inference {
namespace {

json::object gpu_json(const engines::Gpu& gpu) {
  json::object out{{"index", gpu.index},
                   {"uuid", gpu.uuid},
                   {"name", gpu.name},
                   {"memory_total", gpu.memory_total},
                   {"memory_used", gpu.memory_used},
                   {"measured", gpu.measured}};
  if (gpu.utilization >= 0) out["utilization_percent"] = gpu.utilization;
  if (gpu.temperature >= 0) out["temperature_celsius"] = gpu.temperature;
  return out;
}

}  // namespace

json::object engine_entry_json(std::string_view name, const engines::VllmSettings& settings, json::array replicas) {
  const bool remote = settings.runtime == engines::VllmRuntime::kRemote;
  return {{"name", name},
          {"model", settings.served_name.empty() ? name : std::string_view(settings.served_name)},
          {"source", remote ? settings.base_url : settings.model},
          {"runtime", json::enum_name(settings.runtime)},
          {"wanted_replicas", settings.replicas},
          {"replicas", std::move(replicas)}};
}

json::object gpus_json(const engines::GpuInventory& inventory) {
  json::array list;
  for (const auto& gpu : inventory.read()) list.push_back(gpu_json(gpu));
  return {{"gpus", std::move(list)}, {"measured", inventory.measures()}};
}

Task<Result<std::shared_ptr<const router::CatalogueEntry>>> find_engine(OperationContext& context,
                                                                        access::Permission permission,
                                                                        std::string name) {
  auto entry = co_await context.backend.catalogue.resolve(name);
  const std::string resolved = entry ? (*entry)->name : std::string();
  if (auto may = check_model_right(context.principal, permission, name, resolved); !may) co_return fail(may.error());
  co_return entry;
}

std::vector<engines::EngineReport> replicas_of(const OperationContext& context, const router::CatalogueEntry& entry) {
  std::vector<engines::EngineReport> out;
  const auto reports = context.backend.supervisor.report();
  for (const auto& spec : entry.replicas) {
    const auto found = std::ranges::find(reports, spec->key, &engines::EngineReport::key);
    if (found != reports.end()) out.push_back(*found);
  }
  return out;
}

Task<Result<json::object>> list_engine_entries(OperationContext context, json::object /*arguments*/) {
  auto snapshot = co_await context.backend.catalogue.list(false);
  if (!snapshot) co_return fail(snapshot.error());
  json::array list;
  for (const auto& entry : (*snapshot)->entries) {
    const auto& spec = *entry->spec;
    if (!spec.vllm) continue;
    const auto& principal = context.principal;
    if (!principal.local() && !principal.may(access::Permission::kEnginesRead, spec.key)) continue;
    json::array replicas;
    for (const auto& report : replicas_of(context, *entry)) replicas.push_back(engine_json(report));
    list.push_back(engine_entry_json(spec.name, *spec.vllm, std::move(replicas)));
  }
  co_return json::object{{"engines", std::move(list)}};
}

Task<Result<json::object>> plan_engine(OperationContext context, json::object arguments) {
  const auto request = json::decode<PlanRequest>(arguments);
  if (!request) co_return fail(request.error());
  const auto entry = co_await find_engine(context, access::Permission::kEnginesRead, request->name);
  if (!entry) co_return fail(entry.error());
  const auto& spec = *(*entry)->spec;
  if (!spec.vllm) {
    co_return fail(ErrorCode::kUnsupported,
                   "only engines of engines.vllm have a plan; this model is served by another kind of engine", "/name");
  }
  engines::VllmPlanInput input{.name = spec.name, .settings = *spec.vllm};
  input.known.version = engines::version_of_image(spec.vllm->container.image);
  input.model_folder = spec.file;
  const auto text = engines::render_plan(input, request->format);
  if (!text) co_return fail(text.error());
  co_return json::object{{"name", spec.name}, {"format", json::enum_name(request->format)}, {"text", *text}};
}

Task<Result<json::object>> list_gpus(OperationContext context, json::object /*arguments*/) {
  const auto* inventory = context.backend.gpus;
  if (!inventory) co_return json::object{{"gpus", json::array()}, {"measured", false}};
  // The driver's library blocks: not on a loop that carries streams.
  co_return co_await context.backend.files.run([inventory] { return gpus_json(*inventory); });
}

}  // namespace inference
}  // namespace llm
