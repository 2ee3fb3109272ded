#pragma once

#include <optional>

#include "api/route_table.h"

namespace llm::api {

// Who asks, and may they do this? Decided on the row of the route table that will serve the request, never on a path of
// its own. Sets call.principal. Errors: kUnauthenticated with a challenge (WWW-Authenticate, RFC 6750 section 3),
// kPermissionDenied with the permission that is missing, kRateLimited after too many wrong credentials, kUnavailable
// while the keys of a token's issuer cannot be had. Wrong credentials and missing permissions go into the audit trail,
// without what was shown.
//
// nullopt: it takes asking somebody else first; authenticate() does. Nearly all requests are decided here.
std::optional<Result<void>> try_authenticate(Call& call, const Route& route);
Task<Result<void>> authenticate(Call& call, const Route& route);

// Who asks for what everybody may have: nobody in particular, who may do nothing else.
access::Principal anonymous();

// For routes that take credentials in the body: an event of the audit trail with what is known of the request.
access::AuditEvent audit_event(const Call& call, std::string_view action, const Result<void>& outcome);

}  // namespace llm::api
