#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "access/identity.h"
#include "access/limits/limiter.h"

// For the tests of this folder.
namespace llm::access {

// A clock that stands until it is told to move.
class ManualClock {
 public:
  // 2026-11-15T12:00:00Z
  static constexpr std::int64_t kStart = 1'794'744'000'000'000'000;
  std::function<std::int64_t()> ns() const {
    return [now = now_] { return now->load(); };
  }
  std::function<std::int64_t()> ms() const {
    return [now = now_] { return now->load() / 1'000'000; };
  }
  void advance(std::chrono::nanoseconds by) { *now_ += by.count(); }
  void set(std::int64_t ns) { *now_ = ns; }

 private:
  std::shared_ptr<std::atomic<std::int64_t>> now_ = std::make_shared<std::atomic<std::int64_t>>(kStart);
};

inline Rate per_minute(std::int64_t count, std::optional<std::int64_t> burst = {}) {
  return {.count = count, .window = json::Duration{60'000}, .burst = burst};
}

inline Principal key_of(const std::string& id, const LimitPolicy& policy, const LimitPolicy& project_policy = {},
                        const std::string& project = "default") {
  auto its_project = std::make_shared<Project>();
  its_project->id = project;
  its_project->name = project;
  its_project->limits = project_policy;
  auto identity = std::make_shared<Identity>();
  identity->id = "key:" + id;
  identity->key_id = id;
  identity->name = id;
  identity->project = its_project;
  identity->limits = std::make_shared<LimitPolicy>(policy);
  return {.id = identity->id, .identity = identity, .address = {}};
}

}  // namespace llm::access
