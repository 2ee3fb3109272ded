#include "access/authenticator.h"

#include <algorithm>
#include <fmt/format.h>

#include "access/credentials.h"
#include "access/foreign_identity.h"
#include "access/rights.h"

namespace llm::access {

// Where a request comes from, taken apart once.
struct Authenticator::Client {
  std::optional<IpAddress> ip;  // none: the Unix socket
  std::int64_t now = 0;

  std::string address() const { return ip ? ip->text() : std::string(); }
};

namespace {

constexpr std::int64_t kNoteUseEvery = 1'000;  // milliseconds

// One text for an unknown, wrong, revoked and expired one: who guesses learns nothing.
std::unexpected<Error> wrong() {
  return fail(ErrorCode::kUnauthenticated,
              "the API key or access token is not valid: it is unknown, wrong, revoked or expired");
}

// What nobody could have shown by guessing does not count against the address: a secret that was right once, a token
// whose time is over. A fleet of clients whose tokens expire together would lock its own address out otherwise.
bool is_a_guess(const Error& error) {
  if (error.code != ErrorCode::kUnauthenticated) return false;
  return std::ranges::none_of(error.details, [](const ErrorDetail& detail) { return detail.name == "expired"; });
}

Error not_a_guess(Error error) {
  return std::move(error).with("expired", 1);
}

bool allowed_from(const KeyEntry& entry, const std::optional<IpAddress>& ip) {
  if (entry.addresses == nullptr) return true;
  if (ip) return std::ranges::any_of(*entry.addresses, [&](const IpNetwork& one) { return one.contains(*ip); });
  // The Unix socket: this machine.
  static const std::optional<IpAddress> kLoopback[] = {parse_ip("127.0.0.1"), parse_ip("::1")};
  return std::ranges::any_of(kLoopback, [&](const auto& loopback) { return allowed_from(entry, loopback); });
}

std::unexpected<Error> wrong_address() {
  return fail(ErrorCode::kPermissionDenied, "this API key may not be used from this address");
}

void note_use(const KeyEntry& entry, std::int64_t now) {
  // Two that come at once write nearly the same: no more than a store is needed.
  if (now - entry.last_used.load(std::memory_order_relaxed) >= kNoteUseEvery) {
    entry.last_used.store(now, std::memory_order_relaxed);
  }
}

bool looks_like_key(std::string_view text) {
  return text.starts_with("llm_");
}

Principal principal_of(std::shared_ptr<const Identity> identity, std::string address) {
  Principal principal;
  principal.id = identity->id;
  principal.identity = std::move(identity);
  principal.address = std::move(address);
  return principal;
}

}  // namespace

Authenticator::Authenticator(AuthenticatorSettings settings, const Directory& directory, TokenVerifier* tokens,
                             LoginThrottle& throttle, std::function<std::int64_t()> now_ms)
    : settings_(std::move(settings)),
      directory_(directory),
      tokens_(tokens),
      throttle_(throttle),
      now_ms_(std::move(now_ms)) {}

Result<Authenticator::Client> Authenticator::client_of(const Credentials& credentials) const {
  Client client{credentials.unix_socket ? std::nullopt : parse_peer(credentials.address), now_ms_()};
  if (!client.ip && !credentials.unix_socket) {
    return fail(ErrorCode::kInternal, "the address of the client cannot be read");
  }
  return client;
}

std::optional<Result<Principal>> Authenticator::local_user(const Credentials& credentials, const Client& client) const {
  Principal local;
  if (credentials.unix_socket) return local;
  const bool on = settings_.local_user == LocalUser::kOn ||
                  (settings_.local_user == LocalUser::kAuto && !settings_.listens_beyond_loopback);
  if (!on || credentials.forwarded || !client.ip->is_loopback()) return std::nullopt;
  local.address = client.address();
  return local;
}

Result<Principal> Authenticator::with_key(std::string_view text, const Client& client) const {
  const auto shown = parse_api_key(text);
  if (!shown) return wrong();
  // The same work for an unknown id: its hash is compared with one that nothing has.
  static const KeyHash kNoHash{};
  const auto entry = directory_.key(shown->id);
  const KeyHash hash = hash_api_key(*shown);
  const bool current = same_hash(hash, entry ? entry->hash : kNoHash);
  const bool former = same_hash(hash, entry && entry->old ? entry->old->hash : kNoHash);
  if (!entry || !(current || former)) return wrong();
  if (!entry->usable(client.now) || (!current && client.now >= entry->old->until)) {
    return fail(not_a_guess(wrong().error()));
  }
  if (!allowed_from(*entry, client.ip)) return wrong_address();
  note_use(*entry, client.now);
  return principal_of(identity_of(entry), client.address());
}

Result<Principal> Authenticator::with_own_token(const VerifiedToken& token, const Client& client) const {
  const std::int64_t revision = directory_.revision();
  const auto entry = directory_.key(token.key_id);
  if (!entry || !entry->usable(client.now)) return fail(not_a_guess(wrong().error()));
  if (!allowed_from(*entry, client.ip)) return wrong_address();
  note_use(*entry, client.now);
  auto identity = token.identity.get(revision);
  if (!identity) {
    identity = narrowed_identity(entry->identity, token);
    token.identity.put(identity, revision);
  }
  return principal_of(std::move(identity), client.address());
}

Result<Principal> Authenticator::with_foreign_token(const VerifiedToken& token, const Client& client) const {
  const std::int64_t revision = directory_.revision();
  auto identity = token.identity.get(revision);
  if (!identity) {
    auto made = foreign_identity(directory_, token);
    if (!made) return fail(std::move(made.error()));
    identity = std::move(*made);
    token.identity.put(identity, revision);
  }
  return principal_of(std::move(identity), client.address());
}

Result<Principal> Authenticator::with_token(const VerifiedToken& token, const Client& client) const {
  return token.kind == VerifiedToken::Kind::kOwn ? with_own_token(token, client) : with_foreign_token(token, client);
}

std::optional<Result<Principal>> Authenticator::certificate(const Credentials& credentials,
                                                            const Client& client) const {
  if (credentials.certificate_subject.empty() && credentials.certificate_names.empty()) return std::nullopt;
  for (const CertificateMapping& mapping : settings_.certificates) {
    const auto name = certificate_name(mapping, credentials);
    if (!name) continue;
    auto identity = certificate_identity(directory_, mapping, *name);
    if (!identity) return fail(std::move(identity.error()));
    return principal_of(std::move(*identity), client.address());
  }
  return std::nullopt;
}

// Counts what failed.
Result<Principal> Authenticator::finish(Result<Principal> principal, const Client& client) const {
  if (principal) return principal;
  if (client.ip && is_a_guess(principal.error())) throttle_.failed(*client.ip, client.now);
  std::erase_if(principal.error().details, [](const ErrorDetail& detail) { return detail.name == "expired"; });
  return principal;
}

std::optional<Result<Principal>> Authenticator::try_authenticate(const Credentials& credentials) const {
  const auto shown = shown_bearer(credentials);
  if (!shown) return fail(shown.error());
  const auto client = client_of(credentials);
  if (!client) return fail(client.error());
  if (!*shown) {
    if (auto principal = certificate(credentials, *client)) return principal;
    if (auto principal = local_user(credentials, *client)) return principal;
    return fail(
        ErrorCode::kUnauthenticated,
        "an API key or access token is needed: \"Authorization: Bearer <key>\"; `llm-mcp keys create` makes one");
  }
  if (client->ip) {
    if (auto allowed = throttle_.check(*client->ip, client->now); !allowed) return fail(std::move(allowed.error()));
  }
  const std::string_view text = **shown;
  if (looks_like_key(text)) return finish(with_key(text, *client), *client);
  if (tokens_ == nullptr || !TokenVerifier::looks_like_token(text)) {
    // SDKs insist on a key, so people who need none give "none" or "local". It proves nothing, and need not.
    if (auto principal = local_user(credentials, *client)) return principal;
    return finish(wrong(), *client);
  }
  auto token = tokens_->try_verify(text, client->now);
  if (!token) return std::nullopt;
  if (!*token) return finish(fail(std::move(token->error())), *client);
  return finish(with_token(***token, *client), *client);
}

Task<Result<Principal>> Authenticator::authenticate(const Credentials& credentials, Loop& loop,
                                                    CancelToken cancel) const {
  if (auto known = try_authenticate(credentials)) co_return std::move(*known);
  // Only a token of an issuer whose keys are not here comes so far. The views in `credentials` live as long as the
  // caller waits for this.
  const auto client = client_of(credentials);
  if (!client) co_return fail(client.error());
  const auto shown = shown_bearer(credentials);
  auto token = co_await tokens_->verify(std::string(shown.value().value()), loop, std::move(cancel));
  if (!token) co_return finish(fail(std::move(token.error())), *client);
  co_return finish(with_token(**token, *client), *client);
}

bool Authenticator::still_valid(const Principal& principal) const {
  if (principal.local()) return true;
  const Identity& had = *principal.identity;
  const std::int64_t now = now_ms_();
  if (had.kind == Identity::Kind::kToken && had.token && (!tokens_ || !tokens_->still_valid(*had.token, now))) {
    return false;
  }
  std::shared_ptr<const Identity> has;
  if (!had.key_id.empty()) {
    const auto entry = directory_.key(had.key_id);
    if (!entry || !entry->usable(now) || !allowed_from(*entry, parse_peer(principal.address))) return false;
    has = identity_of(entry);
    if (has == principal.identity) return true;
    if (had.kind == Identity::Kind::kToken && had.token) has = narrowed_identity(*has, *had.token);
  } else if (had.kind == Identity::Kind::kToken && had.token) {
    auto made = foreign_identity(directory_, *had.token);
    if (!made) return false;
    has = std::move(*made);
  } else {
    const auto mapping = std::ranges::find_if(settings_.certificates, [&](const CertificateMapping& one) {
      return one.role == had.role && one.project == had.project->id && pattern_matches(one.match, had.name);
    });
    if (mapping == settings_.certificates.end()) return false;
    auto made = certificate_identity(directory_, *mapping, had.name);
    if (!made) return false;
    has = std::move(*made);
  }
  return has->project->id == had.project->id && rights_within(rights_of(had), rights_of(*has));
}

}  // namespace llm::access
