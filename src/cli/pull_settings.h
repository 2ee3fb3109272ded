#pragma once

#include "cli/settings.h"
#include "models/hub.h"

namespace llm::cli {

// Where models are pulled from, and which of them may come in: one rule for the gateway and for the command line.
inline models::PullSettings pull_settings(const ModelsSettings& settings) {
  return {.hub_endpoint = settings.hub_endpoint,
          .hub_token = settings.hub_token,
          .allowed_sources = settings.allowed_sources};
}

}  // namespace llm::cli
