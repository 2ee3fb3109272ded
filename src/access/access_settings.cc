#include "access/access_settings.h"

namespace llm {

using access::AccessSettings;
using access::AuditSection;
using access::CertificateMapping;
using access::DatabaseSection;
using access::LoginSection;
using access::UsageSection;
using json::field;
using json::Table;

namespace {
constexpr double kSecond = 1000;
constexpr double kHour = 3600 * kSecond;
constexpr double kMiB = 1024.0 * 1024;
}  // namespace

const Table<DatabaseSection>& json::Fields<DatabaseSection>::table() {
  using S = DatabaseSection;
  static const Table<S> table{
      "database",
      {
          field("url", &S::url,
                {.description = "sqlite:/path/of/a/file, or postgresql://user@host/database for several gateways that "
                                "share keys, limits and usage. Empty: SQLite in the user's data directory.",
                 .max_length = 4096}),
          field("password", &S::password,
                {.description = "Password of the PostgreSQL user.", .max_length = 4096, .secret = true}),
          field("connections", &S::connections,
                {.description = "Connections to PostgreSQL.", .minimum = 1, .maximum = 100}),
      }};
  return table;
}

const Table<UsageSection>& json::Fields<UsageSection>::table() {
  using S = UsageSection;
  static const Table<S> table{
      "usage",
      {
          field("durability", &S::durability,
                {.description = "interval: usage is written once a second, so that a crash loses at most that. strict: "
                                "a request ends when its usage is on the disk."}),
      }};
  return table;
}

const Table<AuditSection>& json::Fields<AuditSection>::table() {
  using S = AuditSection;
  static const Table<S> table{
      "audit",
      {
          field("requests", &S::requests,
                {.description = "Every request to a model goes into the audit trail. Off: only what changes something, "
                                "and what was refused."}),
          field("directory", &S::directory,
                {.description = "Where the audit files are. Empty: audit in the user's data directory."}),
          field("rotate_size", &S::rotate_size,
                {.description = "A new audit file begins after so many bytes.",
                 .minimum = kMiB,
                 .maximum = 1024 * 1024 * kMiB}),
          field(
              "retention_days", &S::retention_days,
              {.description = "Audit records older than this are removed. 0: never.", .minimum = 0, .maximum = 36'500}),
      }};
  return table;
}

const Table<LoginSection>& json::Fields<LoginSection>::table() {
  using S = LoginSection;
  static const Table<S> table{
      "login",
      {
          field("failures", &S::failures,
                {.description = "Wrong credentials that one address may show within the window.",
                 .minimum = 1,
                 .maximum = 1e6}),
          field("window", &S::window,
                {.description = "Within which they are counted.", .minimum = kSecond, .maximum = 24 * kHour}),
          field("block", &S::block,
                {.description = "For how long nothing it shows is looked at afterwards.",
                 .minimum = kSecond,
                 .maximum = 24 * kHour}),
      }};
  return table;
}

const Table<CertificateMapping>& json::Fields<CertificateMapping>::table() {
  using S = CertificateMapping;
  static const Table<S> table{
      "certificate",
      {
          field("match", &S::match,
                {.description = "Pattern of the certificate's subject (\"CN=ci-*\") or of one of its alternative names "
                                "(\"spiffe://example/*\"); '*' stands for any characters.",
                 .required = true,
                 .min_length = 1,
                 .max_length = 1024}),
          field("role", &S::role, {.description = "The role of who shows it.", .required = true, .min_length = 1}),
          field("project", &S::project, {.description = "The project that it belongs to.", .min_length = 1}),
      }};
  return table;
}

const Table<AccessSettings>& json::Fields<AccessSettings>::table() {
  using S = AccessSettings;
  static const Table<S> table{
      "access",
      {
          field("local_user", &S::local_user,
                {.description = "Who comes over loopback without a key may everything: auto (as long as the gateway "
                                "listens on loopback alone), on, off. Never through a proxy. The Unix socket is always "
                                "its owner's."}),
          field("secret", &S::secret,
                {.description = "Master secret, 32 bytes as hex or Base64: the same for all gateways that share a "
                                "database. Empty: from secret_file, else the systemd credential llm-mcp-secret, else "
                                "made at first start in the data directory.",
                 .max_length = 4096,
                 .secret = true}),
          field("secret_file", &S::secret_file, {.description = "File that holds the master secret."}),
          field("database", &S::database, {.description = "Where keys, roles, usage and audit are kept."}),
          field("limits", &S::limits, {.description = "Limits of keys, projects, addresses and models."}),
          field("caps", &S::caps,
                {.description = "Caps on what one request may ask for; a role may have its own. 0: no cap."}),
          field("usage", &S::usage, {.description = "How usage is written down."}),
          field("audit", &S::audit, {.description = "The audit trail."}),
          field("login", &S::login, {.description = "Slows down who guesses keys."}),
          field("tokens", &S::tokens, {.description = "The gateway's own access tokens (JWT)."}),
          field("issuers", &S::issuers,
                {.description = "Whose tokens are accepted beside our own, by name: OpenID Connect providers such as "
                                "Keycloak or Entra.",
                 .max_items = 100}),
          field("certificates", &S::certificates,
                {.description = "Who a TLS client certificate is; the first that fits counts.", .max_items = 1000}),
      }};
  return table;
}

}  // namespace llm
