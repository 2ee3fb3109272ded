#include "observe/health.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace llm::observe {
namespace {

HealthCheckResult run_check(const Health::Check& check) {
  try {
    return check();
  } catch (const std::exception& error) {
    return {HealthState::kUnavailable, std::string("the check itself failed: ") + error.what()};
  }
}

}  // namespace

std::string_view to_string(HealthState state) {
  switch (state) {
    case HealthState::kOk:
      return "ok";
    case HealthState::kDegraded:
      return "degraded";
    case HealthState::kUnavailable:
      break;
  }
  return "unavailable";
}

json::object HealthReport::to_json(bool details) const {
  json::object out;
  out["status"] = to_string(state);
  if (!details) return out;
  json::object& rows = out["checks"].emplace_object();
  for (const auto& [name, result] : checks) {
    json::object& row = rows[name].emplace_object();
    row["status"] = to_string(result.state);
    if (!result.why.empty()) row["message"] = result.why;
  }
  return out;
}

void Health::add(std::string name, Check check) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::lower_bound(checks_, name, {}, [](const auto& row) -> const auto& { return row.first; });
  if (at != checks_.end() && at->first == name) {
    at->second = std::move(check);
  } else {
    checks_.emplace(at, std::move(name), std::move(check));
  }
}

void Health::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  std::erase_if(checks_, [name](const auto& row) { return row.first == name; });
}

void Health::started() {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::kStarting) phase_ = Phase::kServing;
}

void Health::draining() {
  const std::lock_guard lock(mutex_);
  phase_ = Phase::kDraining;
}

HealthReport Health::readiness() const {
  HealthReport report;
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kServing) {
    const char* why = phase_ == Phase::kStarting ? "starting" : "shutting down";
    report.checks.emplace_back("process", HealthCheckResult{HealthState::kUnavailable, why});
  }
  for (const auto& [name, check] : checks_) report.checks.emplace_back(name, run_check(check));
  for (const auto& [name, result] : report.checks) report.state = std::max(report.state, result.state);
  return report;
}

}  // namespace llm::observe
