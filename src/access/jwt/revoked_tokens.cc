#include "access/jwt/revoked_tokens.h"

#include <algorithm>
#include <mutex>

#include "store/token_tables.h"

namespace llm::access {
namespace {

// Rows are read again for so long: the clock of the gateway that wrote one may be behind ours, and its transaction may
// have begun before our last look and ended after it.
constexpr std::int64_t kOverlapMs = 5 * 60'000;
constexpr std::int64_t kForgetEveryMs = 60'000;
constexpr std::int64_t kForgetAfterMs = 60'000;  // past the expiry, for tokens that are accepted within a leeway

}  // namespace

std::string RevokedTokens::session_entry(std::string_view session) {
  return "sid:" + std::string(session);
}

bool RevokedTokens::contains(std::string_view jti, std::string_view session) const {
  const std::string entry = session_entry(session);
  const std::shared_lock lock(mutex_);
  return entries_.contains(jti) || entries_.contains(entry);
}

void RevokedTokens::add(const std::string& entry, std::int64_t expires) {
  const std::unique_lock lock(mutex_);
  if (entries_.emplace(entry, expires).second) count_.fetch_add(1, std::memory_order_release);
}

Result<void> RevokedTokens::refresh(store::Database& database, std::int64_t now_ms) {
  const std::int64_t since = std::max<std::int64_t>(0, read_until_ - kOverlapMs);
  const auto rows = database.read([&](store::Session& session) { return store::revoked_tokens(session, since); });
  if (!rows) return fail(rows.error());
  for (const auto& row : *rows) {
    if (row.expires + kForgetAfterMs > now_ms) add(row.jti, row.expires);
  }
  read_until_ = now_ms;
  if (now_ms - forgot_at_ >= kForgetEveryMs) {
    const std::unique_lock lock(mutex_);
    std::erase_if(entries_, [&](const auto& one) { return one.second + kForgetAfterMs <= now_ms; });
    forgot_at_ = now_ms;
  }
  return {};
}

}  // namespace llm::access
