#pragma once

#include <string_view>

// Addresses and references as formats: RFC 3986 and 3987, RFC 2673 section 3.2, RFC 4291 section 2.2.
namespace llm::json::rules {

bool is_ipv4(std::string_view text);
bool is_ipv6(std::string_view text);
bool is_uri(std::string_view text);
bool is_uri_reference(std::string_view text);
bool is_iri(std::string_view text);
bool is_iri_reference(std::string_view text);

}  // namespace llm::json::rules
