#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace llm {

// RFC 4648 section 4, padded.
std::string base64_encode(std::string_view bytes);
// nullopt for anything that is not exactly what the encoder makes.
std::optional<std::string> base64_decode(std::string_view text);

// RFC 4648 section 5 (URL-safe), without padding.
std::string base64url_encode(std::string_view bytes);
std::optional<std::string> base64url_decode(std::string_view text);

}  // namespace llm
