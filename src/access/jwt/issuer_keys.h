#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "access/jwt/issuer_fetch.h"
#include "access/jwt/issuer_settings.h"
#include "access/jwt/jwk.h"
#include "async/event.h"
#include "async/loop.h"
#include "base/error.h"

namespace llm::observe {
class Log;
}

namespace llm::access {

// Why somebody wants an issuer's keys to be fetched.
enum class FetchReason : std::uint8_t {
  kNone,        // they are here and fresh
  kMissing,     // there are none yet
  kStale,       // their max-age is over
  kUnknownKey,  // a token names one that is not among them
};

// The public keys of one issuer: fetched when they are first needed, when their max-age is over, and when a token names
// an unknown key, for that at most once a minute, as anybody can make such a token. A fetch that fails leaves the old
// keys. One fetch at a time over all loops; who needs its outcome waits for it. Any thread, but refresh() is of a loop.
class IssuerKeys {
 public:
  using Keys = std::vector<Jwk>;
  // `name`: of the issuer in the configuration, for the log.
  IssuerKeys(std::string name, const IssuerSettings& settings, observe::Log& log)
      : name_(std::move(name)), settings_(settings), log_(log) {}

  std::shared_ptr<const Keys> keys() const;  // never null
  // Is there anything to fetch? `unknown_key`: a token names a key that keys() has not. kNone also where it was tried
  // too short a time ago.
  FetchReason due(bool unknown_key, std::int64_t now_ms) const;
  // Fetches, or waits for the one who does. Errors are in the log, and in keys() that did not change.
  Task<void> refresh(FetchReason reason, std::function<std::int64_t()> now_ms, Loop& loop, net::HttpClient& client,
                     CancelToken cancel);

 private:
  struct Waiter {
    explicit Waiter(Loop& on) : loop(on), event(on.executor()) {}
    Loop& loop;
    Event event;
  };
  FetchReason due_locked(bool unknown_key, std::int64_t now_ms) const;
  void finish(Result<FetchedKeys> fetched, bool cancelled, FetchReason reason, std::int64_t now_ms);

  std::string name_;
  const IssuerSettings& settings_;
  observe::Log& log_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Keys> keys_ = std::make_shared<const Keys>();
  std::int64_t fresh_until_ = 0;
  std::optional<std::int64_t> tried_;              // when a fetch ended last
  std::optional<std::int64_t> tried_for_unknown_;  // the same for kUnknownKey
  bool fetching_ = false;
  std::vector<std::shared_ptr<Waiter>> waiters_;  // shared with their coroutines, which may be gone first
};

}  // namespace llm::access
