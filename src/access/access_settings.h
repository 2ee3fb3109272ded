#pragma once

#include <map>
#include <string>
#include <vector>

#include "access/authenticator.h"
#include "access/caps.h"
#include "access/jwt/issuer_settings.h"
#include "access/jwt/token_issuer.h"
#include "access/limits/policy.h"
#include "access/limits/usage.h"
#include "json/fields.h"

// The section `access` of the configuration.
namespace llm::access {

struct DatabaseSection {
  std::string url;  // empty: SQLite in the data directory
  std::string password;
  std::uint32_t connections = 4;
};

struct UsageSection {
  UsageDurability durability = UsageDurability::kInterval;
};

struct AuditSection {
  bool requests = true;
  std::string directory;  // empty: audit in the data directory
  json::ByteSize rotate_size{64ULL << 20};
  std::uint32_t retention_days = 0;
};

struct LoginSection {
  std::uint32_t failures = 20;
  json::Duration window{60'000};
  json::Duration block{60'000};
};

struct AccessSettings {
  LocalUser local_user = LocalUser::kAuto;
  std::string secret;  // the master secret; empty: from secret_file, a credential, or made at first start
  std::string secret_file;
  DatabaseSection database;
  LimitDefaults limits;
  Caps caps;
  UsageSection usage;
  AuditSection audit;
  LoginSection login;
  TokenSettings tokens;
  std::map<std::string, IssuerSettings> issuers;
  std::vector<CertificateMapping> certificates;
};

}  // namespace llm::access

template <>
struct llm::json::EnumNames<llm::access::LocalUser> {
  static constexpr std::array<std::pair<access::LocalUser, std::string_view>, 3> values{{
      {access::LocalUser::kAuto, "auto"},
      {access::LocalUser::kOn, "on"},
      {access::LocalUser::kOff, "off"},
  }};
};
template <>
struct llm::json::EnumNames<llm::access::UsageDurability> {
  static constexpr std::array<std::pair<access::UsageDurability, std::string_view>, 2> values{{
      {access::UsageDurability::kInterval, "interval"},
      {access::UsageDurability::kStrict, "strict"},
  }};
};
template <>
struct llm::json::Fields<llm::access::DatabaseSection> {
  static const Table<access::DatabaseSection>& table();
};
template <>
struct llm::json::Fields<llm::access::UsageSection> {
  static const Table<access::UsageSection>& table();
};
template <>
struct llm::json::Fields<llm::access::AuditSection> {
  static const Table<access::AuditSection>& table();
};
template <>
struct llm::json::Fields<llm::access::LoginSection> {
  static const Table<access::LoginSection>& table();
};
template <>
struct llm::json::Fields<llm::access::CertificateMapping> {
  static const Table<access::CertificateMapping>& table();
};
template <>
struct llm::json::Fields<llm::access::AccessSettings> {
  static const Table<access::AccessSettings>& table();
};
