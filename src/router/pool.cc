#include "router/pool.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <boost/container/small_vector.hpp>
#include <cmath>
#include <limits>
#include <mutex>
#include <random>
#include <utility>

#include "router/prefix_index.h"

namespace llm::router {
namespace {

// The finalizer of MurmurHash3: every bit of the result depends on every bit of `x`.
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 33U)) * 0xff51afd7ed558ccdU;
  x = (x ^ (x >> 33U)) * 0xc4ceb9fe1a85ec53U;
  return x ^ (x >> 33U);
}

// FNV-1a of a replica's key: the same in every process, so that sessions stay where they were after a restart.
std::uint64_t key_hash(std::string_view key) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mixed(hash);
}

// A number in (0, 1) of a hash.
double unit(std::uint64_t hash) {
  return (static_cast<double>(hash >> 11U) + 0.5) * 0x1.0p-53;
}

constexpr double kLeastShare = 1e-9;  // a weight of 0 divides nothing

// One replica that may be chosen, as it was a moment ago.
struct Candidate {
  std::uint32_t index = 0;
  double share = 1;  // weight times readiness
  double readiness = 1;
  std::int64_t tokens = 0;
};
using Candidates = boost::container::small_vector<Candidate, 64>;

void drop_if(Candidates& all, const auto& unwanted) {
  all.erase(std::ranges::remove_if(all, unwanted).begin(), all.end());
}

unsigned bit_of(const Candidate& candidate) {
  return candidate.index % PrefixIndex::kMostReplicas;
}

std::uint64_t mask_of(const Candidates& candidates) {
  std::uint64_t mask = 0;
  for (const Candidate& candidate : candidates) mask |= std::uint64_t{1} << bit_of(candidate);
  return mask;
}

}  // namespace

struct Pool::Impl {
  // As of a replica's last choice.
  struct Seen {
    std::atomic<std::uint64_t> failures{0};
    std::atomic<std::uint32_t> comebacks{0};
  };

  Impl(const Pool& pool)
      : settings(pool.settings_), replicas(pool.replicas_), places(settings.places), seen(replicas.size()) {
    if (places.size() != replicas.size()) {
      places.clear();
      for (const auto& replica : replicas) places.push_back({replica->options().weight, replica->options().priority});
    }
    for (const auto& replica : replicas) keys.push_back(key_hash(replica->key()));
    equal_weights = std::ranges::all_of(places, [&](const auto& place) { return place.weight == places[0].weight; });
    random =
        settings.seed != 0 ? settings.seed : (std::uint64_t{std::random_device{}()} << 32U) | std::random_device{}();
    if (settings.policy == Policy::kPrefix) index = std::make_unique<PrefixIndex>();
  }

  // SplitMix64: one atomic addition, and the same numbers for the same seed.
  std::uint64_t draw() { return mixed(random.fetch_add(0x9e3779b97f4a7c15U, std::memory_order_relaxed)); }

  Candidates gather(std::span<const Replica* const> tried, Clock::time_point now) const;
  void admit_slowly(Candidates& all, std::uint64_t stable);
  // `known`: how many blocks of the prompt it has had (policy prefix).
  const Candidate& choose(Candidates& all, const Hints& hints, Clock::time_point now, std::size_t& known);

  const Candidate& less_loaded(const Candidates& all, std::int64_t tokens);
  const Candidate& least_loaded_among(const Candidates& all, std::int64_t tokens, const auto& wanted);
  void keep_within_bound(Candidates& all, std::int64_t tokens) const;
  const Candidate& by_prefix(Candidates& all, const Hints& hints, std::size_t& known);
  void learn(std::uint32_t chosen, const Hints& hints, std::size_t known);
  const Candidate& by_session(Candidates& all, const Hints& hints);
  const Candidate& by_weight(const Candidates& all);
  const Candidate& by_latency(const Candidates& all, Clock::time_point now);
  void notice_comebacks(const Candidates& all);

  bool is_outlier(std::uint32_t index, Clock::time_point now);

