#include "access/jwt/issuer_keys.h"

#include <utility>

#include "observe/log.h"

namespace llm::access {
namespace {

constexpr std::int64_t kRetryMissingMs = 5'000;
constexpr std::int64_t kRetryStaleMs = 60'000;
constexpr std::int64_t kUnknownKeyEveryMs = 60'000;

bool long_ago(const std::optional<std::int64_t>& when, std::int64_t span, std::int64_t now) {
  return !when || now - *when >= span || now < *when;  // a clock that was set back blocks nothing
}

}  // namespace

std::shared_ptr<const IssuerKeys::Keys> IssuerKeys::keys() const {
  const std::scoped_lock lock(mutex_);
  return keys_;
}

FetchReason IssuerKeys::due_locked(bool unknown_key, std::int64_t now_ms) const {
  if (keys_->empty()) {
    return fetching_ || long_ago(tried_, kRetryMissingMs, now_ms) ? FetchReason::kMissing : FetchReason::kNone;
  }
  if (unknown_key && (fetching_ || long_ago(tried_for_unknown_, kUnknownKeyEveryMs, now_ms))) {
    return FetchReason::kUnknownKey;
  }
  // Nobody waits for fresher keys while somebody else is fetching them: the old ones still verify.
  if (!fetching_ && now_ms >= fresh_until_ && long_ago(tried_, kRetryStaleMs, now_ms)) return FetchReason::kStale;
  return FetchReason::kNone;
}

FetchReason IssuerKeys::due(bool unknown_key, std::int64_t now_ms) const {
  const std::scoped_lock lock(mutex_);
  return due_locked(unknown_key, now_ms);
}

Task<void> IssuerKeys::refresh(FetchReason reason, std::function<std::int64_t()> now_ms, Loop& loop,
                               net::HttpClient& client, CancelToken cancel) {
  std::shared_ptr<Waiter> waiter;
  {
    const std::scoped_lock lock(mutex_);
    if (fetching_) {
      waiter = std::make_shared<Waiter>(loop);
      waiters_.push_back(waiter);
    } else if (due_locked(reason == FetchReason::kUnknownKey, now_ms()) == FetchReason::kNone) {
      co_return;  // another loop was faster
    } else {
      fetching_ = true;
    }
  }
  if (waiter) {
    // The fetch has a deadline, so this wait has one.
    const auto linked = cancel.on_cancel([&] { waiter->event.notify(); });
    co_await waiter->event.wait();
    co_return;
  }
  auto fetched = co_await fetch_keys(settings_, {}, loop, client, cancel);
  finish(std::move(fetched), cancel.cancelled(), reason, now_ms());
}

void IssuerKeys::finish(Result<FetchedKeys> fetched, bool cancelled, FetchReason reason, std::int64_t now_ms) {
  std::vector<std::shared_ptr<Waiter>> waiters;
  {
    const std::scoped_lock lock(mutex_);
    fetching_ = false;
    waiters.swap(waiters_);
    if (fetched) {
      keys_ = std::make_shared<const Keys>(std::move(fetched->keys));
      fresh_until_ = now_ms + fetched->max_age_ms;
    }
    // A client that went away says nothing about the issuer: the next one tries at once.
    if (fetched || !cancelled) {
      tried_ = now_ms;
      if (reason == FetchReason::kUnknownKey) tried_for_unknown_ = now_ms;
    }
  }
  if (!fetched && !cancelled) {
    log_.warn("the keys of an issuer could not be fetched", {{"issuer", name_}, {"error", fetched.error().message}});
  }
  for (auto& waiter : waiters) {
    Loop& loop = waiter->loop;
    loop.post([waiter = std::move(waiter)] { waiter->event.notify(); });
  }
}

}  // namespace llm::access
