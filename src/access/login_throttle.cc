#include "access/login_throttle.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <fmt/format.h>
#include <list>
#include <mutex>
#include <unordered_map>

namespace llm::access {
namespace {

constexpr std::size_t kShards = 16;

// One IPv4 address, or the /64 of an IPv6 address: whoever has one of its addresses has all of them.
IpAddress source_of(IpAddress address) {
  if (!address.is_v4()) std::fill(address.bytes.begin() + 8, address.bytes.end(), std::uint8_t{0});
  return address;
}

struct HashAddress {
  std::size_t operator()(const IpAddress& address) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
  }
};

struct Source {
  IpAddress address;
  std::uint32_t failures = 0;
  std::int64_t window_start = 0;
  std::int64_t blocked_until = 0;
};

// The longest quiet ones first: they are forgotten first.
struct Shard {
  mutable std::mutex mutex;
  std::list<Source> sources;
  std::unordered_map<IpAddress, std::list<Source>::iterator, HashAddress> by_address;
};

}  // namespace

struct LoginThrottle::State {
  LoginThrottleSettings settings;
  std::array<Shard, kShards> shards;
  std::atomic<std::size_t> remembered{0};  // as long as nobody fails, nobody takes a lock

  // The table inside a shard uses the low bits of the same hash.
  Shard& shard(const IpAddress& source) { return shards[HashAddress()(source) >> 60]; }
  std::size_t most_per_shard() const { return std::max<std::size_t>(1, settings.max_addresses / kShards); }
};

LoginThrottle::LoginThrottle(LoginThrottleSettings settings) : state_(std::make_unique<State>()) {
  state_->settings = settings;
}

LoginThrottle::~LoginThrottle() = default;

std::size_t LoginThrottle::remembered() const {
  return state_->remembered.load(std::memory_order_relaxed);
}

Result<void> LoginThrottle::check(std::string_view address, std::int64_t now_ms) const {
  const auto ip = parse_peer(address);
  return ip ? check(*ip, now_ms) : Result<void>();
}

Result<void> LoginThrottle::check(const IpAddress& address, std::int64_t now_ms) const {
  if (remembered() == 0) return {};
  const IpAddress source = source_of(address);
  std::int64_t left = 0;
  {
    const Shard& shard = state_->shard(source);
    const std::scoped_lock lock(shard.mutex);
    const auto found = shard.by_address.find(source);
    if (found != shard.by_address.end()) left = found->second->blocked_until - now_ms;
  }
  if (left <= 0) return {};
  const auto seconds = static_cast<int>((left + 999) / 1000);
  Error error;
  error.code = ErrorCode::kRateLimited;
  error.message = fmt::format("too many wrong credentials came from this address; try again in {} s", seconds);
  return fail(std::move(error).retry_after(seconds));
}

void LoginThrottle::failed(std::string_view address, std::int64_t now_ms) {
  if (const auto ip = parse_peer(address)) failed(*ip, now_ms);
}

void LoginThrottle::failed(const IpAddress& address, std::int64_t now_ms) {
  const IpAddress source = source_of(address);
  const LoginThrottleSettings& settings = state_->settings;
  if (settings.failures == 0) return;
  Shard& shard = state_->shard(source);
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.by_address.find(source);
  if (found == shard.by_address.end()) {
    if (shard.sources.size() >= state_->most_per_shard()) {
      shard.by_address.erase(shard.sources.front().address);
      shard.sources.pop_front();
    } else {
      state_->remembered.fetch_add(1, std::memory_order_relaxed);
    }
    shard.sources.push_back({source, 0, now_ms, 0});
    shard.by_address.emplace(source, std::prev(shard.sources.end()));
  } else {
    shard.sources.splice(shard.sources.end(), shard.sources, found->second);
  }
  Source& one = shard.sources.back();
  if (now_ms - one.window_start >= settings.window_ms) {
    one.window_start = now_ms;
    one.failures = 0;
  }
  if (++one.failures < settings.failures) return;
  one.blocked_until = now_ms + settings.block_ms;
  one.failures = 0;
  one.window_start = now_ms;
}

}  // namespace llm::access
