#pragma once

#include <string>
#include <vector>

#include "engines/supervisor.h"
#include "inference/service.h"
#include "json/json.h"
#include "router/catalogue.h"

namespace llm::inference {

// JSON texts of the REST API for things people look at (docs/api.md). `reports`: what the supervisor knows.
json::object model_summary(const router::CatalogueEntry& entry, const std::vector<engines::EngineReport>& reports,
                           const router::CatalogueSnapshot& snapshot);
// The summary and chat template, load settings, memory estimate, engine.
json::object model_details(const router::CatalogueEntry& entry, const std::vector<engines::EngineReport>& reports,
                           const router::CatalogueSnapshot& snapshot);
json::object engine_json(const engines::EngineReport& report);
json::object loading_event(std::string_view model, const engines::LoadProgress& progress);
json::object usage_json(const Usage& usage);
// NVIDIA GPUs the driver lists under /proc: [{name, uuid, bus}]; empty where there is none.
json::array gpus();

}  // namespace llm::inference