  const PoolSettings& settings;
  const std::vector<std::shared_ptr<Replica>>& replicas;
  std::vector<PoolPlace> places;
  std::vector<std::uint64_t> keys;
  bool equal_weights = true;
  std::vector<Seen> seen;
  std::unique_ptr<PrefixIndex> index;  // policy prefix
  std::mutex mutex;                    // of ejections
  alignas(64) std::atomic<std::uint64_t> random;
  std::atomic<std::uint64_t> turn{0};
};

Pool::Pool(PoolSettings settings, std::vector<std::shared_ptr<Replica>> replicas, Now now)
    : settings_(std::move(settings)),
      replicas_(std::move(replicas)),
      now_(std::move(now)),
      impl_(std::make_unique<Impl>(*this)) {}

Pool::~Pool() = default;

Candidates Pool::Impl::gather(std::span<const Replica* const> tried, Clock::time_point now) const {
  Candidates found;
  std::size_t steered = 0;
  for (std::uint32_t i = 0; i < replicas.size(); ++i) {
    const Replica& replica = *replicas[i];
    if (!replica.available(now)) continue;
    if (!tried.empty() && std::ranges::find(tried, &replica) != tried.end()) continue;
    // Made in place: a copy of what was just written piece by piece would take half of the choice's time.
    Candidate& candidate = found.emplace_back();
    candidate.index = i;
    candidate.readiness = replica.readiness(now);
    candidate.share = std::max(places[i].weight * candidate.readiness, kLeastShare);
    candidate.tokens = replica.tokens_in_flight();
    if (replica.steered_away(now)) ++steered;
  }
  if (steered > 0 && steered < found.size()) {
    drop_if(found, [&](const Candidate& candidate) { return replicas[candidate.index]->steered_away(now); });
  }
  return found;
}

// Policies that do not look at the load let a replica in its slow start have as much of its requests as it is ready
// for, beside the readiest. `stable`: what is let in once is let in again; 0: at random.
void Pool::Impl::admit_slowly(Candidates& all, std::uint64_t stable) {
  double readiest = 0;
  double least = 1;
  for (const Candidate& candidate : all) {
    readiest = std::max(readiest, candidate.readiness);
    least = std::min(least, candidate.readiness);
  }
  if (least > readiest * 0.98) return;
  drop_if(all, [&](const Candidate& candidate) {
    if (candidate.readiness >= readiest) return false;
    const double at = unit(stable != 0 ? mixed(stable ^ ~keys[candidate.index]) : draw());
    return at > candidate.readiness / readiest;
  });
  for (Candidate& candidate : all) candidate.share = std::max(places[candidate.index].weight, kLeastShare);
}

// The better of two random ones: nearly as even as the best of all, and no herd runs to the one that looks best.
const Candidate& Pool::Impl::less_loaded(const Candidates& all, std::int64_t tokens) {
  if (all.size() == 1) return all[0];
  const std::uint64_t random_bits = draw();
  const std::size_t first = (random_bits & 0xffffffffU) % all.size();
  const std::size_t second = (first + 1 + (random_bits >> 32U) % (all.size() - 1)) % all.size();
  const auto load = [&](const Candidate& candidate) {
    return static_cast<double>(candidate.tokens + tokens) / candidate.share;
  };
  const double a = load(all[first]);
  const double b = load(all[second]);
  if (a != b) return a < b ? all[first] : all[second];
  return replicas[all[second].index]->requests_in_flight() < replicas[all[first].index]->requests_in_flight()
             ? all[second]
             : all[first];
}

const Candidate& Pool::Impl::least_loaded_among(const Candidates& all, std::int64_t tokens, const auto& wanted) {
  Candidates some;
  boost::container::small_vector<const Candidate*, 64> origin;
  for (const Candidate& candidate : all) {
    if (!wanted(candidate)) continue;
    some.push_back(candidate);
    origin.push_back(&candidate);
  }
  if (some.empty()) return less_loaded(all, tokens);
  return *origin[static_cast<std::size_t>(&less_loaded(some, tokens) - some.data())];
}

