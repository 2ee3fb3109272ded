#include "access/jwt/token_issuer.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include "access/jwt/revoked_tokens.h"
#include "access/jwt/signing_keys.h"
#include "access/jwt/token_verifier.h"
#include "base/random.h"
#include "base/strings.h"
#include "store/token_tables.h"

namespace llm::access {
namespace {

constexpr std::string_view kAccessType = "at+jwt";  // RFC 9068, section 2.1
constexpr std::string_view kRefreshPrefix = "llr_";
constexpr std::size_t kRefreshIdDigits = 32;
constexpr std::size_t kRefreshSecretDigits = 64;
constexpr std::size_t kMaxTokenBytes = 16 * 1024;
constexpr std::int64_t kForgetEveryMs = 3'600'000;
constexpr std::int64_t kDayMs = 24LL * 3'600'000;

struct RefreshText {
  std::string_view id;
  std::string_view secret;
};

std::optional<RefreshText> parse_refresh_token(std::string_view text) {
  if (text.size() != kRefreshPrefix.size() + kRefreshIdDigits + 1 + kRefreshSecretDigits) return std::nullopt;
  if (!text.starts_with(kRefreshPrefix)) return std::nullopt;
  text.remove_prefix(kRefreshPrefix.size());
  const RefreshText out{text.substr(0, kRefreshIdDigits), text.substr(kRefreshIdDigits + 1)};
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text[kRefreshIdDigits] != '_' || !std::ranges::all_of(out.id, is_digit) ||
      !std::ranges::all_of(out.secret, is_digit)) {
    return std::nullopt;
  }
  return out;
}

std::string hash_refresh_token(const Key256& key, const RefreshText& token) {
  const auto mac = hmac_sha256(key, fmt::format("{}.{}", token.id, token.secret));
  return {reinterpret_cast<const char*>(mac.data()), mac.size()};
}

std::unexpected<Error> bad_refresh_token() {
  return fail(ErrorCode::kUnauthenticated, "the refresh token is not valid (any more); sign in again with an API key");
}

// What `wanted` names, if `allowed` has all of it.
Result<PermissionSet> narrowed(const PermissionSet& allowed, std::optional<std::string_view> wanted) {
  if (!wanted) return allowed;
  PermissionSet out;
  bool any = false;
  for (const auto name : split(*wanted, ' ')) {
    if (name.empty()) continue;
    const auto permission = permission_by_name(name);
    if (!permission) return fail(ErrorCode::kInvalidArgument, "a scope that does not exist is asked for", "/scope");
    if (!allowed.has(*permission)) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("the key does not have the scope {}", name), "/scope");
    }
    out.add(*permission);
    any = true;
  }
  if (!any)
    return fail(ErrorCode::kInvalidArgument, "the scope names nothing; leave it out for all of the key's", "/scope");
  return out;
}

}  // namespace

json::object to_json(const TokenGrant& grant) {
  return {{"access_token", grant.access_token},
          {"token_type", "Bearer"},
          {"expires_in", grant.expires_in_s},
          {"refresh_token", grant.refresh_token},
          {"scope", grant.scope}};
}

struct TokenIssuer::State {
  store::Database& database;
  std::function<std::int64_t()> now_ms;
  Key256 refresh_hash_key;
  SigningKeys keys;
  RevokedTokens revoked = {};
  std::int64_t forgot_at = 0;

  struct NewRefreshToken {
    std::string text;
    store::RefreshTokenRow row;
  };
  NewRefreshToken make_refresh_token(const TokenSettings& settings, std::string session, std::string key,
                                     std::string scopes) const;
  Result<TokenGrant> grant(const TokenSettings& settings, const Identity& identity, PermissionSet scopes,
                           std::string_view session, std::string refresh_token) const;
  // Ends every token of a sign-in, access tokens included, within the transaction.
  Result<void> end_session(store::Session& session, const std::string& family, std::int64_t now) const;
  std::int64_t session_over(std::int64_t now) const { return now + longest_access_ms; }

