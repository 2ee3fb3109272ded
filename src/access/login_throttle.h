#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "access/ip_network.h"
#include "base/error.h"

namespace llm::access {

struct LoginThrottleSettings {
  std::uint32_t failures = 20;          // wrong credentials from one address (IPv6: its /64) …
  std::int64_t window_ms = 60'000;      // … within this time, and
  std::int64_t block_ms = 60'000;       // no credentials of it are looked at for so long
  std::size_t max_addresses = 100'000;  // remembered at once
};

// Slows down who guesses credentials. Any thread. Loopback counts like every address; what is no IP address (a Unix
// socket) does not count. When more addresses fail than can be remembered, those that failed longest ago are forgotten.
// Success forgets nothing: a right key does not buy more guesses.
class LoginThrottle {
 public:
  explicit LoginThrottle(LoginThrottleSettings settings = {});
  ~LoginThrottle();
  // kRateLimited with retry_after. Addresses with or without a port.
  Result<void> check(std::string_view address, std::int64_t now_ms) const;
  Result<void> check(const IpAddress& address, std::int64_t now_ms) const;
  void failed(std::string_view address, std::int64_t now_ms);
  void failed(const IpAddress& address, std::int64_t now_ms);
  std::size_t remembered() const;  // addresses

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace llm::access
