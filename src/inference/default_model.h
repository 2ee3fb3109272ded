#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engines/supervisor.h"
#include "inference/service.h"
#include "router/catalogue.h"

namespace llm::inference {

// What a request of this operation wants a model for.
engines::EngineMode mode_of(Operation operation);

// What a request for `name` may fall back on: empty but for a request without a name.
router::DefaultChoice default_choice(const engines::Supervisor& supervisor, std::string_view name,
                                     engines::EngineMode mode);

// The model that `name` means. Without a name: the configured default if it fits `mode`, else the loaded one that was
// used last, else the smallest installed. Every way into the gateway asks here, so that all choose alike.
Task<Result<std::shared_ptr<const router::CatalogueEntry>>> resolve_model(
    router::Catalogue& catalogue, const engines::Supervisor& supervisor, std::string name,
    engines::EngineMode mode = engines::EngineMode::kGeneration);

}  // namespace llm::inference
