#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/pull.h"

namespace llm::models {

// What is being pulled right now.
struct PullStatus {
  std::string source;
  Progress progress;
  int waiters = 0;
};

// Pulls that several callers may want at once: the second request for a source joins the first one's work and gets its
// progress and its result. The work runs on a thread of its own, so that any caller may leave; when the last one left,
// the job is cancelled. Thread-safe. The destructor cancels everything and waits; no caller may be inside then (stop()
// makes them leave).
class PullJobs {
 public:
  PullJobs(ModelStore& store, PullSettings settings) : store_(store), settings_(std::move(settings)) {}
  ~PullJobs();
  PullJobs(const PullJobs&) = delete;
  PullJobs& operator=(const PullJobs&) = delete;

  // Blocks until the model is there, the pull failed or `cancelled` is set (looked at ten times a second; the call then
  // returns kCancelled within a second). `progress` is called on the caller's thread. kConflict if the source is being
  // pulled under another name or with other options; kUnavailable after stop().
  Result<Manifest> pull(const PullRequest& request, const ProgressCallback& progress,
                        const std::atomic<bool>& cancelled);

  std::vector<PullStatus> running() const;
  // Cancels all jobs, makes every caller return, and accepts no more. Does not wait.
  void stop();

 private:
  struct Job {
    PullRequest request;
    std::thread thread;  // joined by the last caller that leaves
    std::atomic<bool> cancel = false;
    // The rest is guarded by mutex_.
    Progress progress;
    std::uint64_t changes = 0;  // counts progress reports
    int waiters = 0;
    std::optional<Result<Manifest>> result;
  };

  std::shared_ptr<Job> attach(const PullRequest& request, const std::atomic<bool>& cancelled,
                              std::unique_lock<std::mutex>& held, Result<void>& refused);
  void leave(Job& job, std::unique_lock<std::mutex>& held);
  void work(Job& job);

  ModelStore& store_;
  const PullSettings settings_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Shared: the map and the callers inside pull().
  std::map<std::string, std::shared_ptr<Job>> jobs_;
  bool stopped_ = false;
};

}  // namespace llm::models