// Consistent hashing with bounded load: who has more than bounded_load times the mean (by weight) gets no more. The one
// with the least never has. Where next to nothing is going on the mean says nothing: a wait behind two requests like
// this one costs less than a prompt read anew.
void Pool::Impl::keep_within_bound(Candidates& all, std::int64_t tokens) const {
  double sum = static_cast<double>(tokens);
  double shares = 0;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const Candidate& candidate : all) {
    sum += static_cast<double>(candidate.tokens);
    shares += candidate.share;
    least = std::min(least, candidate.tokens);
  }
  drop_if(all, [&](const Candidate& candidate) {
    return candidate.tokens > least + 2 * tokens &&
           static_cast<double>(candidate.tokens) > settings.bounded_load * sum * candidate.share / shares;
  });
}

void Pool::Impl::notice_comebacks(const Candidates& all) {
  for (const Candidate& candidate : all) {
    const std::uint32_t now = replicas[candidate.index]->comebacks();
    auto& before = seen[candidate.index].comebacks;
    if (now == before.load(std::memory_order_relaxed)) continue;
    if (before.exchange(now, std::memory_order_relaxed) != now) index->forget(bit_of(candidate));
  }
}

// A prompt that goes on where an earlier one ended (a conversation's next turn) goes where that was, within the load
// bound. One that shares no more than a beginning with others (a system prompt) may go wherever that is known, but not
// all of them to the one that happened to have the first: caches fill evenly.
const Candidate& Pool::Impl::by_prefix(Candidates& all, const Hints& hints, std::size_t& known) {
  notice_comebacks(all);
  keep_within_bound(all, hints.tokens);
  auto match = index->longest(hints.blocks, mask_of(all));
  if (match.ends == 0) {
    double sum = static_cast<double>(hints.blocks.size() - match.blocks);
    for (const Candidate& candidate : all) sum += static_cast<double>(index->held(bit_of(candidate)));
    const double most = settings.bounded_load * sum / static_cast<double>(all.size());
    drop_if(all,
            [&](const Candidate& candidate) { return static_cast<double>(index->held(bit_of(candidate))) > most; });
    match = index->longest(hints.blocks, mask_of(all));
  }
  const std::uint64_t wanted = match.ends != 0 ? match.ends : match.holders;
  const auto holds = [&](const Candidate& candidate) { return ((wanted >> bit_of(candidate)) & 1U) != 0; };
  known = match.blocks;
  return known == 0 ? less_loaded(all, hints.tokens) : least_loaded_among(all, hints.tokens, holds);
}

void Pool::Impl::learn(std::uint32_t chosen, const Hints& hints, std::size_t known) {
  if (!index || hints.blocks.empty()) return;
  index->learn(hints.blocks, chosen % PrefixIndex::kMostReplicas, known);
  if (settings.metrics) settings.metrics->prompt(hints.blocks.size(), known);
}

// Rendezvous hashing: each session has an order of the replicas of its own, so that one that goes moves only its own
// sessions, and one that comes takes an even share from each.
const Candidate& Pool::Impl::by_session(Candidates& all, const Hints& hints) {
  if (hints.session == 0) return less_loaded(all, hints.tokens);
  keep_within_bound(all, hints.tokens);
  const Candidate* best = &all[0];
  double best_score = -1;
  for (const Candidate& candidate : all) {
    const double at = unit(mixed(hints.session ^ keys[candidate.index]));
    const double score = equal_weights ? at : -places[candidate.index].weight / std::log(at);
    if (score > best_score) {
      best = &candidate;
      best_score = score;
    }
  }
  return *best;
}

const Candidate& Pool::Impl::by_weight(const Candidates& all) {
  double sum = 0;
  for (const Candidate& candidate : all) sum += candidate.share;
  double at = unit(draw()) * sum;
  for (const Candidate& candidate : all) {
    if ((at -= candidate.share) < 0) return candidate;
  }
  return all.back();
}

// One that nobody has tried lately counts as fast as the fastest until it has shown what it is.
const Candidate& Pool::Impl::by_latency(const Candidates& all, Clock::time_point now) {
  double fastest = std::numeric_limits<double>::infinity();
  boost::container::small_vector<double, 64> seconds;  // to the first token; 0: not known
  for (const Candidate& candidate : all) {
    seconds.push_back(replicas[candidate.index]->first_token_seconds(now));
    if (seconds.back() > 0) fastest = std::min(fastest, seconds.back());
  }
  if (std::isinf(fastest)) fastest = 1;
  std::size_t i = draw() % all.size();  // where to start, so that equals take turns
  std::size_t best = i;
  double best_score = std::numeric_limits<double>::infinity();
  for (std::size_t left = all.size(); left > 0; --left) {
    const bool known = seconds[i] > 0;
    const double load = 1 + static_cast<double>(replicas[all[i].index]->requests_in_flight());
    const double score = (known ? seconds[i] : fastest) * load / all[i].share;
    if (score < best_score || (score == best_score && !known && seconds[best] > 0)) {
      best = i;
      best_score = score;
    }
    if (++i == all.size()) i = 0;
  }
  return all[best];
}

