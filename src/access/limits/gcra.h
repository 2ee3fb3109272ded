#pragma once

#include <cstdint>
#include <vector>

#include "access/limits/policy.h"

namespace llm::access {

__extension__ using Wide = __int128;

// A rate in the units that Gcra reckons in. Time is counted in ticks of 1/count nanoseconds, of which a unit costs
// `window_ns`: whole numbers, so nothing is ever rounded.
struct RateTerms {
  std::int64_t count = 1;
  std::int64_t window_ns = 1;
  std::int64_t burst = 1;  // units

  static RateTerms of(const Rate& rate);
  Wide ticks(std::int64_t ns) const { return static_cast<Wide>(ns) * count; }
  Wide cost(std::int64_t units) const { return static_cast<Wide>(units) * window_ns; }
  // Rounded up: waiting that long is enough.
  std::int64_t ns_of(Wide ticks) const;
  friend bool operator==(const RateTerms&, const RateTerms&) = default;
};

// The generic cell rate algorithm, with units that can be given back. In any stretch of time d at most
// burst + count × d / window units are granted, counting each grant at its time and without what was given back.
//
// Giving back is not just "less": what a grant kept others from having may have come back by itself meanwhile, and a
// limit that stood full has wasted it. So that neither is anything granted twice nor lost, the state afterwards is the
// one that would be if the units had never been taken. The theoretical arrival time is
//   tat = max over arrivals k of (time_k + costs from k on),
// and removing g from the cost of arrival j lowers the terms up to j only. What the later terms come to is kept for
// each stretch of arrivals that have it in common, while one of them is still open: as many numbers as reservations are
// open at most, and mostly one. Not thread-safe: Account locks it.
class Gcra {
 public:
  // The rate from now on. What is used already stays used, in units.
  void adopt(const RateTerms& terms, std::int64_t now_ns);

  bool fits(std::int64_t units, std::int64_t now_ns) const;
  std::int64_t wait_ns(std::int64_t units, std::int64_t now_ns) const;  // until they fit, if nobody else asks
  std::int64_t available(std::int64_t now_ns) const;                    // units that fit now
  std::int64_t whole_ns(std::int64_t now_ns) const;                     // until nothing is used
  bool idle(std::int64_t now_ns) const { return open_ == 0 && whole_ns(now_ns) == 0; }

  // Takes units that fit; the arrival stays open until it is closed by that number.
  std::uint64_t take(std::int64_t units, std::int64_t now_ns);
  // Gives back some of the units of an arrival, 0 or more, and closes it.
  void close(std::uint64_t arrival, std::int64_t give_back);
  // Takes whether they fit or not: a debt.
  void charge(std::int64_t units, std::int64_t now_ns);

 private:
  // Arrivals from `first` up to the next group's first. With `later` = the greatest of (time_k - costs before k) over
  // the arrivals k after any of them, the terms after them come to costs_ + later.
  struct Group {
    std::uint64_t first = 0;
    Wide later = 0;
    std::uint32_t open = 0;
  };
  static constexpr Wide kNone = -(static_cast<Wide>(1) << 120);

  Wide tat() const { return costs_ + groups_.front().later; }
  Wide backlog(std::int64_t now_ns) const;
  std::uint64_t arrive(std::int64_t units, std::int64_t now_ns, std::uint32_t open);

  RateTerms terms_;
  Wide costs_ = 0;  // of all arrivals so far
  std::vector<Group> groups_{
      Group{0, kNone, 0}};  // the first is for all arrivals; `later` falls, or stays, from front to back
  std::uint64_t next_ = 1;
  std::uint32_t open_ = 0;
};

}  // namespace llm::access
