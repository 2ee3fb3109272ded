#include "inference/watched_work.h"

#include <chrono>
#include <memory>

#include "async/task_group.h"
#include "async/watch.h"

namespace llm::inference {
namespace {

constexpr std::chrono::milliseconds kBetweenEvents{100};

struct View {
  models::Progress progress;
  bool done = false;
};

// Shared by the caller's coroutine and the pool thread that works for it.
struct State {
  WatchedWork work;
  Watch<View> view;
  Watch<bool> done{false};  // changes once, after `view` said so
  std::atomic<bool> cancelled = false;
};

Task<void> run_on(BlockingPool& pool, std::shared_ptr<State> state) {
  (void)co_await pool.run([state] {
    const auto progress = [&state](const models::Progress& now) {
      state->view.update([&](View& view) { view.progress = now; });
    };
    state->work(progress, state->cancelled);
    return true;
  });
  state->view.update([](View& view) { view.done = true; });
  state->done.set(true);
}

}  // namespace

Task<Result<void>> watch_work(Loop& loop, BlockingPool& pool, EventSink sink, CancelToken cancel, WatchedWork work,
                              std::function<void(const models::Progress&)> seen) {
  const auto state = std::make_shared<State>();
  state->work = std::move(work);
  TaskGroup tasks(loop.executor());
  tasks.spawn(run_on(pool, state));
  const auto registration = cancel.on_cancel([state] { state->cancelled = true; });
  const auto undone = state->done.get().version;
  Result<void> told;  // an error: the caller wants no more
  while (true) {
    const auto [view, version] = state->view.get();
    if (seen) seen(view.progress);
    if (view.done) break;
    if (sink && told) {
      told = co_await sink(json::object{{"status", to_string(view.progress.phase)},
                                        {"bytes_done", view.progress.bytes_done},
                                        {"bytes_total", view.progress.bytes_total}});
      if (!told) state->cancelled = true;
    }
    // Progress comes per MiB; a reader gets at most ten lines a second, and the end without delay. What changes during
    // the pause makes the second wait return at once.
    co_await state->done.changed(undone, {}, kBetweenEvents);
    co_await state->view.changed(version, {}, std::nullopt);
  }
  co_await tasks.join();
  co_return told;
}

}  // namespace llm::inference
