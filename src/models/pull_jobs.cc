#include "models/pull_jobs.h"

#include <chrono>
#include <fmt/format.h>
#include <utility>

namespace llm::models {

namespace {

// The caller's flag cannot wake a condition variable, so it is looked at this often.
constexpr std::chrono::milliseconds kLook{100};

}  // namespace

PullJobs::~PullJobs() {
  stop();
  std::unique_lock held(mutex_);
  changed_.wait(held, [this] { return jobs_.empty(); });
}

void PullJobs::stop() {
  const std::lock_guard held(mutex_);
  stopped_ = true;
  for (auto& [source, job] : jobs_) job->cancel = true;
  changed_.notify_all();
}

void PullJobs::work(Job& job) {
  const auto progress = [this, &job](const Progress& now) {
    const std::lock_guard held(mutex_);
    job.progress = now;
    ++job.changes;
    changed_.notify_all();
  };
  auto result = models::pull(store_, settings_, job.request, progress, job.cancel);
  const std::lock_guard held(mutex_);
  job.result = std::move(result);
  changed_.notify_all();
}

// Joins the job of this source or starts one. A job that is being cancelled is waited for: it still owns the partial
// file.
std::shared_ptr<PullJobs::Job> PullJobs::attach(const PullRequest& request, const std::atomic<bool>& cancelled,
                                                std::unique_lock<std::mutex>& held, Result<void>& refused) {
  for (;;) {
    if (stopped_) {
      refused = fail(ErrorCode::kUnavailable, "shutting down: no more pulls");
      return nullptr;
    }
    if (refused = check_cancelled(cancelled); !refused) return nullptr;
    const auto found = jobs_.find(request.source);
    if (found == jobs_.end()) break;
    if (!found->second->cancel) {
      if (found->second->request != request) {
        refused =
            fail(ErrorCode::kConflict,
                 fmt::format("{} is being pulled under another name or with other options; wait for it, then pull "
                             "again: the file will not be fetched twice",
                             request.source));
        return nullptr;
      }
      ++found->second->waiters;
      return found->second;
    }
    changed_.wait_for(held, kLook);
  }
  auto job = std::make_shared<Job>();
  job->request = request;
  job->waiters = 1;
  // The thread ends before the job does: the last caller joins it in leave().
  job->thread = std::thread([this, raw = job.get()] { work(*raw); });
  jobs_.emplace(request.source, job);
  return job;
}

void PullJobs::leave(Job& job, std::unique_lock<std::mutex>& held) {
  if (--job.waiters > 0) return;
  job.cancel = true;  // from here on nobody joins it
  held.unlock();
  job.thread.join();
  held.lock();
  jobs_.erase(job.request.source);
  changed_.notify_all();
}

Result<Manifest> PullJobs::pull(const PullRequest& request, const ProgressCallback& progress,
                                const std::atomic<bool>& cancelled) {
  std::unique_lock held(mutex_);
  Result<void> refused;
  const std::shared_ptr<Job> job = attach(request, cancelled, held, refused);
  if (!job) return fail(std::move(refused.error()));
  std::uint64_t seen = 0;
  const auto tell = [&] {
    if (job->changes == seen || !progress) return;
    seen = job->changes;
    const Progress now = job->progress;
    held.unlock();
    progress(now);
    held.lock();
  };
  while (!job->result && !stopped_ && !cancelled) {
    changed_.wait_for(held, kLook);
    tell();
  }
  tell();
  Result<Manifest> result = job->result ? *job->result : fail(ErrorCode::kCancelled, "cancelled");
  leave(*job, held);
  return result;
}

std::vector<PullStatus> PullJobs::running() const {
  const std::lock_guard held(mutex_);
  std::vector<PullStatus> all;
  for (const auto& [source, job] : jobs_) all.push_back({source, job->progress, job->waiters});
  return all;
}

}  // namespace llm::models
