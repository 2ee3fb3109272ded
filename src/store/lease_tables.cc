#include <algorithm>
#include <fmt/format.h>
#include <soci/soci.h>

#include "store/session.h"
#include "store/usage_tables.h"

// Limits that gateways share. Each function first locks the row of its limit, so that leases of one limit come one
// after the other, and those of different limits do not wait for each other.
namespace llm::store {
namespace {

using soci::into;
using soci::use;

std::int64_t clock_ms(Session& session) {
  return clock_ns(session) / 1'000'000;
}

// Reads the row of a rate and locks it. False if there is none yet.
bool lock_rate(Session& session, const std::string& limit, std::int64_t& tat, std::int64_t& returned) {
  require_text({&limit});
  session.sql << fmt::format("SELECT tat, returned FROM shared_rates WHERE name = :name{}", session.for_update()),
      use(limit), into(tat), into(returned);
  return session.sql.got_data();
}

bool lock_quota(Session& session, const std::string& quota, std::int64_t period, std::int64_t& leased) {
  require_text({&quota});
  session.sql << fmt::format("SELECT leased FROM shared_quotas WHERE name = :name AND period = :period{}",
                             session.for_update()),
      use(quota), use(period), into(leased);
  return session.sql.got_data();
}

}  // namespace

Result<RateLease> lease_rate(Session& session, const std::string& limit, std::int64_t wanted, std::int64_t interval_ns,
                             std::int64_t burst_ns) {
  if (interval_ns <= 0 || burst_ns < interval_ns) {
    return fail(ErrorCode::kInvalidArgument, "a rate's interval must be positive and its burst at least one interval");
  }
  if (wanted <= 0) return RateLease{};
  std::int64_t tat = 0;
  std::int64_t returned = 0;
  if (!lock_rate(session, limit, tat, returned)) {
    session.sql << "INSERT INTO shared_rates (name, tat, returned) VALUES (:name, 0, 0) ON CONFLICT DO NOTHING",
        use(limit);
    lock_rate(session, limit, tat, returned);
  }
  const std::int64_t now = clock_ns(session);  // once the row is ours: it may have been waited for
  const std::int64_t start = std::max(tat, now);
  const std::int64_t room = burst_ns - (start - now);
  if (room < interval_ns) return RateLease{.wait_ns = interval_ns - room};
  const std::int64_t units = std::min(wanted, room / interval_ns);
  tat = start + units * interval_ns;
  session.sql << "UPDATE shared_rates SET tat = :tat WHERE name = :name", use(tat), use(limit);
  return RateLease{.units = units, .left = (burst_ns - (tat - now)) / interval_ns, .mark_ns = tat + returned};
}

Result<void> return_rate(Session& session, const std::string& limit, std::int64_t units, std::int64_t interval_ns,
                         std::int64_t mark_ns) {
  if (units <= 0 || interval_ns <= 0) return {};
  std::int64_t tat = 0;
  std::int64_t returned = 0;
  if (!lock_rate(session, limit, tat, returned)) return {};
  const std::int64_t most = mark_ns - returned - clock_ns(session);
  const std::int64_t given = units > most / interval_ns ? most : units * interval_ns;
  if (given <= 0) return {};
  session.sql << "UPDATE shared_rates SET tat = tat - :given, returned = returned + :given WHERE name = :name",
      use(given, "given"), use(limit, "name");
  return {};
}

Result<std::int64_t> lease_quota(Session& session, const std::string& quota, std::int64_t period, std::int64_t wanted,
                                 std::int64_t most) {
  if (wanted <= 0) return 0;
  std::int64_t leased = 0;
  const std::int64_t now = clock_ms(session);
  if (!lock_quota(session, quota, period, leased)) {
    session.sql << "INSERT INTO shared_quotas (name, period, leased, touched) VALUES (:name, :period, 0, :now) "
                   "ON CONFLICT DO NOTHING",
        use(quota), use(period), use(now);
    lock_quota(session, quota, period, leased);
  }
  if (leased >= most) return 0;
  const std::int64_t units = std::min(wanted, most - leased);
  session.sql << "UPDATE shared_quotas SET leased = leased + :units, touched = :now WHERE name = :name AND "
                 "period = :period",
      use(units), use(now), use(quota), use(period);
  return units;
}

Result<void> return_quota(Session& session, const std::string& quota, std::int64_t period, std::int64_t units) {
  if (units <= 0) return {};
  std::int64_t leased = 0;
  if (!lock_quota(session, quota, period, leased)) return {};
  leased = std::max<std::int64_t>(0, leased - units);
  session.sql << "UPDATE shared_quotas SET leased = :leased WHERE name = :name AND period = :period", use(leased),
      use(quota), use(period);
  return {};
}

Result<std::int64_t> leased_quota(Session& session, const std::string& quota, std::int64_t period) {
  std::int64_t leased = 0;
  lock_quota(session, quota, period, leased);
  return leased;
}

Result<std::int64_t> lease_slots(Session& session, const std::string& limit, const std::string& gateway,
                                 std::int64_t wanted, std::int64_t most, std::int64_t dead_after_ms) {
  if (wanted <= 0) return 0;
  require_text({&limit, &gateway});
  // Rows are locked in this order everywhere: the gateway's, the limit's, the slots'.
  if (auto alive = beat(session, gateway); !alive) return fail(std::move(alive.error()));
  session.sql << "INSERT INTO slot_limits (name) VALUES (:name) ON CONFLICT DO NOTHING", use(limit);
  session.sql << fmt::format("SELECT name FROM slot_limits WHERE name = :name{}", session.for_update()), use(limit);
  const std::int64_t dead = clock_ms(session) - dead_after_ms;
  session.sql << "DELETE FROM slots WHERE limit_name = :limit AND gateway NOT IN "
                 "(SELECT name FROM gateways WHERE beat >= :dead)",
      use(limit), use(dead);
  std::int64_t held = 0;
  session.sql << "SELECT CAST(coalesce(sum(held), 0) AS bigint) FROM slots WHERE limit_name = :limit", use(limit),
      into(held);
  if (held >= most) return 0;
  const std::int64_t granted = std::min(wanted, most - held);
  session.sql << "INSERT INTO slots AS mine (limit_name, gateway, held) VALUES (:limit, :gateway, :held) "
                 "ON CONFLICT (limit_name, gateway) DO UPDATE SET held = mine.held + excluded.held",
      use(limit), use(gateway), use(granted);
  return granted;
}

Result<void> return_slots(Session& session, const std::string& limit, const std::string& gateway, std::int64_t slots) {
  if (slots <= 0) return {};
  require_text({&limit, &gateway});
  session.sql << "UPDATE slots SET held = held - :slots WHERE limit_name = :limit AND gateway = :gateway", use(slots),
      use(limit), use(gateway);
  session.sql << "DELETE FROM slots WHERE limit_name = :limit AND gateway = :gateway AND held <= 0", use(limit),
      use(gateway);
  return {};
}

Result<std::vector<HeldSlots>> held_slots(Session& session, const std::string& gateway) {
  require_text({&gateway});
  std::vector<HeldSlots> all;
  HeldSlots one;
  soci::statement statement =
      (session.sql.prepare << "SELECT limit_name, held FROM slots WHERE gateway = :gateway ORDER BY limit_name",
       use(gateway), into(one.limit), into(one.slots));
  statement.execute();
  while (statement.fetch()) all.push_back(one);
  return all;
}

Result<void> beat(Session& session, const std::string& gateway) {
  require_text({&gateway});
  const std::int64_t now = clock_ms(session);
  session.sql << "INSERT INTO gateways AS old (name, beat) VALUES (:name, :now) ON CONFLICT (name) DO UPDATE SET "
                 "beat = excluded.beat WHERE old.beat < excluded.beat",
      use(gateway), use(now);
  return {};
}

Result<void> forget_shared_limits(Session& session, std::int64_t older_than) {
  const std::int64_t older_ns = older_than * 1'000'000;
  session.sql << "DELETE FROM shared_rates WHERE tat < :tat", use(older_ns);
  session.sql << "DELETE FROM shared_quotas WHERE touched < :touched", use(older_than);
  session.sql << "DELETE FROM slots WHERE gateway NOT IN (SELECT name FROM gateways WHERE beat >= :beat)",
      use(older_than);
  session.sql << "DELETE FROM gateways WHERE beat < :beat", use(older_than);
  return {};
}

}  // namespace llm::store
