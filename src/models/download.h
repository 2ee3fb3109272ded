#pragma once

#include <atomic>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "models/digest.h"
#include "models/file_system.h"
#include "models/hub.h"
#include "models/progress.h"
#include "models/store.h"

namespace llm::models {

// A complete download in the store's partial/ folder, not yet checked. The lock keeps other processes and gc() off.
struct Download {
  std::filesystem::path file;
  std::filesystem::path notes;  // what a resumed download needs to know: entity tag and size (JSON)
  UniqueFd lock;
  std::optional<Digest> digest;  // what the file must be, where anybody said so
};

// Fetches `plan` into partial/, going on where an earlier attempt stopped (RFC 9110, sections 13.1.5 and 14.2: If-Range
// with a strong entity tag, or a known digest that will tell). Network cuts are retried with growing pauses. On every
// error but a wrong answer from the server the part is kept. kDiskFull, kCancelled, kConflict (another process is
// fetching the same file), kUnavailable (gave up), and hub_error's.
Result<Download> download(ModelStore& store, const PullSettings& settings, const DownloadPlan& plan,
                          const ProgressCallback& progress, const std::atomic<bool>& cancelled);

}  // namespace llm::models
