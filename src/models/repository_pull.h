#pragma once

#include <atomic>

#include "models/pull.h"

namespace llm::models {

// Pulls a whole repository at one commit: several files at a time, each resumed where it was cut, checked by its digest
// and put into blobs/; the name stands for it when all are there. What came before a failure is kept for the next
// attempt. Called by pull(), which checked the settings.
Result<Manifest> pull_repository(ModelStore& store, const PullSettings& settings, const HubSource& source,
                                 const HubListing& listing, const PullRequest& request,
                                 const ProgressCallback& progress, const std::atomic<bool>& cancelled);

}  // namespace llm::models
