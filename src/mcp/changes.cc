#include "mcp/changes.h"

#include <utility>

namespace llm::mcp {

struct Changes::State {
  std::mutex mutex;
  std::map<std::uint64_t, Listener> listeners;
  std::uint64_t next = 1;
};

Changes::Changes() : state_(std::make_shared<State>()) {}

void Changes::announce(Change change) const {
  const auto shared = std::make_shared<const Change>(std::move(change));
  const std::lock_guard lock(state_->mutex);  // also keeps a subscription from ending while its listener runs
  for (const auto& [id, listener] : state_->listeners) listener(shared);
}

Changes::Subscription Changes::listen(Listener listener) const {
  const std::lock_guard lock(state_->mutex);
  const auto id = state_->next++;
  state_->listeners.emplace(id, std::move(listener));
  return {state_, id};
}

Changes::Subscription::Subscription(Subscription&& other) noexcept
    : state_(std::move(other.state_)), id_(std::exchange(other.id_, 0)) {}

Changes::Subscription& Changes::Subscription::operator=(Subscription&& other) noexcept {
  if (this == &other) return *this;
  end();
  state_ = std::move(other.state_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

void Changes::Subscription::end() {
  const auto state = std::exchange(state_, nullptr);
  if (!state) return;
  const std::lock_guard lock(state->mutex);
  state->listeners.erase(id_);
}

}  // namespace llm::mcp
