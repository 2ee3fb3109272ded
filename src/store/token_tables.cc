#include "store/token_tables.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include "store/session.h"

namespace llm::store {
namespace {

using soci::into;
using soci::use;

// All that is done to one family of refresh tokens is done one after the other: a token that is inserted while its
// family is being revoked would escape.
void lock_family(Session& session, const std::string& family) {
  lock_name(session, "refresh", family);
}

}  // namespace

Result<std::vector<SigningKeyRow>> signing_keys(Session& session) {
  std::vector<SigningKeyRow> rows;
  SigningKeyRow row;
  soci::statement statement =
      (session.sql.prepare << "SELECT id, algorithm, public_jwk, private_key, created, signs_until, verifies_until "
                              "FROM signing_keys ORDER BY created, id",
       into(row.id), into(row.algorithm), into(row.public_jwk), into(row.private_key), into(row.created),
       into(row.signs_until), into(row.verifies_until));
  statement.execute();
  while (statement.fetch()) {
    rows.push_back(row);
    rows.back().private_key = from_hex(row.private_key);
  }
  return rows;
}

Result<void> insert_signing_key(Session& session, const SigningKeyRow& row, std::int64_t unless_signs_until) {
  require_text({&row.id, &row.algorithm, &row.public_jwk});
  lock_name(session, "signing_keys", "");
  std::int64_t later = 0;
  session.sql << "SELECT count(*) FROM signing_keys WHERE signs_until > :until", use(unless_signs_until), into(later);
  if (later > 0) return fail(ErrorCode::kAlreadyExists, "another gateway made a signing key; read them again");
  const std::string private_key = to_hex(row.private_key);
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO signing_keys (id, algorithm, public_jwk, private_key, created, signs_until, "
                              "verifies_until) VALUES (:id, :algorithm, :public_jwk, :private_key, :created, "
                              ":signs_until, :verifies_until) ON CONFLICT DO NOTHING",
       use(row.id), use(row.algorithm), use(row.public_jwk), use(private_key), use(row.created), use(row.signs_until),
       use(row.verifies_until));
  statement.execute(true);
  if (statement.get_affected_rows() == 0) {
    return fail(ErrorCode::kAlreadyExists, fmt::format("there is a signing key '{}' already", row.id));
  }
  return {};
}

Result<void> remove_signing_keys(Session& session, std::int64_t verified_before) {
  session.sql << "DELETE FROM signing_keys WHERE verifies_until < :before", use(verified_before);
  return {};
}

Result<void> insert_refresh_token(Session& session, const RefreshTokenRow& row) {
  require_text({&row.id, &row.family, &row.key, &row.scopes});
  lock_family(session, row.family);
  std::int64_t revoked = 0;
  session.sql << "SELECT count(*) FROM refresh_tokens WHERE family = :family AND revoked <> 0", use(row.family),
      into(revoked);
  if (revoked > 0) return fail(ErrorCode::kConflict, "this sign-in was revoked");
  const std::string hash = to_hex(row.hash);
  soci::statement statement =
      (session.sql.prepare << "INSERT INTO refresh_tokens (id, family, hash, api_key, scopes, created, expires, used, "
                              "revoked) VALUES (:id, :family, :hash, :api_key, :scopes, :created, :expires, :used, "
                              ":revoked) ON CONFLICT DO NOTHING",
       use(row.id), use(row.family), use(hash), use(row.key), use(row.scopes), use(row.created), use(row.expires),
       use(row.used), use(row.revoked));
  statement.execute(true);
  if (statement.get_affected_rows() == 0)
    return fail(ErrorCode::kAlreadyExists, "there is such a refresh token already");
  return {};
}

Result<std::optional<RefreshTokenRow>> find_refresh_token(Session& session, const std::string& id) {
  if (!storable(id)) return std::nullopt;
  RefreshTokenRow row;
  session.sql << "SELECT id, family, hash, api_key, scopes, created, expires, used, revoked FROM refresh_tokens "
                 "WHERE id = :id",
      into(row.id), into(row.family), into(row.hash), into(row.key), into(row.scopes), into(row.created),
      into(row.expires), into(row.used), into(row.revoked), use(id);
  if (!session.sql.got_data()) return std::nullopt;
  row.hash = from_hex(row.hash);
  return row;
}

Result<bool> use_refresh_token(Session& session, const std::string& id, std::int64_t now) {
  auto row = find_refresh_token(session, id);
  if (!row) return fail(std::move(row.error()));
  if (!*row) return false;
  lock_family(session, (*row)->family);
  soci::statement statement = (session.sql.prepare << "UPDATE refresh_tokens SET used = :now WHERE id = :id AND "
                                                      "used = 0 AND revoked = 0",
                               use(now), use(id));
  statement.execute(true);
  return statement.get_affected_rows() > 0;
}

Result<void> revoke_refresh_family(Session& session, const std::string& family, std::int64_t now) {
  require_text({&family});
  lock_family(session, family);
  session.sql << "UPDATE refresh_tokens SET revoked = :now WHERE family = :family AND revoked = 0", use(now),
      use(family);
  return {};
}

Result<void> remove_refresh_tokens(Session& session, std::int64_t expired_before) {
  session.sql << "DELETE FROM refresh_tokens WHERE expires < :before", use(expired_before);
  return {};
}

Result<void> insert_revoked_token(Session& session, const RevokedTokenRow& row) {
  require_text({&row.jti});
  session.sql << "INSERT INTO revoked_tokens (jti, expires, revoked) VALUES (:jti, :expires, :revoked) "
                 "ON CONFLICT DO NOTHING",
      use(row.jti), use(row.expires), use(row.revoked);
  return {};
}

Result<std::vector<RevokedTokenRow>> revoked_tokens(Session& session, std::int64_t revoked_since) {
  std::vector<RevokedTokenRow> rows;
  RevokedTokenRow row;
  soci::statement statement =
      (session.sql.prepare << "SELECT jti, expires, revoked FROM revoked_tokens WHERE revoked >= :since "
                              "ORDER BY revoked, jti",
       into(row.jti), into(row.expires), into(row.revoked), use(revoked_since));
  statement.execute();
  while (statement.fetch()) rows.push_back(row);
  return rows;
}

Result<void> remove_revoked_tokens(Session& session, std::int64_t expired_before) {
  session.sql << "DELETE FROM revoked_tokens WHERE expires < :before", use(expired_before);
  return {};
}

}  // namespace llm::store
