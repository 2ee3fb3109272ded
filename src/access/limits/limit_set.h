#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "access/identity.h"
#include "access/limits/account_map.h"

namespace llm::access {

// One account and what holds for it.
struct Bound {
  std::shared_ptr<Account> account;
  LimitTerms terms;
  std::string name;  // for people: of the key, the project, the model
};

// All limits of one identity on one model but that of its address. In the order in which accounts are locked.
struct LimitSet {
  std::shared_ptr<const Identity> identity;  // kept, so that no other can get its address in memory
  std::vector<Bound> bounds;
};

// Finds the limits of a caller: worked out once for an identity and a model, then remembered. Identities never change,
// so neither does a limit set; the account behind it is shared by all identities that a key has had. Any thread.
class LimitSets {
 public:
  LimitSets(const LimitDefaults& defaults, AccountMap& accounts);

  std::shared_ptr<const LimitSet> get(const Principal& principal, std::string_view model,
                                      const std::function<std::int64_t()>& now_ns);

 private:
  struct View {
    const Identity* identity;
    std::string_view model;
    friend bool operator==(const View&, const View&) = default;
  };
  struct Key {
    const Identity* identity;
    std::string model;
    operator View() const { return {identity, model}; }
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const View& view) const;
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const View& a, const View& b) const { return a == b; }
  };
  static constexpr std::size_t kShards = 32;
  static constexpr std::size_t kMostPerShard = 1'024;
  struct Shard {
    std::mutex mutex;
    std::unordered_map<Key, std::shared_ptr<const LimitSet>, Hash, Equal> sets;
  };
  std::shared_ptr<const LimitSet> work_out(const Principal& principal, std::string_view model, const Moment& now);

  const LimitDefaults& defaults_;
  std::map<std::string, LimitTerms> models_;  // by pattern
  AccountMap& accounts_;
  std::array<Shard, kShards> shards_;
};

}  // namespace llm::access
