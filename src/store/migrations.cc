#include "store/migrations.h"

namespace llm::store {
namespace {

constexpr auto kSqlite = Dialect::kSqlite;
constexpr auto kPostgres = Dialect::kPostgres;

// Texts compare by bytes on both. Bytes (hashes, encrypted keys) are hex digits. Rows of the directory are never
// deleted; `revision` says in which change a row got what it holds.
Migration first() {
  return {
      1,
      {
          {"CREATE TABLE directory (id BIGINT PRIMARY KEY CHECK (id = 1), revision BIGINT NOT NULL)"},
          {"INSERT INTO directory (id, revision) VALUES (1, 1)"},
          {"CREATE TABLE projects (id {text} PRIMARY KEY, name {text} NOT NULL, settings {text} NOT NULL, "
           "created BIGINT NOT NULL, disabled BIGINT NOT NULL, revision BIGINT NOT NULL)"},
          {"CREATE INDEX projects_revision ON projects (revision)"},
          {"CREATE TABLE users (id {text} PRIMARY KEY, project {text} NOT NULL REFERENCES projects (id), "
           "name {text} NOT NULL, kind {text} NOT NULL, role {text} NOT NULL, created BIGINT NOT NULL, "
           "disabled BIGINT NOT NULL, revision BIGINT NOT NULL)"},
          {"CREATE INDEX users_revision ON users (revision)"},
          {"CREATE INDEX users_role ON users (role)"},
          {"CREATE TABLE roles (name {text} PRIMARY KEY, rules {text} NOT NULL, created BIGINT NOT NULL, "
           "removed BIGINT NOT NULL, revision BIGINT NOT NULL)"},
          {"CREATE INDEX roles_revision ON roles (revision)"},
          {"CREATE TABLE api_keys (id {text} PRIMARY KEY, project {text} NOT NULL REFERENCES projects (id), "
           "user_id {text} REFERENCES users (id), name {text} NOT NULL, role {text} NOT NULL, hash {text} NOT NULL, "
           "old_hash {text} NOT NULL, old_until BIGINT NOT NULL, settings {text} NOT NULL, created BIGINT NOT NULL, "
           "expires BIGINT NOT NULL, revoked BIGINT NOT NULL, last_used BIGINT NOT NULL, revision BIGINT NOT NULL)"},
          {"CREATE INDEX api_keys_revision ON api_keys (revision)"},
          {"CREATE INDEX api_keys_role ON api_keys (role)"},

          {"CREATE TABLE signing_keys (id {text} PRIMARY KEY, algorithm {text} NOT NULL, public_jwk {text} NOT NULL, "
           "private_key {text} NOT NULL, created BIGINT NOT NULL, signs_until BIGINT NOT NULL, "
           "verifies_until BIGINT NOT NULL)"},
          {"CREATE TABLE refresh_tokens (id {text} PRIMARY KEY, family {text} NOT NULL, hash {text} NOT NULL, "
           "api_key {text} NOT NULL, scopes {text} NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT NULL, "
           "used BIGINT NOT NULL, revoked BIGINT NOT NULL)"},
          {"CREATE INDEX refresh_tokens_family ON refresh_tokens (family)"},
          {"CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires)"},
          {"CREATE TABLE revoked_tokens (jti {text} PRIMARY KEY, expires BIGINT NOT NULL, revoked BIGINT NOT NULL)"},
          {"CREATE INDEX revoked_tokens_revoked ON revoked_tokens (revoked)"},

          {"CREATE TABLE usage_sums (day BIGINT NOT NULL, project {text} NOT NULL, api_key {text} NOT NULL, "
           "model {text} NOT NULL, requests BIGINT NOT NULL, failed BIGINT NOT NULL, input_tokens BIGINT NOT NULL, "
           "cached_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, "
           "PRIMARY KEY (day, project, api_key, model))"},
          {"CREATE TABLE usage_batches (batch {text} PRIMARY KEY, added BIGINT NOT NULL)"},
          {"CREATE TABLE shared_rates (name {text} PRIMARY KEY, tat BIGINT NOT NULL, returned BIGINT NOT NULL)"},
          {"CREATE TABLE shared_quotas (name {text} NOT NULL, period BIGINT NOT NULL, leased BIGINT NOT NULL, "
           "touched BIGINT NOT NULL, PRIMARY KEY (name, period))"},
          {"CREATE TABLE gateways (name {text} PRIMARY KEY, beat BIGINT NOT NULL)"},
          {"CREATE TABLE slot_limits (name {text} PRIMARY KEY)"},
          {"CREATE TABLE slots (limit_name {text} NOT NULL REFERENCES slot_limits (name), gateway {text} NOT NULL, "
           "held BIGINT NOT NULL, PRIMARY KEY (limit_name, gateway))"},

          {"CREATE TABLE audit (id {id}, chain {text} NOT NULL, seq BIGINT NOT NULL, time_ms BIGINT NOT NULL, "
           "principal {text} NOT NULL, project {text} NOT NULL, action {text} NOT NULL, target {text} NOT NULL, "
           "address {text} NOT NULL, outcome {text} NOT NULL, record {text} NOT NULL, hash {text} NOT NULL, "
           "UNIQUE (chain, seq))"},
          {"CREATE INDEX audit_time ON audit (time_ms)"},
          {"CREATE INDEX audit_project ON audit (project, id)"},
          {"CREATE INDEX audit_principal ON audit (principal, id)"},
          // Even a bug of ours cannot change what was recorded.
          {"CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN "
           "SELECT RAISE(ABORT, 'audit records are never changed'); END",
           kSqlite},
          {"CREATE FUNCTION audit_unchanged() RETURNS trigger LANGUAGE plpgsql AS "
           "'BEGIN RAISE EXCEPTION ''audit records are never changed''; END'",
           kPostgres},
          {"CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_unchanged()",
           kPostgres},
      }};
}

}  // namespace

const std::vector<Migration>& migrations() {
  static const std::vector<Migration> steps = {first()};
  return steps;
}

}  // namespace llm::store
