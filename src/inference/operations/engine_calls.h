#pragma once

#include <memory>
#include <string>
#include <vector>

#include "inference/operations/operation.h"

// Handlers of the operations on engines (rows: engine_operations.cc), and what they share.
namespace llm::inference {

// {name} is an entry of engines.vllm or a model: what the catalogue knows it by, if the caller may do that to it.
Task<Result<std::shared_ptr<const router::CatalogueEntry>>> find_engine(OperationContext& context,
                                                                        access::Permission permission,
                                                                        std::string name);
// What runs of the entry's replicas, the first first.
std::vector<engines::EngineReport> replicas_of(const OperationContext& context, const router::CatalogueEntry& entry);

// An entry of engines.vllm as engine.list shows it, and what gpu.list answers; also for a command without a gateway.
json::object engine_entry_json(std::string_view name, const engines::VllmSettings& settings, json::array replicas);
json::object gpus_json(const engines::GpuInventory& inventory);  // blocking, as read() is

// engine_reports.cc
Task<Result<json::object>> list_engine_entries(OperationContext context, json::object arguments);
Task<Result<json::object>> plan_engine(OperationContext context, json::object arguments);
Task<Result<json::object>> list_gpus(OperationContext context, json::object arguments);
// engine_lifecycle.cc
Task<Result<json::object>> start_engine(OperationContext context, json::object arguments);
Task<Result<json::object>> stop_engine(OperationContext context, json::object arguments);
// engine_commands.cc
Task<Result<json::object>> engine_info(OperationContext context, json::object arguments);
Task<Result<json::object>> sleep_engine(OperationContext context, json::object arguments);
Task<Result<json::object>> wake_engine(OperationContext context, json::object arguments);
Task<Result<json::object>> list_adapters(OperationContext context, json::object arguments);
Task<Result<json::object>> load_adapter(OperationContext context, json::object arguments);
Task<Result<json::object>> unload_adapter(OperationContext context, json::object arguments);
Task<Result<json::object>> engine_metrics(OperationContext context, json::object arguments);

}  // namespace llm::inference
