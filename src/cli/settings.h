#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "access/access_settings.h"
#include "engines/engine.h"
#include "engines/gpu/gpu_inventory.h"
#include "inference/answer_cache.h"
#include "json/fields.h"
#include "net/tls_server.h"
#include "observe/log.h"
#include "router/routing_settings.h"
#include "tools/bridge_settings.h"
#include "tools/toolsets.h"

// What llm-mcp.yaml may say: one struct and one field table per section. Only the wiring reads these; every other class
// gets its own settings from there.
namespace llm::cli {

struct LimitSettings {
  json::ByteSize max_header_bytes{32ULL << 10};
  std::uint32_t max_header_count = 100;
  json::ByteSize max_body_bytes{32ULL << 20};
  std::uint32_t max_connections = 4096;
  json::Duration header_timeout{10'000};
  json::Duration body_timeout{60'000};
  json::Duration idle_timeout{75'000};
  json::Duration write_timeout{60'000};
  json::ByteSize stream_queue_bytes{1ULL << 20};
  json::ByteSize websocket_message_bytes{4ULL << 20};
};

struct TlsSettings {
  std::string certificate;  // empty: no TLS
  std::string key;
  std::string key_password;
  std::string client_ca;
  net::ClientCertificate client_certificate = net::ClientCertificate::kNone;
  std::string minimum_version = "1.2";
};

struct ServerSettings {
  std::string host = "127.0.0.1";
  std::uint16_t port = 10833;
  std::string public_url;        // as clients see it, behind a proxy; empty: from the request
  std::string unix_socket;       // empty: gateway.sock in the runtime directory
  std::uint32_t io_threads = 0;  // 0: chosen by the number of cores
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> allowed_origins;
  json::Duration drain_timeout{10'000};
  json::Duration idle_exit{json::Duration::kNever};
  TlsSettings tls;
  LimitSettings limits;
};

struct ModelsSettings {
  std::string directory;      // empty: models in the data directory
  std::string default_model;  // key "default"; empty: none
  std::string hub_endpoint = "https://huggingface.co";
  std::string hub_token;
  std::vector<std::string> allowed_sources;  // patterns of sources that may be pulled; empty: any
  json::Duration keep_alive{300'000};
  json::Duration load_timeout{600'000};
  std::map<std::string, engines::ModelSettings> settings;
};

struct EnginesSettings {
  std::string llama_server;     // empty: beside this program
  json::ByteSize memory_limit;  // 0: from what the machine has
  std::uint32_t max_restarts = 5;
  json::Duration restart_backoff{1'000};
  json::Duration start_timeout{600'000};
  json::Duration probe_timeout{10'000};
  json::Duration min_residency{10'000};  // a loaded model is not unloaded for another before
  std::map<std::string, engines::GpuSettings> gpus;
  std::map<std::string, engines::VllmSettings> vllm;
  std::map<std::string, engines::ProviderSettings> external;  // older name of `providers`
};

struct InferenceSettings {
  std::uint32_t max_concurrent = 256;
  std::uint32_t queue_limit = 256;
  json::Duration queue_timeout{60'000};
};

struct McpHttpSettings {
  std::uint32_t max_sessions = 1000;
  json::Duration session_timeout{1'800'000};
};

struct McpSettings {
  tools::Toolsets toolsets{tools::Toolset::kCore};
  json::Duration progress_interval{250};
  json::Duration task_after{10'000};
  std::uint32_t page_size = 200;
  tools::BridgeMap bridges;
  McpHttpSettings http;
};

struct ObserveSettings {
  observe::LogLevel log_level = observe::LogLevel::kInfo;
  observe::LogFormat log_format = observe::LogFormat::kAuto;
  std::string log_file;  // empty: standard error
  bool log_prompts = false;
  bool metrics = true;
};

struct Settings {
  ServerSettings server;
  access::AccessSettings access;
  ModelsSettings models;
  EnginesSettings engines;
  std::map<std::string, engines::ProviderSettings> providers;
  router::RoutingSettings routing;
  inference::AnswerCacheSettings cache;
  InferenceSettings inference;
  McpSettings mcp;
  ObserveSettings observe;
};

// `providers` and, under the older name, `engines.external`.
std::map<std::string, engines::ProviderSettings> all_providers(const Settings& settings);
std::map<std::string, engines::ProviderSettings> enabled_providers(const Settings& settings);

// What no single field can check: addresses of engines, names that must exist, pairs that must fit. kInvalidArgument
// with the JSON Pointer of the culprit.
Result<void> check_settings(const Settings& settings);

}  // namespace llm::cli

template <>
struct llm::json::EnumNames<llm::observe::LogLevel> {
  static constexpr std::array<std::pair<observe::LogLevel, std::string_view>, 5> values{{
      {observe::LogLevel::kTrace, "trace"},
      {observe::LogLevel::kDebug, "debug"},
      {observe::LogLevel::kInfo, "info"},
      {observe::LogLevel::kWarn, "warn"},
      {observe::LogLevel::kError, "error"},
  }};
};

template <>
struct llm::json::EnumNames<llm::observe::LogFormat> {
  static constexpr std::array<std::pair<observe::LogFormat, std::string_view>, 3> values{{
      {observe::LogFormat::kAuto, "auto"},
      {observe::LogFormat::kJson, "json"},
      {observe::LogFormat::kText, "text"},
  }};
};

template <>
struct llm::json::EnumNames<llm::net::ClientCertificate> {
  static constexpr std::array<std::pair<net::ClientCertificate, std::string_view>, 3> values{{
      {net::ClientCertificate::kNone, "none"},
      {net::ClientCertificate::kOptional, "optional"},
      {net::ClientCertificate::kRequired, "required"},
  }};
};

template <>
struct llm::json::Fields<llm::cli::TlsSettings> {
  static const Table<cli::TlsSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::LimitSettings> {
  static const Table<cli::LimitSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::ServerSettings> {
  static const Table<cli::ServerSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::ModelsSettings> {
  static const Table<cli::ModelsSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::EnginesSettings> {
  static const Table<cli::EnginesSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::InferenceSettings> {
  static const Table<cli::InferenceSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::McpHttpSettings> {
  static const Table<cli::McpHttpSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::McpSettings> {
  static const Table<cli::McpSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::ObserveSettings> {
  static const Table<cli::ObserveSettings>& table();
};
template <>
struct llm::json::Fields<llm::cli::Settings> {
  static const Table<cli::Settings>& table();
};
