#include "access/jwt/issuer_settings.h"

#include "access/jwt/token_issuer.h"

// How both kinds of issuer are read from the configuration.
namespace llm::json {

using access::IssuerSettings;
using access::TokenSettings;

const Table<IssuerSettings>& Fields<IssuerSettings>::table() {
  using S = IssuerSettings;
  static const Table<S> t{
      "issuer",
      {
          field("issuer", &S::issuer,
                {.description = "Value of `iss`, exactly as the issuer writes it; https, unless it is on loopback.",
                 .required = true,
                 .min_length = 1,
                 .max_length = 512}),
          field("audience", &S::audience,
                {.description = "Audiences that mean this gateway: one of them must be in a token's `aud`.",
                 .required = true,
                 .min_length = 1,
                 .min_items = 1}),
          field(
              "discovery_url", &S::discovery_url,
              {.description = "OpenID Connect discovery document. Empty: <issuer>/.well-known/openid-configuration."}),
          field("jwks_uri", &S::jwks_uri, {.description = "JWK Set with the issuer's keys, instead of discovery."}),
          field("algorithms", &S::algorithms,
                {.description = "Signature algorithms that are accepted, of EdDSA, ES256, ES384, ES512, RS256, RS384, "
                                "RS512, PS256, PS384, PS512.",
                 .min_items = 1}),
          field("types", &S::types,
                {.description = "Values of the `typ` header that are accepted; \"\" stands for none at all.",
                 .min_items = 1}),
          field("role_claim", &S::role_claim,
                {.description = "Claim that tells the role, a string or a list: \"roles\", \"realm_access.roles\"."}),
          field("roles", &S::roles, {.description = "From values of role_claim to roles of this gateway."}),
          field("default_role", &S::default_role,
                {.description = "Role of tokens without a value in roles. Empty: they are refused."}),
          field("project_claim", &S::project_claim, {.description = "Claim that tells the project. Empty: none."}),
          field("projects", &S::projects, {.description = "From values of project_claim to projects."}),
          field("default_project", &S::default_project,
                {.description = "Project of tokens without a value in projects. Empty: \"default\" if there is no "
                                "project_claim, else they are refused."}),
          field("require_scopes", &S::require_scopes,
                {.description = "May a token that names no scope of this gateway do nothing, rather than all that its "
                                "role allows?"}),
          field("required_claims", &S::required_claims,
                {.description = "Claims that must have a value, or a list with it: {azp: my-app}."}),
          field("leeway", &S::leeway,
                {.description = "By how much clocks may differ.", .minimum = 0, .maximum = 300'000}),
          field("max_age", &S::max_age,
                {.description = "Oldest accepted token, from its `iat`. -1: any.", .minimum = -1}),
      }};
  return t;
}

const Table<TokenSettings>& Fields<TokenSettings>::table() {
  using S = TokenSettings;
  constexpr double kSecond = 1000;
  constexpr double kHour = 3600 * kSecond;
  constexpr double kYear = 366 * 24 * kHour;
  static const Table<S> t{
      "tokens",
      {
          field(
              "issuer", &S::issuer,
              {.description = "Value of `iss` in the gateway's own tokens; the same for all gateways on one database.",
               .min_length = 1,
               .max_length = 512}),
          field("audience", &S::audience,
                {.description = "Value of `aud` in the gateway's own tokens. Empty: the issuer.", .max_length = 512}),
          field("algorithm", &S::algorithm, {.description = "Signature algorithm of new signing keys."}),
          field("access_lifetime", &S::access_lifetime,
                {.description = "How long an access token is good.", .minimum = kSecond, .maximum = 24 * kHour}),
          field("refresh_lifetime", &S::refresh_lifetime,
                {.description = "How long a refresh token waits to be used.", .minimum = kSecond, .maximum = kYear}),
          field("key_lifetime", &S::key_lifetime,
                {.description = "How long a signing key signs before the next one does.",
                 .minimum = 60 * kSecond,
                 .maximum = kYear}),
          field("publish_ahead", &S::publish_ahead,
                {.description = "How long a signing key is published before it signs.",
                 .minimum = kSecond,
                 .maximum = kYear}),
          field("leeway", &S::leeway,
                {.description = "By how much clocks may differ.", .minimum = 0, .maximum = 60 * kSecond}),
      }};
  return t;
}

}  // namespace llm::json
