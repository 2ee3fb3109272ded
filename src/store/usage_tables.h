#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/database.h"

// Usage counted, and limits shared between gateways. Times: milliseconds since 1970.
namespace llm::store {

// Sums of one key, project and model on one day (UTC, days since 1970).
struct UsageRow {
  std::int64_t day = 0;
  std::string project;
  std::string key;  // key id; "local", or the subject of a token
  std::string model;
  std::int64_t requests = 0;
  std::int64_t failed = 0;  // of those
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the input
  std::int64_t output_tokens = 0;
  friend bool operator==(const UsageRow&, const UsageRow&) = default;
};
// Adds to the sums. `batch` is unique to this call (an id of the caller's choice): a batch that is in the database
// already is not added again, so a caller that does not know whether its commit arrived may repeat it.
Result<void> add_usage(Session& session, const std::string& batch, const std::vector<UsageRow>& rows);
Result<void> forget_usage_batches(Session& session, std::int64_t older_than);  // by the database's clock

struct UsageQuery {
  std::int64_t from_day = 0;  // both included
  std::int64_t to_day = 0;
  std::string project = {};  // empty: all
  std::string key = {};
  std::string model = {};
};
Result<std::vector<UsageRow>> usage(Session& session, const UsageQuery& query);

// A rate limit that gateways share: the theoretical arrival time of the generic cell rate algorithm, in nanoseconds
// since 1970 by the database's clock. Takes up to `wanted` units, none if there are none:
// tat' = max(tat, now) + n × interval, while tat' - now <= burst.
struct RateLease {
  std::int64_t units = 0;    // granted now
  std::int64_t wait_ns = 0;  // units == 0: until there is one
  std::int64_t left = 0;     // units that could still be had now: floor((burst - (tat' - now)) / interval), never < 0
  std::int64_t mark_ns = 0;  // tat' + all that was ever returned (a sum in the row); return_rate wants it back
};
Result<RateLease> lease_rate(Session& session, const std::string& limit, std::int64_t wanted, std::int64_t interval_ns,
                             std::int64_t burst_ns);
// Gives units of a lease back: tat -= g and returned += g, where g = min(units × interval_ns, mark_ns - returned -
// now), at least 0. What would have come back by itself since the lease must not come back twice: without that bound,
// units that were leased, idled away and returned would add a second burst.
Result<void> return_rate(Session& session, const std::string& limit, std::int64_t units, std::int64_t interval_ns,
                         std::int64_t mark_ns);

// A quota that gateways share: units of one period, out of `most`. Units are handed out in slices that belong to a
// gateway until it reports them used or returns them; slices of a gateway that died count as used.
Result<std::int64_t> lease_quota(Session& session, const std::string& quota, std::int64_t period, std::int64_t wanted,
                                 std::int64_t most);
Result<void> return_quota(Session& session, const std::string& quota, std::int64_t period, std::int64_t units);
Result<std::int64_t> leased_quota(Session& session, const std::string& quota, std::int64_t period);

// Requests at once, shared: each gateway holds a number of slots, renewed with its heartbeat. Those of a gateway whose
// heartbeat is older than `dead_after_ms` are free again. Grants up to `wanted` more.
Result<std::int64_t> lease_slots(Session& session, const std::string& limit, const std::string& gateway,
                                 std::int64_t wanted, std::int64_t most, std::int64_t dead_after_ms);
Result<void> return_slots(Session& session, const std::string& limit, const std::string& gateway, std::int64_t slots);
Result<void> beat(Session& session, const std::string& gateway);
// What a gateway holds: less than it believes if others took it for dead (it stood still longer than dead_after_ms). To
// be asked with each heartbeat, in the same transaction.
struct HeldSlots {
  std::string limit;
  std::int64_t slots = 0;
};
Result<std::vector<HeldSlots>> held_slots(Session& session, const std::string& gateway);

// Removes rates, quotas and gateways that nobody touched since (milliseconds since 1970): longer ago than the longest
// period of a quota.
Result<void> forget_shared_limits(Session& session, std::int64_t older_than);

}  // namespace llm::store