  std::int64_t longest_access_ms = kDayMs;
};

TokenIssuer::State::NewRefreshToken TokenIssuer::State::make_refresh_token(const TokenSettings& settings,
                                                                           std::string session, std::string key,
                                                                           std::string scopes) const {
  std::array<unsigned char, kRefreshSecretDigits / 2> secret{};
  random_bytes(secret);
  const std::string id = random_id();
  const std::string digits = hex(secret);
  const auto now = now_ms();
  return {.text = fmt::format("{}{}_{}", kRefreshPrefix, id, digits),
          .row = {.id = id,
                  .family = std::move(session),
                  .hash = hash_refresh_token(refresh_hash_key, {id, digits}),
                  .key = std::move(key),
                  .scopes = std::move(scopes),
                  .created = now,
                  .expires = now + settings.refresh_lifetime.ms}};
}

Result<TokenGrant> TokenIssuer::State::grant(const TokenSettings& settings, const Identity& identity,
                                             PermissionSet scopes, std::string_view session,
                                             std::string refresh_token) const {
  const auto now = now_ms();
  const auto ring = keys.ring();
  const auto* signer = ring->signer(now);
  if (!signer) return fail(ErrorCode::kUnavailable, "there is no signing key at the moment; try again");
  // Never longer than its key verifies: it would die early and without a reason that anybody can see.
  const auto expires = std::min(now + settings.access_lifetime.ms, signer->verifies_until) / 1000;
  const auto issued = now / 1000;
  TokenGrant out;
  out.expires_in_s = expires - issued;
  out.refresh_token = std::move(refresh_token);
  out.scope = scope_text(scopes);
  const json::object claims = {
      {"iss", settings.issuer},
      {"sub", identity.id},
      {"aud", settings.audience.empty() ? settings.issuer : settings.audience},
      {"exp", expires},
      {"iat", issued},
      {"jti", random_id()},
      {"client_id", identity.key_id},
      {"project", identity.project->id},
      {"scope", out.scope},
      {"sid", session},
  };
  auto token = sign_jws(signer->key, kAccessType, json::write(claims));
  if (!token) return fail(std::move(token.error()));
  out.access_token = std::move(*token);
  return out;
}

Result<void> TokenIssuer::State::end_session(store::Session& session, const std::string& family,
                                             std::int64_t now) const {
  if (auto ended = store::revoke_refresh_family(session, family, now); !ended) return ended;
  return store::insert_revoked_token(
      session, {.jti = RevokedTokens::session_entry(family), .expires = session_over(now), .revoked = now});
}

TokenIssuer::TokenIssuer(TokenSettings settings, store::Database& database, const MasterSecret& master,
                         std::function<std::int64_t()> now_ms)
    : settings_(std::move(settings)) {
  const SigningKeySettings keys{
      .algorithm = settings_.algorithm == SigningAlgorithm::kES256 ? JwsAlgorithm::kES256 : JwsAlgorithm::kEdDSA,
      .lifetime_ms = settings_.key_lifetime.ms,
      .publish_ahead_ms = settings_.publish_ahead.ms,
      .overlap_ms = settings_.access_lifetime.ms + settings_.leeway.ms + 60'000,
  };
  state_ = std::unique_ptr<State>(new State{
      .database = database,
      .now_ms = std::move(now_ms),
      .refresh_hash_key = master.derive(KeyPurpose::kRefreshTokenHash),
      .keys = SigningKeys(keys, master.derive(KeyPurpose::kSigningKeyEncryption)),
  });
  // Another gateway may be set to longer lifetimes; a day is the most that the settings take.
  state_->longest_access_ms = std::max(kDayMs, settings_.access_lifetime.ms) + settings_.leeway.ms;
}

TokenIssuer::~TokenIssuer() = default;

