#include "access/jwt/token_verifier.h"

#include <algorithm>
#include <set>
#include <utility>

#include "access/identity.h"
#include "access/jwt/claims.h"
#include "access/jwt/foreign_issuer.h"
#include "access/jwt/token_cache.h"
#include "access/jwt/token_issuer.h"
#include "observe/log.h"

namespace llm::access {
namespace {

constexpr int kMostRounds = 3;  // of fetching for one token: missing or stale keys, then an unknown one

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kUnauthenticated, std::move(message));
}

}  // namespace

std::shared_ptr<const Identity> IdentitySlot::get(std::int64_t revision) const {
  const std::scoped_lock lock(mutex_);
  return revision_ == revision ? identity_ : nullptr;
}

void IdentitySlot::put(std::shared_ptr<const Identity> identity, std::int64_t revision) const {
  const std::scoped_lock lock(mutex_);
  identity_ = std::move(identity);
  revision_ = revision;
}

TokenVerifier::TokenVerifier(VerifierSettings settings, const TokenIssuer* own, observe::Log& log,
                             std::function<std::int64_t()> now_ms)
    : settings_(std::move(settings)),
      own_(own),
      now_ms_(std::move(now_ms)),
      cache_(std::make_unique<TokenCache>(settings_.cached_tokens)) {
  for (const auto& [name, issuer] : settings_.issuers) {
    foreign_.push_back(std::make_unique<ForeignIssuer>(name, issuer, log));
  }
}

TokenVerifier::~TokenVerifier() = default;

Result<void> TokenVerifier::check(const std::map<std::string, IssuerSettings>& issuers) {
  std::set<std::string_view> seen;
  for (const auto& [name, settings] : issuers) {
    const std::string pointer = json::pointer_join("/access/issuers", name);
    auto sound = ForeignIssuer::check(settings);
    if (!sound) {
      sound.error().pointer = pointer + sound.error().pointer;
      return sound;
    }
    // The name is part of the ids of its principals: "token:<name>:<subject>".
    const auto is_plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; };
    if (name.empty() || name.size() > 64 || !std::ranges::all_of(name, is_plain)) {
      return fail(ErrorCode::kInvalidArgument, "an issuer's name has letters, digits, '-', '_' and '.'", pointer);
    }
    if (!seen.insert(settings.issuer).second) {
      return fail(ErrorCode::kInvalidArgument, "two issuers with the same `issuer`", pointer + "/issuer");
    }
  }
  return {};
}

void TokenVerifier::add_loop(Loop& loop, net::HttpClient& client) {
  clients_.emplace_back(&loop, &client);
}

net::HttpClient* TokenVerifier::client_of(Loop& loop) const {
  const auto found = std::ranges::find(clients_, &loop, &std::pair<Loop*, net::HttpClient*>::first);
  return found == clients_.end() ? nullptr : found->second;
}

bool TokenVerifier::looks_like_token(std::string_view bearer) {
  return std::ranges::count(bearer, '.') == 2;
}

ForeignIssuer* TokenVerifier::issuer_of(const UnverifiedToken& token) const {
  const auto issuer = json::string_or(token.claims, "iss");
  const auto found =
      std::ranges::find_if(foreign_, [&](const auto& one) { return !issuer.empty() && one->issuer() == issuer; });
  return found == foreign_.end() ? nullptr : found->get();
}

TokenResult TokenVerifier::accept(const TokenDigest& digest, Result<VerifiedToken> verified) {
  if (!verified) return fail(std::move(verified.error()));
  // Counted before it is known whether this one is among them, so a revocation meanwhile is seen at the next hit.
  const auto revocations = own_ ? own_->revocations() : 0;
  auto out = std::make_shared<const VerifiedToken>(std::move(*verified));
  if (out->kind == VerifiedToken::Kind::kOwn && own_->revoked(*out)) return fail(TokenIssuer::revoked_token());
  cache_->put(digest, out, revocations);
  return out;
}

std::optional<TokenResult> TokenVerifier::try_verify(std::string_view token, std::int64_t now_ms) {
  if (token.size() > settings_.max_token_bytes) return refuse("the token is too long");
  const auto digest = TokenCache::digest_of(token);
  if (auto hit = cache_->find(digest, now_ms); hit.token) {
    if (hit.token->kind == VerifiedToken::Kind::kForeign) return std::move(hit.token);
    const auto revocations = own_->revocations();
    if (hit.revocations == revocations) return std::move(hit.token);
    if (own_->revoked(*hit.token)) {
      cache_->erase(digest);
      return fail(TokenIssuer::revoked_token());
    }
    cache_->mark_checked(digest, revocations);
    return std::move(hit.token);
  }
  const auto parts = take_apart(token, settings_.max_token_bytes);
  if (!parts) return fail(parts.error());
  if (own_ && own_->is_ours(*parts)) return accept(digest, own_->verify(*parts, now_ms));
  const auto* issuer = issuer_of(*parts);
  if (!issuer) return refuse("the token is of an issuer (`iss`) that is not accepted here");
  auto outcome = issuer->verify(*parts, now_ms);
  if (outcome.fetch != FetchReason::kNone) return std::nullopt;
  return accept(digest, std::move(outcome.token));
}

Task<TokenResult> TokenVerifier::verify(std::string token, Loop& loop, CancelToken cancel) {
  for (int round = 0; round < kMostRounds; ++round) {
    if (auto done = try_verify(token, now_ms_())) co_return std::move(*done);
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
    auto* client = client_of(loop);
    if (!client) break;
    // It was well-formed and of a known issuer a moment ago: else there was nothing to fetch.
    const auto parts = take_apart(token, settings_.max_token_bytes);
    auto* issuer = parts ? issuer_of(*parts) : nullptr;
    if (!issuer) break;
    const auto reason = issuer->verify(*parts, now_ms_()).fetch;
    if (reason != FetchReason::kNone) co_await issuer->keys().refresh(reason, now_ms_, loop, *client, cancel);
  }
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
  co_return fail(
      Error{ErrorCode::kUnavailable, "the keys of the token's issuer cannot be had at the moment", {}, {}, 5});
}

bool TokenVerifier::still_valid(const VerifiedToken& token, std::int64_t now_ms) const {
  if (token.usable_until <= now_ms) return false;
  return token.kind == VerifiedToken::Kind::kForeign || (own_ && !own_->revoked(token));
}

std::size_t TokenVerifier::cached() const {
  return cache_->size();
}

}  // namespace llm::access
