#include "access/limits/account_map.h"

#include <algorithm>
#include <cstring>

namespace llm::access {
namespace {

constexpr std::size_t kAddressShards = 16;
constexpr int kLooks = 32;  // accounts looked at for an idle one

// Nobody else has it, nor can get it while its map is locked.
bool unused(const std::shared_ptr<Account>& account) {
  return account.use_count() == 1;
}

bool idle(const std::shared_ptr<Account>& account, const Moment& now) {
  const std::lock_guard lock(account->mutex);
  return account->idle(now);
}

}  // namespace

std::shared_ptr<Account> AccountMap::get(Scope scope, std::string_view subject, const LimitTerms& terms,
                                         const Moment& now) {
  std::string name(to_string(scope));
  name += ':';
  name += subject;
  Shard& shard = shards_[std::hash<std::string>()(name) % kShards];
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.accounts.find(name); found != shard.accounts.end()) return found->second;
  if (shard.accounts.size() >= shard.sweep_at) sweep(shard, now);
  auto account = make_(scope, std::string(subject), terms.has_quotas && !shard.swept);
  shard.accounts.emplace(std::move(name), account);
  return account;
}

void AccountMap::sweep(Shard& shard, const Moment& now) {
  const auto gone =
      std::erase_if(shard.accounts, [&](const auto& one) { return unused(one.second) && idle(one.second, now); });
  if (gone > 0) shard.swept = true;
  shard.sweep_at = std::max(kSweepAt, 2 * shard.accounts.size());
}

std::vector<std::shared_ptr<Account>> AccountMap::all() const {
  std::vector<std::shared_ptr<Account>> out;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [name, account] : shard.accounts) out.push_back(account);
  }
  return out;
}

AddressMap::AddressMap(std::size_t most, AccountMap::Make make)
    : make_(std::move(make)), shards_(most >= 64 * kAddressShards ? kAddressShards : 1) {
  most_per_shard_ = std::max<std::size_t>(1, most / shards_.size());
}

std::size_t AddressMap::Hash::operator()(const Bytes& bytes) const {
  std::array<std::uint64_t, 2> words;
  std::memcpy(words.data(), bytes.data(), sizeof(words));
  std::uint64_t mixed = words[0] * 0x9e3779b97f4a7c15U ^ words[1];
  mixed ^= mixed >> 32;
  mixed *= 0xd6e8feb86659fd93U;
  return mixed ^ (mixed >> 32);
}

std::shared_ptr<Account> AddressMap::get(std::string_view address, const Moment& now) {
  const auto ip = parse_ip(address);
  if (!ip) return nullptr;
  Bytes bytes = ip->bytes;
  if (!ip->is_v4()) std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  const std::size_t hash = Hash()(bytes);
  Shard& shard = shards_[(hash >> 48) % shards_.size()];
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.places.find(bytes); found != shard.places.end()) {
    shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
    return found->second->account;
  }
  if (shard.entries.size() >= most_per_shard_) make_room(shard, now);
  shard.entries.push_front({bytes, make_(Scope::kAddress, std::string(address), false)});
  shard.places.emplace(bytes, shard.entries.begin());
  return shard.entries.front().account;
}

// Only where every account is held by a running request nothing goes; there are never more of those than connections.
void AddressMap::make_room(Shard& shard, const Moment& now) const {
  auto chosen = shard.entries.end();
  auto one = shard.entries.end();
  for (int looks = 0; looks < kLooks && one != shard.entries.begin(); ++looks) {
    --one;
    if (!unused(one->account)) continue;
    const bool is_idle = idle(one->account, now);
    if (is_idle || chosen == shard.entries.end()) chosen = one;
    if (is_idle) break;
  }
  if (chosen == shard.entries.end()) return;
  shard.places.erase(chosen->bytes);
  shard.entries.erase(chosen);
}

std::vector<std::shared_ptr<Account>> AddressMap::all() const {
  std::vector<std::shared_ptr<Account>> out;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const Entry& entry : shard.entries) out.push_back(entry.account);
  }
  return out;
}

std::size_t AddressMap::size() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    count += shard.entries.size();
  }
  return count;
}

}  // namespace llm::access