Result<void> TokenIssuer::refresh() {
  const auto now = state_->now_ms();
  if (auto read = state_->keys.refresh(state_->database, now); !read) return read;
  if (auto read = state_->revoked.refresh(state_->database, now); !read) return read;
  if (now - state_->forgot_at < kForgetEveryMs) return {};
  auto forgotten = state_->database.write([&](store::Session& session) -> Result<void> {
    if (auto done = store::remove_signing_keys(session, now); !done) return done;
    if (auto done = store::remove_refresh_tokens(session, now); !done) return done;
    return store::remove_revoked_tokens(session, now - kDayMs);
  });
  if (forgotten) state_->forgot_at = now;
  return forgotten;
}

Result<TokenGrant> TokenIssuer::issue(const Identity& identity, std::optional<std::string_view> scope) {
  if (identity.kind != Identity::Kind::kKey || identity.key_id.empty()) {
    return fail(ErrorCode::kPermissionDenied, "only an API key can be traded for tokens");
  }
  const auto scopes = narrowed(identity.permissions(), scope);
  if (!scopes) return fail(scopes.error());
  const std::string session = random_id();
  auto refresh_token =
      state_->make_refresh_token(settings_, session, identity.key_id, scope ? scope_text(*scopes) : std::string());
  auto out = state_->grant(settings_, identity, *scopes, session, std::move(refresh_token.text));
  if (!out) return out;
  const auto stored = state_->database.write(
      [&](store::Session& database) { return store::insert_refresh_token(database, refresh_token.row); });
  if (!stored) return fail(stored.error());
  return out;
}

Result<TokenGrant> TokenIssuer::renew(std::string_view refresh_token, std::optional<std::string_view> scope,
                                      const KeyLookup& lookup) {
  const auto text = parse_refresh_token(refresh_token);
  if (!text) return bad_refresh_token();
  const auto now = state_->now_ms();
  const std::string hash = hash_refresh_token(state_->refresh_hash_key, *text);
  const std::string id(text->id);

  // A reuse has to be committed, so it is no error of the transaction.
  struct Outcome {
    std::string stolen;  // the sign-in whose token was used twice
    std::optional<TokenGrant> granted;
  };
  const auto outcome = state_->database.write([&](store::Session& session) -> Result<Outcome> {
    const auto found = store::find_refresh_token(session, id);
    if (!found) return fail(found.error());
    // Who only knows the id has no token, and must not be able to end a sign-in either.
    if (!*found || !same_secret((*found)->hash, hash)) return bad_refresh_token();
    const auto& row = **found;
    if (row.revoked != 0 || row.expires <= now) return bad_refresh_token();
    if (row.used != 0) {
      if (auto ended = state_->end_session(session, row.family, now); !ended) return fail(std::move(ended.error()));
      return Outcome{row.family, {}};
    }
    const auto identity = lookup(row.key);
    if (!identity) return bad_refresh_token();
    const auto permissions = identity->permissions();
    const auto most = row.scopes.empty() ? permissions : scopes(row.scopes) & permissions;
    const auto wanted = narrowed(most, scope);
    if (!wanted) return fail(wanted.error());
    const auto first = store::use_refresh_token(session, id, now);
    if (!first) return fail(first.error());
    if (!*first) {  // at the same moment, over another gateway
      if (auto ended = state_->end_session(session, row.family, now); !ended) return fail(std::move(ended.error()));
      return Outcome{row.family, {}};
    }
    auto next = state_->make_refresh_token(settings_, row.family, row.key, row.scopes);
    if (auto stored = store::insert_refresh_token(session, next.row); !stored) {
      if (stored.error().code == ErrorCode::kConflict) return bad_refresh_token();  // revoked at this moment
      return fail(std::move(stored.error()));
    }
    auto granted = state_->grant(settings_, *identity, *wanted, row.family, std::move(next.text));
    if (!granted) return fail(std::move(granted.error()));
    return Outcome{{}, std::move(*granted)};
  });
  if (!outcome) return fail(outcome.error());
  if (outcome->granted) return *outcome->granted;
  state_->revoked.add(RevokedTokens::session_entry(outcome->stolen), state_->session_over(now));
  return bad_refresh_token();
}

