#include "access/limits/usage_so_far.h"

#include <algorithm>

#include "access/limits/period.h"
#include "store/usage_tables.h"

namespace llm::access {
namespace {

store::UsageQuery this_month(const Moment& now) {
  return {.from_day = period_of(Period::kDay, period_start_ms(Period::kMonth, now.periods[1])),
          .to_day = now.periods[0]};
}

void add(QuotaAmounts& sums, const store::UsageRow& row, std::int64_t today) {
  const std::int64_t tokens = row.input_tokens + row.output_tokens;
  sums[1] += row.requests;
  sums[3] += tokens;
  if (row.day != today) return;
  sums[0] += row.requests;
  sums[2] += tokens;
}

std::string model_of(const std::string& subject) {
  return subject.substr(subject.find(' ') + 1);
}

}  // namespace

Result<QuotaAmounts> usage_so_far(store::Session& session, Scope scope, const std::string& subject, const Moment& now) {
  QuotaAmounts sums{};
  store::UsageQuery query = this_month(now);
  if (scope == Scope::kKey) query.key = subject;
  if (scope == Scope::kProject) query.project = subject;
  if (scope == Scope::kModel) query.model = model_of(subject);
  if (scope == Scope::kAddress) return sums;  // usage is not booked by address: it starts at nothing
  auto rows = store::usage(session, query);
  if (!rows) return fail(std::move(rows.error()));
  for (const store::UsageRow& row : *rows) add(sums, row, now.periods[0]);
  return sums;
}

UsageSoFar::UsageSoFar(store::Database& database, std::function<std::int64_t()> now_ns)
    : database_(database), now_ns_(std::move(now_ns)), read_at_(now_ns_()) {
  auto rows = database_.read([&](store::Session& session) { return store::usage(session, this_month(read_at_)); });
  if (!rows) return;
  sums_.emplace();
  for (const store::UsageRow& row : *rows) {
    add((*sums_)["key:" + row.key], row, read_at_.periods[0]);
    add((*sums_)["project:" + row.project], row, read_at_.periods[0]);
    add((*sums_)["model:" + row.model], row, read_at_.periods[0]);
  }
}

void UsageSoFar::start(LocalAccount& account) const {
  if (!sums_) return;
  std::string name(to_string(account.scope));
  name += ':';
  name += account.scope == Scope::kModel ? model_of(account.subject) : account.subject;
  const auto found = sums_->find(name);
  account.start_counting(found == sums_->end() ? QuotaAmounts{} : found->second, read_at_);
}

Result<void> UsageSoFar::fetch(std::span<const Want> wants, std::uint64_t /*ticket*/) {
  for (const Want& want : wants) {
    const Moment now(now_ns_());
    auto sums = database_.read([&](store::Session& session) {
      return usage_so_far(session, want.account->scope, want.account->subject, now);
    });
    if (!sums) return fail(std::move(sums.error()));
    const std::lock_guard lock(want.account->mutex);
    static_cast<LocalAccount&>(*want.account).start_counting(*sums, now);
  }
  return {};
}

}  // namespace llm::access
