#pragma once

#include <string>
#include <string_view>

#include "json/json.h"

// The last filter before the audit trail: who records an event leaves secrets out; this is for the day when somebody
// forgets. It knows what our own secrets look like, and what is common.
namespace llm::access {

inline constexpr std::string_view kMasked = "[masked]";

// Replaces what looks like an API key (`llm_…`, `llr_…`, `sk-…`), a JWT (`eyJ….….…`) or the credentials of an
// Authorization header (`Bearer …`, `Basic …`) by "[masked]". Also makes the text storable: what is not UTF-8 becomes
// U+FFFD, NUL a space, and what is beyond `most` bytes is cut.
std::string redact_text(std::string_view text, std::size_t most);

// The same for every text within a document, the names of members included; and the whole value of a member whose name
// says that it is a secret ("password", "api_key", "authorization", …).
json::value redact(const json::value& document);

}  // namespace llm::access
