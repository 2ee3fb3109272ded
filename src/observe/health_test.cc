#include "observe/health.h"

#include <gtest/gtest.h>
#include <stdexcept>

namespace llm::observe {
namespace {

std::string text(const HealthReport& report, bool details = true) {
  return json::write(report.to_json(details));
}

TEST(Health, PhasesOfTheProcess) {
  Health health;
  EXPECT_EQ(text(health.readiness()),
            R"({"status":"unavailable","checks":{"process":{"status":"unavailable","message":"starting"}}})");
  EXPECT_EQ(health.readiness().http_status(), 503);
  health.started();
  EXPECT_EQ(text(health.readiness()), R"({"status":"ok","checks":{}})");
  EXPECT_EQ(health.readiness().http_status(), 200);
  health.draining();
  health.started();  // too late: it stays draining
  EXPECT_EQ(text(health.readiness()),
            R"({"status":"unavailable","checks":{"process":{"status":"unavailable","message":"shutting down"}}})");
  EXPECT_EQ(text(Health::live(), false), R"({"status":"ok"})") << "alive all along";
}

TEST(Health, TheWorstCheckDecides) {
  Health health;
  health.started();
  HealthState disk = HealthState::kOk;
  health.add("store", [] { return HealthCheckResult{}; });
  health.add("disk", [&disk] { return HealthCheckResult{disk, disk == HealthState::kOk ? "" : "2.1 GiB left"}; });
  EXPECT_EQ(health.readiness().state, HealthState::kOk);
  disk = HealthState::kDegraded;
  EXPECT_EQ(text(health.readiness()),
            R"({"status":"degraded","checks":{"disk":{"status":"degraded","message":"2.1 GiB left"},)"
            R"("store":{"status":"ok"}}})");
  EXPECT_EQ(health.readiness().http_status(), 200);
  disk = HealthState::kUnavailable;
  EXPECT_EQ(text(health.readiness(), false), R"({"status":"unavailable"})");
  EXPECT_EQ(health.readiness().http_status(), 503);
}

TEST(Health, ChecksAreReplacedAndRemoved) {
  Health health;
  health.started();
  health.add("a", [] { return HealthCheckResult{HealthState::kUnavailable, "old"}; });
  health.add("a", [] { return HealthCheckResult{}; });
  EXPECT_EQ(text(health.readiness()), R"({"status":"ok","checks":{"a":{"status":"ok"}}})");
  health.remove("a");
  health.remove("never there");
  EXPECT_TRUE(health.readiness().checks.empty());
}

TEST(Health, AThrowingCheckIsUnavailable) {
  Health health;
  health.started();
  health.add("bad", []() -> HealthCheckResult { throw std::runtime_error("boom"); });
  const auto report = health.readiness();
  EXPECT_EQ(report.state, HealthState::kUnavailable);
  EXPECT_EQ(report.checks.at(0).second.why, "the check itself failed: boom");
}

}  // namespace
}  // namespace llm::observe
