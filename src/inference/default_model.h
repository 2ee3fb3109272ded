#pragma once

#include <memory>
#include <string>

#include "engines/supervisor.h"
#include "inference/service.h"
#include "router/catalogue.h"

namespace llm::inference {

// What a request of this operation wants a model for.
engines::EngineMode mode_of(Operation operation);

// The model that `name` means. Without a name: the configured default if it fits `mode`, else the loaded one that was
// used last, else the smallest installed. Every way into the gateway asks here, so that all choose alike.
Task<Result<std::shared_ptr<const router::CatalogueEntry>>> resolve_model(
    router::Catalogue& catalogue, const engines::Supervisor& supervisor, std::string name,
    engines::EngineMode mode = engines::EngineMode::kGeneration);

}  // namespace llm::inference
