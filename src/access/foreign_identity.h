#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "access/authenticator.h"

// Identities of those who have no key of their own here: made from a token or a certificate.
namespace llm::access {

// The key's identity within what the token may.
std::shared_ptr<const Identity> narrowed_identity(const Identity& key, const VerifiedToken& token);

// Roles and project as the issuer's mapping says. kPermissionDenied if none of the roles exists, or not the project.
Result<std::shared_ptr<const Identity>> foreign_identity(const Directory& directory, const VerifiedToken& token);

// The name of the certificate that fits the mapping: its subject or one of its alternative names.
std::optional<std::string_view> certificate_name(const CertificateMapping& mapping, const Credentials& credentials);
Result<std::shared_ptr<const Identity>> certificate_identity(const Directory& directory,
                                                             const CertificateMapping& mapping, std::string_view name);

}  // namespace llm::access
