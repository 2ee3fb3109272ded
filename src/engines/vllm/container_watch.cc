#include "engines/vllm/container_watch.h"

#include <algorithm>
#include <optional>

namespace llm::engines {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{200};  // between two tries to reach a container engine that is away
constexpr milliseconds kLongestPause{10'000};
constexpr milliseconds kLogPatience{5'000};       // for the rest of the log after the container's end
constexpr milliseconds kMeasureInterval{10'000};  // of its memory

// The container engine reports a signal as 128 + its number, as a shell does.
LaunchExit exit_of(const containers::ContainerDetails& container) {
  LaunchExit exit;
  exit.out_of_memory = container.out_of_memory;
  if (container.exit_code > 128 && container.exit_code <= 128 + 64) {
    exit.signal = container.exit_code - 128;
  } else {
    exit.status = container.exit_code;
  }
  return exit;
}

}  // namespace

struct ContainerWatch::State {
  State(Loop& loop, net::HttpClient& client, const net::Endpoint& daemon, ContainerKeys key_files,
        containers::ContainerDetails container, Launcher::Events callbacks)
      : control(loop),
        docker(client, daemon),
        keys(std::move(key_files)),
        id(std::move(container.id)),
        events(std::move(callbacks)),
        lines(container.terminal),
        log_ended(loop.executor()) {}

  // False: nobody watches any more.
  Task<bool> pause(milliseconds duration) {
    if (over.cancelled()) co_return false;
    Event woken(control.executor());
    Deadline deadline([&woken] { woken.notify(); });
    control.wheel().arm(deadline, duration);
    const auto registration = over.token().on_cancel([&woken] { woken.notify(); });
    co_await woken.wait();
    co_return !over.cancelled();
  }

  // How it is, once the container engine says; empty: it is gone, or nobody watches any more.
  Task<std::optional<containers::ContainerDetails>> look() {
    for (auto wait = kFirstPause; true; wait = std::min(wait * 2, kLongestPause)) {
      auto details = co_await docker.inspect(id, over.token());
      if (details) co_return std::move(*details);
      if (details.error().code == ErrorCode::kNotFound) co_return std::nullopt;
      if (!co_await pause(wait)) co_return std::nullopt;
    }
  }

  Loop& control;
  containers::DockerClient docker;
  ContainerKeys keys;
  std::string id;
  Launcher::Events events;
  containers::LogLines lines;
  CancelSource over;
  Event log_ended;
  bool log_done = false;
  bool ended = false;
  bool expected = false;
  std::uint64_t memory = 0;
};

ContainerWatch::ContainerWatch(Loop& control, net::HttpClient& client, const net::Endpoint& daemon, ContainerKeys keys,
                               containers::ContainerDetails container, Launcher::Events events)
    : state_(
          std::make_shared<State>(control, client, daemon, std::move(keys), std::move(container), std::move(events))),
      tasks_(control.executor()) {
  tasks_.spawn(follow(state_));
  tasks_.spawn(await_end(state_));
  tasks_.spawn(measure(state_));
}

ContainerWatch::~ContainerWatch() {
  state_->events = {};
  state_->over.cancel();
}

void ContainerWatch::expect_end() {
  state_->expected = true;
}

Task<void> ContainerWatch::let_go() {
  state_->expected = true;
  state_->over.cancel();
  co_await tasks_.join();
}

bool ContainerWatch::ended() const {
  return state_->ended;
}
const std::string& ContainerWatch::id() const {
  return state_->id;
}
std::uint64_t ContainerWatch::memory_bytes() const {
  return state_->ended ? 0 : state_->memory;
}

Task<void> ContainerWatch::follow(std::shared_ptr<State> state) {
  const auto on_line = [&state](containers::LogStream, std::string_view line) {
    if (state->events.on_line) state->events.on_line(line);
  };
  do {
    const auto followed = co_await state->docker.follow_logs(state->id, state->lines, on_line, state->over.token());
    if (!followed && followed.error().code == ErrorCode::kMalformed) break;  // it would be the same again
    // The log ends with the container, but also with the container engine.
    const auto container = co_await state->look();
    if (!container || !container->running) break;
  } while (co_await state->pause(kFirstPause));
  state->log_done = true;
  state->log_ended.notify();
}

Task<void> ContainerWatch::await_end(std::shared_ptr<State> state) {
  do {
    (void)co_await state->docker.wait(state->id, state->over.token());
    const auto container = co_await state->look();
    if (state->over.cancelled()) co_return;
    if (container && container->running) continue;  // only the waiting was interrupted
    co_await report(state, container ? exit_of(*container) : LaunchExit{});
    co_return;
  } while (co_await state->pause(kFirstPause));
}

Task<void> ContainerWatch::report(std::shared_ptr<State> state, LaunchExit exit) {
  bool patient = true;
  Deadline deadline([&patient, &state] {
    patient = false;
    state->log_ended.notify();
  });
  state->control.wheel().arm(deadline, kLogPatience);
  const auto registration = state->over.token().on_cancel([&state] { state->log_ended.notify(); });
  while (patient && !state->log_done && !state->over.cancelled()) co_await state->log_ended.wait();
  if (state->expected || state->over.cancelled()) co_return;  // who ends it removes it
  co_await state->docker.remove(state->id, {});
  state->keys.remove(state->id);
  state->ended = true;
  if (state->expected || !state->events.on_exit) co_return;
  const auto on_exit = state->events.on_exit;
  on_exit(exit);
}

Task<void> ContainerWatch::measure(std::shared_ptr<State> state) {
  do {
    if (const auto bytes = co_await state->docker.memory_bytes(state->id, state->over.token())) state->memory = *bytes;
  } while (!state->ended && co_await state->pause(kMeasureInterval));
}

}  // namespace llm::engines