const Candidate& Pool::Impl::choose(Candidates& all, const Hints& hints, Clock::time_point now, std::size_t& known) {
  switch (settings.policy) {
    case Policy::kLeastLoaded:
      return less_loaded(all, hints.tokens);
    case Policy::kPrefix:
      return by_prefix(all, hints, known);
    case Policy::kSession:
      admit_slowly(all, hints.session);
      return by_session(all, hints);
    case Policy::kRoundRobin:
      admit_slowly(all, 0);
      return all[turn.fetch_add(1, std::memory_order_relaxed) % all.size()];
    case Policy::kWeighted:
      return by_weight(all);
    case Policy::kLatency:
      return by_latency(all, now);
    case Policy::kCost: {
      admit_slowly(all, 0);
      double least = std::numeric_limits<double>::infinity();
      const auto cost = [&](const Candidate& candidate) { return replicas[candidate.index]->options().cost; };
      for (const Candidate& candidate : all) least = std::min(least, cost(candidate));
      return least_loaded_among(all, hints.tokens,
                                [&](const Candidate& candidate) { return cost(candidate) <= least; });
    }
    case Policy::kPriority: {
      admit_slowly(all, 0);
      std::int32_t least = std::numeric_limits<std::int32_t>::max();
      for (const Candidate& candidate : all) least = std::min(least, places[candidate.index].priority);
      return least_loaded_among(all, hints.tokens,
                                [&](const Candidate& candidate) { return places[candidate.index].priority == least; });
    }
  }
  return all[0];
}

bool Pool::Impl::is_outlier(std::uint32_t i, Clock::time_point now) {
  Replica& replica = *replicas[i];
  const std::uint64_t failures = replica.failures();
  if (failures == seen[i].failures.load(std::memory_order_relaxed)) return false;
  seen[i].failures.store(failures, std::memory_order_relaxed);
  if (replica.error_rate(settings.outlier.window) < settings.outlier.error_rate) return false;
  const std::lock_guard lock(mutex);
  const auto ejected = std::ranges::count_if(replicas, [&](const auto& other) { return other->ejected(now); });
  const double allowed = settings.outlier.most_ejected * static_cast<double>(replicas.size()) + 1e-9;
  if (static_cast<double>(ejected + 1) > allowed) return false;
  replica.eject(settings.outlier, now);
  return true;
}

std::optional<Pick> Pool::pick(const Hints& hints, std::span<const Replica* const> tried) {
  const Clock::time_point now = now_();
  while (true) {
    Candidates all = impl_->gather(tried, now);
    if (all.empty()) return std::nullopt;
    std::size_t known = 0;
    const std::uint32_t index = impl_->choose(all, hints, now, known).index;
    Replica& replica = *replicas_[index];
    // Either way somebody is not available any more, so that this comes to an end.
    if (impl_->is_outlier(index, now)) continue;
    const auto admitted = replica.began(hints.tokens, now);
    if (admitted == Replica::Admitted::kNo) continue;
    impl_->learn(index, hints, known);
    if (auto* metrics = replica.options().metrics) metrics->picked(settings_.policy);
    return Pick(replicas_[index], hints.tokens, admitted == Replica::Admitted::kProbe);
  }
}

std::optional<Pool::Clock::time_point> Pool::next_available() const {
  const Clock::time_point now = now_();
  std::optional<Clock::time_point> first;
  for (const auto& replica : replicas_) {
    if (replica->available(now)) return std::nullopt;
    const auto report = replica->report(now);
    if (report.draining || !report.well || !report.retry_at) continue;
    if (!first || *report.retry_at < *first) first = report.retry_at;
  }
  return first;
}

}  // namespace llm::router
