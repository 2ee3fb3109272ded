#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/directory.h"
#include "access/jwt/token_verifier.h"
#include "access/login_throttle.h"
#include "access/principal.h"
#include "async/cancel.h"
#include "async/loop.h"

namespace llm::access {

// What a client shows. Views live for the call.
struct Credentials {
  std::optional<std::string_view> authorization;  // the Authorization field
  std::optional<std::string_view> api_key;        // x-api-key (Anthropic), api-key (Azure)
  std::optional<std::string_view> subprotocols;   // Sec-WebSocket-Protocol: browsers cannot set other fields there
  std::string_view address;                       // "127.0.0.1:52100"
  bool unix_socket = false;                       // of a user whom the kernel named and who may use it
  bool forwarded = false;                         // came through a proxy (Forwarded, X-Forwarded-For, Via)
  std::string_view certificate_subject = {};      // of a verified TLS client certificate; empty: none
  std::vector<std::string_view> certificate_names = {};  // its DNS names, URIs and addresses
};

// `access.certificates`: who a client certificate is.
struct CertificateMapping {
  std::string match;  // a pattern of the subject ("CN=ci-*") or of an alternative name ("spiffe://…/*")
  std::string role;
  std::string project = "default";
};

enum class LocalUser { kAuto, kOn, kOff };

struct AuthenticatorSettings {
  // Is who comes over loopback without credentials the local user? kAuto: while the gateway listens on loopback alone.
  // Never for what came through a proxy. The Unix socket is always the local user's.
  LocalUser local_user = LocalUser::kAuto;
  bool listens_beyond_loopback = false;
  std::vector<CertificateMapping> certificates = {};
};

// Turns credentials into a principal. Any thread; a known key or a cached token costs no more than a hash and a lookup.
// What looks like a key or token of ours is always checked: a wrong one on loopback is an error, not the local user.
// Any other text (SDKs insist on sending one) is nothing shown to who is the local user anyway, and an error to all
// others. Errors: kUnauthenticated (the same words for an unknown, wrong, revoked or expired key; nothing of what was
// shown is repeated), kPermissionDenied for a key used from an address that it does not allow, kRateLimited after too
// many failures from one address.
class Authenticator {
 public:
  Authenticator(AuthenticatorSettings settings, const Directory& directory, TokenVerifier* tokens,
                LoginThrottle& throttle, std::function<std::int64_t()> now_ms);

  // nullopt: only authenticate() can tell, as keys of an issuer must be fetched.
  std::optional<Result<Principal>> try_authenticate(const Credentials& credentials) const;
  Task<Result<Principal>> authenticate(const Credentials& credentials, Loop& loop, CancelToken cancel) const;

  // May this principal still do what it could? For streams and sockets that live long.
  bool still_valid(const Principal& principal) const;

 private:
  struct Client;
  std::optional<Result<Principal>> local_user(const Credentials& credentials, const Client& client) const;
  Result<Principal> with_key(std::string_view text, const Client& client) const;
  std::optional<Result<Principal>> certificate(const Credentials& credentials, const Client& client) const;
  Result<Principal> with_token(const VerifiedToken& token, const Client& client) const;
  Result<Principal> with_own_token(const VerifiedToken& token, const Client& client) const;
  Result<Principal> with_foreign_token(const VerifiedToken& token, const Client& client) const;
  Result<Principal> finish(Result<Principal> principal, const Client& client) const;
  Result<Client> client_of(const Credentials& credentials) const;

  AuthenticatorSettings settings_;
  const Directory& directory_;
  TokenVerifier* tokens_;  // null: API keys only
  LoginThrottle& throttle_;
  std::function<std::int64_t()> now_ms_;
};

}  // namespace llm::access
