#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace llm {

namespace detail {
struct CancelState {
  bool cancelled = false;
  std::uint64_t next_id = 1;
  std::vector<std::pair<std::uint64_t, std::function<void()>>> callbacks;
};
}  // namespace detail

// Runs its callback on cancel until destroyed. Lives on the loop of its source.
class CancelRegistration {
 public:
  CancelRegistration() = default;
  CancelRegistration(std::shared_ptr<detail::CancelState> state, std::uint64_t id)
      : state_(std::move(state)), id_(id) {}
  CancelRegistration(CancelRegistration&& other) noexcept { *this = std::move(other); }
  CancelRegistration& operator=(CancelRegistration&& other) noexcept {
    if (this == &other) return *this;
    reset();
    state_ = std::move(other.state_);
    id_ = std::exchange(other.id_, 0);
    return *this;
  }
  ~CancelRegistration() { reset(); }
  void reset() {
    if (auto state = std::exchange(state_, nullptr)) {
      const auto entry = std::ranges::find(state->callbacks, id_, [](const auto& one) { return one.first; });
      if (entry == state->callbacks.end()) return;
      // What the callback holds may own other registrations: it goes after the list is whole again.
      const auto callback = std::move(entry->second);
      state->callbacks.erase(entry);
    }
  }

 private:
  std::shared_ptr<detail::CancelState> state_;  // shared: source and registrations end in either order
  std::uint64_t id_ = 0;
};

// Asks whether the work is still wanted, and is told when it no longer is. A default token is never cancelled.
// Not thread-safe: token, source and registrations belong to one loop; another thread cancels by Loop::post.
class CancelToken {
 public:
  CancelToken() = default;
  explicit CancelToken(std::shared_ptr<detail::CancelState> state) : state_(std::move(state)) {}
  bool cancelled() const { return state_ && state_->cancelled; }
  // Runs `callback` at once if already cancelled. The callback must not throw.
  [[nodiscard]] CancelRegistration on_cancel(std::function<void()> callback) const {
    if (!state_) return {};
    if (state_->cancelled) {
      callback();
      return {};
    }
    const auto id = state_->next_id++;
    state_->callbacks.emplace_back(id, std::move(callback));
    return {state_, id};
  }

 private:
  std::shared_ptr<detail::CancelState> state_;
};

class CancelSource {
 public:
  CancelSource() : state_(std::make_shared<detail::CancelState>()) {}
  CancelToken token() const { return CancelToken(state_); }
  bool cancelled() const { return state_->cancelled; }
  // Idempotent. Callbacks run here, once each; one may destroy the source or other registrations.
  void cancel() const {
    if (std::exchange(state_->cancelled, true)) return;
    const auto state = state_;
    while (!state->callbacks.empty()) {
      const auto callback = std::move(state->callbacks.back().second);
      state->callbacks.pop_back();
      callback();
    }
  }

 private:
  std::shared_ptr<detail::CancelState> state_;
};

}  // namespace llm
