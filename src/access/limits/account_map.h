#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "access/ip_network.h"
#include "access/limits/account.h"

// Where accounts are found. An account that somebody holds is never replaced by another of the same subject: that would
// grant its limits twice. Any thread.
namespace llm::access {

class AccountMap {
 public:
  using Make = std::function<std::shared_ptr<Account>(Scope scope, std::string subject, bool fresh)>;

  // `make`: `fresh` says that no request of that subject went by before.
  explicit AccountMap(Make make) : make_(std::move(make)) {}

  // Of a key, project or model; made if there is none. `terms`: what it is wanted for.
  std::shared_ptr<Account> get(Scope scope, std::string_view subject, const LimitTerms& terms, const Moment& now);
  std::vector<std::shared_ptr<Account>> all() const;

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kSweepAt = 16'384;  // accounts of a shard; then whenever they have doubled
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<Account>> accounts;
    std::size_t sweep_at = kSweepAt;
    bool swept = false;
  };
  static void sweep(Shard& shard, const Moment& now);

  Make make_;
  std::array<Shard, kShards> shards_;
};

// Accounts of client addresses, at most so many: idle ones go first, then those unused for longest. An IPv6 network of
// 64 bits is one address, since that is what one customer has at least.
class AddressMap {
 public:
  AddressMap(std::size_t most, AccountMap::Make make);

  // Null for what is no IP address (a Unix socket).
  std::shared_ptr<Account> get(std::string_view address, const Moment& now);
  std::vector<std::shared_ptr<Account>> all() const;
  std::size_t size() const;

 private:
  using Bytes = std::array<std::uint8_t, 16>;
  struct Hash {
    std::size_t operator()(const Bytes& bytes) const;
  };
  struct Entry {
    Bytes bytes;
    std::shared_ptr<Account> account;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::list<Entry> entries;  // used last: at the front
    std::unordered_map<Bytes, std::list<Entry>::iterator, Hash> places;
  };
  void make_room(Shard& shard, const Moment& now) const;

  AccountMap::Make make_;
  std::size_t most_per_shard_;
  std::vector<Shard> shards_;
};

}  // namespace llm::access