Result<void> TokenIssuer::revoke(std::string_view token) {
  const auto now = state_->now_ms();
  if (const auto text = parse_refresh_token(token)) {
    const std::string hash = hash_refresh_token(state_->refresh_hash_key, *text);
    const auto ended = state_->database.write([&](store::Session& session) -> Result<std::string> {
      const auto found = store::find_refresh_token(session, std::string(text->id));
      if (!found) return fail(found.error());
      if (!*found || !same_secret((*found)->hash, hash)) return std::string();
      if (auto done = state_->end_session(session, (*found)->family, now); !done) return fail(std::move(done.error()));
      return (*found)->family;
    });
    if (!ended) return fail(ended.error());
    if (!ended->empty()) state_->revoked.add(RevokedTokens::session_entry(*ended), state_->session_over(now));
    return {};
  }
  const auto parts = take_apart(token, kMaxTokenBytes);
  if (!parts || !is_ours(*parts)) return {};
  const auto verified = verify(*parts, now);
  if (!verified) return {};
  const store::RevokedTokenRow row{.jti = verified->jti, .expires = verified->expires, .revoked = now};
  auto stored =
      state_->database.write([&](store::Session& session) { return store::insert_revoked_token(session, row); });
  if (stored) state_->revoked.add(row.jti, row.expires);
  return stored;
}

std::shared_ptr<const std::string> TokenIssuer::jwks() const {
  return state_->keys.ring()->jwks();
}

bool TokenIssuer::is_ours(const UnverifiedToken& token) const {
  return json::string_or(token.claims, "iss") == settings_.issuer;
}

Error TokenIssuer::revoked_token() {
  return Error{ErrorCode::kUnauthenticated, "the token was revoked", {}, {}, 0}.with("expired", 1);
}

Result<VerifiedToken> TokenIssuer::verify(const UnverifiedToken& token, std::int64_t now_ms) const {
  const auto refuse = [](std::string message) { return fail(ErrorCode::kUnauthenticated, std::move(message)); };
  const auto ring = state_->keys.ring();
  const auto* entry = ring->find(token.jws.key_id, now_ms);
  if (!entry) return refuse("the token was not signed with a key of this gateway, or with one that is over");
  const std::array allowed = {JwsAlgorithm::kEdDSA, JwsAlgorithm::kES256};
  if (auto right = verify_jws(token.jws, entry->key, allowed); !right) return fail(std::move(right.error()));
  const ClaimRules rules{.issuer = settings_.issuer,
                         .audience = {settings_.audience.empty() ? settings_.issuer : settings_.audience},
                         .types = {std::string(kAccessType)},
                         .leeway_ms = settings_.leeway.ms,
                         .max_age_ms = -1,
                         .need_jti = true};
  auto registered = check_claims(token, rules, now_ms);
  if (!registered) return fail(std::move(registered.error()));
  VerifiedToken out;
  out.kind = VerifiedToken::Kind::kOwn;
  out.issuer = "own";
  out.subject = std::move(registered->subject);
  out.key_id = json::string_or(token.claims, "client_id");
  out.project = json::string_or(token.claims, "project");
  out.scopes = scopes(json::string_or(token.claims, "scope"));
  out.jti = std::move(registered->jti);
  out.session = json::string_or(token.claims, "sid");
  out.issued = registered->issued;
  out.expires = registered->expires;
  out.usable_until = out.expires + settings_.leeway.ms;
  if (out.key_id.empty() || out.session.empty()) return refuse("the token is not an access token of this gateway");
  if (revoked(out)) return fail(revoked_token());
  return out;
}

bool TokenIssuer::revoked(const VerifiedToken& token) const {
  return state_->revoked.contains(token.jti, token.session);
}

std::uint64_t TokenIssuer::revocations() const {
  return state_->revoked.count();
}

}  // namespace llm::access
