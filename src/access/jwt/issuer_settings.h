#pragma once

#include <map>
#include <string>
#include <vector>

#include "json/fields.h"

namespace llm::access {

// `access.issuers.<name>`: whose tokens beside our own are accepted, and what they mean here. An OpenID Connect
// provider (Keycloak, Entra …), or anybody who publishes a JWK Set.
struct IssuerSettings {
  std::string issuer = {};                 // `iss`, exactly; https unless it is on loopback
  std::vector<std::string> audience = {};  // one of these must be in `aud`; at least one
  std::string discovery_url = {};          // empty: issuer + "/.well-known/openid-configuration"
  std::string jwks_uri = {};               // where the keys are, instead of discovery
  std::vector<std::string> algorithms = {"RS256", "ES256", "EdDSA", "PS256"};  // of signatures that are accepted
  std::vector<std::string> types = {"at+jwt", "JWT"};                          // `typ` headers; "": none at all
  std::string role_claim = "roles";  // path of member names: "realm_access.roles"; a string or a list of them
  std::map<std::string, std::string> roles = {};     // from its values to roles of this gateway
  std::string default_role = {};                     // of a token without a value in `roles`; empty: it is refused
  std::string project_claim = {};                    // path; empty: none
  std::map<std::string, std::string> projects = {};  // from its values to projects
  std::string default_project = {};  // of a token without a value in `projects`; empty: "default" without a
                                     // project_claim, else it is refused
  bool require_scopes = false;       // a token that names no scope of ours may nothing, rather than all of its roles
  std::map<std::string, std::string> required_claims =
      {};  // path -> value (a string, or one in a list): "azp": "my-app"
  json::Duration leeway{30'000};
  json::Duration max_age{24 * 3'600'000};  // since `iat`: older tokens are refused; -1: as old as they like
};

}  // namespace llm::access

template <>
struct llm::json::Fields<llm::access::IssuerSettings> {
  static const Table<access::IssuerSettings>& table();
};
