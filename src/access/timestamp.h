#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llm::access {

// Milliseconds since 1970 as ISO 8601 in UTC: "2026-01-31T12:00:00Z", with milliseconds where there are any.
std::string format_time(std::int64_t ms);

// RFC 3339 ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00.250+01:00") or a date, which is its first moment in UTC.
// nullopt for anything else and for years before 1970.
std::optional<std::int64_t> parse_time(std::string_view text);

// A time, or how long from now ("90d", "12h"): what people write for an expiry. nullopt if it is neither.
std::optional<std::int64_t> parse_expiry(std::string_view text, std::int64_t now_ms);

}  // namespace llm::access
