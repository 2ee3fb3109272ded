#pragma once

#include <atomic>
#include <functional>

#include "async/blocking_pool.h"
#include "async/loop.h"
#include "inference/model_api.h"
#include "models/progress.h"

namespace llm::inference {

// Long work on files: downloads, copies. It reports progress and looks at its flag, on a thread of the pool.
using WatchedWork = std::function<void(const models::ProgressCallback& progress, const std::atomic<bool>& cancelled)>;

// Runs it and waits for its end. The sink hears {"status", "bytes_done", "bytes_total"} at most ten times a second; its
// error, and the cancellation, end the work through the flag, and the answer is then the sink's error. `seen` hears
// every change, on the caller's loop. What the work made is in what it refers to, which the caller owns.
Task<Result<void>> watch_work(Loop& loop, BlockingPool& pool, EventSink sink, CancelToken cancel, WatchedWork work,
                              std::function<void(const models::Progress&)> seen = {});

}  // namespace llm::inference
