#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "async/watch.h"

namespace llm::mcp {

// What subscribers can be told.
struct Change {
  enum class Kind : std::uint8_t { kTools, kPrompts, kResources, kResource, kTask };
  Kind kind;
  std::string subject = {};    // kResource: the URI; kTask: the task's id
  std::string principal = {};  // kTask: whose it is
  std::string detail = {};     // kTask: its state as JSON text
};

// Carries changes from whoever makes them to the connections that listen. Any thread. Listeners are called on the
// thread of the change, so they only post to their own loop; none is called after its subscription ended.
class Changes {
  struct State;

 public:
  using Listener = std::function<void(const std::shared_ptr<const Change>&)>;

  class Subscription {
   public:
    Subscription() = default;
    Subscription(std::shared_ptr<State> state, std::uint64_t id) : state_(std::move(state)), id_(id) {}
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription() { end(); }
    void end();

   private:
    std::shared_ptr<State> state_;  // shared with the hub: either may go first
    std::uint64_t id_ = 0;
  };

  Changes();
  void announce(Change change) const;
  [[nodiscard]] Subscription listen(Listener listener) const;

  // How many wait to hear of single resources (kResource): while there are none, whoever would have to poll to find
  // changes may rest.
  Watch<int>& watchers() const { return *watchers_; }

  // Counts whoever holds it among them. Held by each request, or session, that subscribed to a resource.
  class Interest {
   public:
    Interest() = default;
    explicit Interest(std::shared_ptr<Watch<int>> watchers) : watchers_(std::move(watchers)) {
      watchers_->update([](int& count) { ++count; });
    }
    Interest(Interest&& other) noexcept : watchers_(std::move(other.watchers_)) {}
    Interest& operator=(Interest&& other) noexcept {
      if (this != &other) end();
      watchers_ = std::move(other.watchers_);
      return *this;
    }
    ~Interest() { end(); }
    void end() {
      if (const auto watchers = std::move(watchers_)) watchers->update([](int& count) { --count; });
    }

   private:
    std::shared_ptr<Watch<int>> watchers_;  // shared with the hub: either may go first
  };
  [[nodiscard]] Interest interest() const { return Interest(watchers_); }

 private:
  std::shared_ptr<State> state_;
  std::shared_ptr<Watch<int>> watchers_ = std::make_shared<Watch<int>>(0);  // shared with copies, as the state is
};

}  // namespace llm::mcp
