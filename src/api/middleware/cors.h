#pragma once

#include "api/call.h"

namespace llm::api {

// Cross-origin requests of browsers (the Fetch standard, "CORS protocol"). Off unless server.allowed_origins lists the
// page's origin: without these fields a page may not read the answers, and may not even send what is not a plain form.
// Never for every origin, never with cookies or other credentials that a browser sends by itself.

// Fields for the answer to whatever follows. After the host policy allowed the request.
void add_cors_fields(Call& call);

// Does a browser ask whether it may send a request (OPTIONS with Access-Control-Request-Method), for a listed origin?
bool is_preflight(const Call& call);
// Answers it. `allow`: the methods at this path, as in Allow. Preflights carry no credentials, so nothing is checked.
Task<Result<void>> answer_preflight(Call& call, std::string_view allow);

}  // namespace llm::api
