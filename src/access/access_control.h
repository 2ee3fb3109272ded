#pragma once

#include <functional>
#include <memory>
#include <string>

#include "access/admin.h"
#include "access/audit/audit_log.h"
#include "access/authenticator.h"
#include "access/caps.h"
#include "access/directory.h"
#include "access/jwt/token_issuer.h"
#include "access/limits/limiter.h"
#include "access/limits/usage.h"
#include "async/blocking_pool.h"

namespace llm::access {

// What the front ends and the one door ask. Everything in it is thread-safe and outlives them.
struct AccessControl {
  const Directory& directory;
  const Authenticator& authenticator;
  Limiter& limiter;
  UsageBook& usage;
  AuditLog& audit;
  AccessAdmin& admin;      // blocks: run it on `blocking`
  TokenIssuer& issuer;     // the same
  BlockingPool& blocking;  // the database
  Caps caps;               // of roles that have none of their own
  bool audit_requests = true;
  std::function<std::int64_t()> now_ms;
  LoginThrottle* throttle = nullptr;  // of wrong credentials; null: refresh tokens may be guessed at any pace

  // The caps that hold for this caller.
  const Caps& caps_of(const Principal& principal) const {
    return principal.identity && principal.identity->caps ? *principal.identity->caps : caps;
  }
};

}  // namespace llm::access
