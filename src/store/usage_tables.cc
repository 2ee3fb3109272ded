#include "store/usage_tables.h"

#include <algorithm>
#include <soci/soci.h>
#include <tuple>

#include "store/session.h"

namespace llm::store {
namespace {

using soci::into;
using soci::use;

auto key_of(const UsageRow& row) {
  return std::tie(row.day, row.project, row.key, row.model);
}

// Rows of the same key as one, in the same order everywhere, so that gateways do not wait for each other in a circle.
std::vector<UsageRow> summed(std::vector<UsageRow> rows) {
  std::ranges::sort(rows, {}, key_of);
  std::vector<UsageRow> sums;
  for (UsageRow& row : rows) {
    if (sums.empty() || key_of(sums.back()) != key_of(row)) {
      sums.push_back(std::move(row));
      continue;
    }
    UsageRow& sum = sums.back();
    sum.requests += row.requests;
    sum.failed += row.failed;
    sum.input_tokens += row.input_tokens;
    sum.cached_tokens += row.cached_tokens;
    sum.output_tokens += row.output_tokens;
  }
  return sums;
}

}  // namespace

Result<void> add_usage(Session& session, const std::string& batch, const std::vector<UsageRow>& rows) {
  require_text({&batch});
  const std::int64_t now = clock_ns(session) / 1'000'000;
  soci::statement once = (session.sql.prepare << "INSERT INTO usage_batches (batch, added) VALUES (:batch, :added) "
                                                 "ON CONFLICT DO NOTHING",
                          use(batch), use(now));
  once.execute(true);
  if (once.get_affected_rows() == 0) return {};
  UsageRow row;
  soci::statement add =
      (session.sql.prepare << "INSERT INTO usage_sums AS sums (day, project, api_key, model, requests, failed, "
                              "input_tokens, cached_tokens, output_tokens) VALUES (:day, :project, :api_key, :model, "
                              ":requests, :failed, :input_tokens, :cached_tokens, :output_tokens) "
                              "ON CONFLICT (day, project, api_key, model) DO UPDATE SET "
                              "requests = sums.requests + excluded.requests, failed = sums.failed + excluded.failed, "
                              "input_tokens = sums.input_tokens + excluded.input_tokens, "
                              "cached_tokens = sums.cached_tokens + excluded.cached_tokens, "
                              "output_tokens = sums.output_tokens + excluded.output_tokens",
       use(row.day), use(row.project), use(row.key), use(row.model), use(row.requests), use(row.failed),
       use(row.input_tokens), use(row.cached_tokens), use(row.output_tokens));
  for (UsageRow& sum : summed(rows)) {
    row = std::move(sum);
    require_text({&row.project, &row.key, &row.model});
    add.execute(true);
  }
  return {};
}

Result<void> forget_usage_batches(Session& session, std::int64_t older_than) {
  session.sql << "DELETE FROM usage_batches WHERE added < :added", use(older_than);
  return {};
}

Result<std::vector<UsageRow>> usage(Session& session, const UsageQuery& query) {
  require_text({&query.project, &query.key, &query.model});
  std::string sql =
      "SELECT day, project, api_key, model, requests, failed, input_tokens, cached_tokens, output_tokens FROM "
      "usage_sums "
      "WHERE day >= :from AND day <= :to";
  UsageRow row;
  soci::statement statement(session.sql);
  statement.exchange(use(query.from_day));
  statement.exchange(use(query.to_day));
  const auto only = [&](const char* condition, const std::string& value) {
    if (value.empty()) return;
    sql += condition;
    statement.exchange(use(value));
  };
  only(" AND project = :project", query.project);
  only(" AND api_key = :key", query.key);
  only(" AND model = :model", query.model);
  sql += " ORDER BY day, project, api_key, model";
  statement.exchange(into(row.day));
  statement.exchange(into(row.project));
  statement.exchange(into(row.key));
  statement.exchange(into(row.model));
  statement.exchange(into(row.requests));
  statement.exchange(into(row.failed));
  statement.exchange(into(row.input_tokens));
  statement.exchange(into(row.cached_tokens));
  statement.exchange(into(row.output_tokens));
  statement.alloc();
  statement.prepare(sql);
  statement.define_and_bind();
  statement.execute();
  std::vector<UsageRow> rows;
  while (statement.fetch()) rows.push_back(row);
  return rows;
}

}  // namespace llm::store
