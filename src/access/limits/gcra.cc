#include "access/limits/gcra.h"

#include <algorithm>
#include <limits>

namespace llm::access {

RateTerms RateTerms::of(const Rate& rate) {
  RateTerms terms;
  terms.count = std::max<std::int64_t>(1, rate.count);
  terms.window_ns = std::max<std::int64_t>(1, rate.window.ms) * 1'000'000;
  terms.burst = std::max<std::int64_t>(1, rate.burst.value_or(terms.count));
  return terms;
}

std::int64_t RateTerms::ns_of(Wide ticks) const {
  if (ticks <= 0) return 0;
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::min(kMost, (ticks + count - 1) / count));
}

void Gcra::adopt(const RateTerms& terms, std::int64_t now_ns) {
  if (terms == terms_) return;
  const Wide then = terms_.ticks(now_ns);
  const Wide now = terms.ticks(now_ns);
  for (Group& group : groups_) {
    if (group.later == kNone) continue;
    // Before now all is the same: nothing is used.
    const Wide used = std::max<Wide>(0, costs_ + group.later - then);
    const Wide units = used / terms_.window_ns;
    const Wide rest = used % terms_.window_ns;
    group.later = now + units * terms.window_ns + (rest * terms.window_ns + terms_.window_ns - 1) / terms_.window_ns;
  }
  costs_ = 0;
  terms_ = terms;
}

Wide Gcra::backlog(std::int64_t now_ns) const {
  return std::max<Wide>(0, tat() - terms_.ticks(now_ns));
}

bool Gcra::fits(std::int64_t units, std::int64_t now_ns) const {
  return backlog(now_ns) + terms_.cost(units) <= terms_.cost(terms_.burst);
}

std::int64_t Gcra::wait_ns(std::int64_t units, std::int64_t now_ns) const {
  return terms_.ns_of(backlog(now_ns) + terms_.cost(units) - terms_.cost(terms_.burst));
}

std::int64_t Gcra::available(std::int64_t now_ns) const {
  const Wide room = terms_.cost(terms_.burst) - backlog(now_ns);
  if (room <= 0) return 0;
  // Dividing 128 bits is slow and seldom needed.
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  if (room <= kMost) return static_cast<std::int64_t>(room) / terms_.window_ns;
  return static_cast<std::int64_t>(room / terms_.window_ns);
}

std::int64_t Gcra::whole_ns(std::int64_t now_ns) const {
  const Wide used = backlog(now_ns);
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max() / 2;
  if (used <= kMost) return (static_cast<std::int64_t>(used) + terms_.count - 1) / terms_.count;
  return terms_.ns_of(used);
}

std::uint64_t Gcra::arrive(std::int64_t units, std::int64_t now_ns, std::uint32_t open) {
  const Wide term = terms_.ticks(now_ns) - costs_;
  // All groups whose later terms are below this one now have the same.
  while (groups_.size() > 1 && groups_[groups_.size() - 2].later <= term) {
    groups_[groups_.size() - 2].open += groups_.back().open;
    groups_.pop_back();
  }
  groups_.back().later = std::max(groups_.back().later, term);
  const std::uint64_t arrival = next_++;
  if (groups_.size() > 1 && groups_.back().open == 0) {
    groups_.back() = {arrival, kNone, open};
  } else {
    groups_.push_back({arrival, kNone, open});
  }
  open_ += open;
  costs_ += terms_.cost(units);
  return arrival;
}

std::uint64_t Gcra::take(std::int64_t units, std::int64_t now_ns) {
  return arrive(units, now_ns, 1);
}

void Gcra::charge(std::int64_t units, std::int64_t now_ns) {
  arrive(units, now_ns, 0);
}

void Gcra::close(std::uint64_t arrival, std::int64_t give_back) {
  auto group = std::ranges::upper_bound(groups_, arrival, {}, &Group::first) - 1;
  if (give_back > 0) {
    const Wide less = terms_.cost(give_back);
    // Terms after the arrival: the costs before them shrink with all costs, so their sum stays as it is.
    const Wide floor = group->later == kNone ? kNone : group->later + less;
    for (auto one = groups_.begin(); one != group; ++one) one->later = std::max(one->later, floor);
    for (auto one = group; one != groups_.end(); ++one) {
      if (one->later != kNone) one->later += less;
    }
    costs_ -= less;
  }
  --open_;
  if (--group->open == 0 && group != groups_.begin()) groups_.erase(group);
}

}  // namespace llm::access
