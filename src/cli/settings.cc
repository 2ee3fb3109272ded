#include "cli/settings.h"

#include <fmt/format.h>

namespace llm {

using cli::EnginesSettings;
using cli::InferenceSettings;
using cli::LimitSettings;
using cli::McpHttpSettings;
using cli::McpSettings;
using cli::ModelsSettings;
using cli::ObserveSettings;
using cli::ServerSettings;
using cli::Settings;
using cli::TlsSettings;
using json::field;
using json::Table;

namespace {
constexpr double kKiB = 1024;
constexpr double kMiB = 1024 * kKiB;
constexpr double kGiB = 1024 * kMiB;
constexpr double kMinute = 60'000;
constexpr double kHour = 60 * kMinute;
}  // namespace

const Table<LimitSettings>& json::Fields<LimitSettings>::table() {
  using S = LimitSettings;
  static const Table<S> table{
      "limits",
      {
          field("max_header_bytes", &S::max_header_bytes,
                {.description = "Bytes of a request's head: request line and header fields.",
                 .minimum = kKiB,
                 .maximum = kMiB}),
          field("max_header_count", &S::max_header_count,
                {.description = "Header fields of one request.", .minimum = 8, .maximum = 1000}),
          field("max_body_bytes", &S::max_body_bytes,
                {.description = "Bytes of a request's body. Images come inside it as Base64.",
                 .minimum = kKiB,
                 .maximum = 4 * kGiB}),
          field("max_connections", &S::max_connections,
                {.description = "Open client connections; one more is refused.", .minimum = 1, .maximum = 1e6}),
          field(
              "header_timeout", &S::header_timeout,
              {.description = "From the first byte of a request's head to its end.", .minimum = 100, .maximum = kHour}),
          field("body_timeout", &S::body_timeout,
                {.description = "The longest pause while a request's body arrives.", .minimum = 100, .maximum = kHour}),
          field("idle_timeout", &S::idle_timeout,
                {.description = "How long a connection may stay open between two requests.",
                 .minimum = 100,
                 .maximum = 24 * kHour}),
          field("write_timeout", &S::write_timeout,
                {.description = "How long a client may take nothing of what is sent to it.",
                 .minimum = 100,
                 .maximum = kHour}),
          field("stream_queue_bytes", &S::stream_queue_bytes,
                {.description = "Streamed bytes that wait for a slow client before the engine is slowed down.",
                 .minimum = 4 * kKiB,
                 .maximum = kGiB}),
          field("websocket_message_bytes", &S::websocket_message_bytes,
                {.description = "Bytes of one WebSocket message.", .minimum = kKiB, .maximum = kGiB}),
      }};
  return table;
}

const Table<TlsSettings>& json::Fields<TlsSettings>::table() {
  using S = TlsSettings;
  static const Table<S> table{
      "tls",
      {
          field("certificate", &S::certificate,
                {.description = "PEM file with the server's certificate and those between it and its authority. Empty: "
                                "no TLS. A file that changes is read again, without closing a connection."}),
          field("key", &S::key, {.description = "PEM file with its private key. Empty: in the certificate's file."}),
          field("key_password", &S::key_password,
                {.description = "Password of an encrypted key.", .max_length = 4096, .secret = true}),
          field("client_ca", &S::client_ca, {.description = "PEM file with the authorities of client certificates."}),
          field("client_certificate", &S::client_certificate,
                {.description = "none: not asked for; optional: one that is shown must be good; required."}),
          field("minimum_version", &S::minimum_version, {.description = "The oldest TLS version: 1.2 or 1.3."}),
      }};
  return table;
}

const Table<ServerSettings>& json::Fields<ServerSettings>::table() {
  using S = ServerSettings;
  static const Table<S> table{
      "server",
      {
          field("host", &S::host,
                {.description = "Address to listen on. Only this machine reaches a loopback address.",
                 .min_length = 1,
                 .max_length = 255}),
          field("port", &S::port, {.description = "TCP port; 0 takes any free one.", .minimum = 0, .maximum = 65535}),
          field("public_url", &S::public_url,
                {.description = "The gateway's URL as clients see it, when a proxy is in front of it: "
                                "https://models.example. Empty: from the request.",
                 .max_length = 1024}),
          field("unix_socket", &S::unix_socket,
                {.description = "Path of the Unix socket. Empty: gateway.sock in the user's runtime directory.",
                 .max_length = 107}),
          field("io_threads", &S::io_threads,
                {.description = "Threads that serve connections. 0: chosen by the number of cores.",
                 .minimum = 0,
                 .maximum = 256}),
          field("allowed_hosts", &S::allowed_hosts,
                {.description = "Host names that requests may carry, beside the loopback names. Guards against DNS "
                                "rebinding.",
                 .min_length = 1,
                 .max_length = 255,
                 .max_items = 256}),
          field("allowed_origins", &S::allowed_origins,
                {.description = "Web origins whose pages may call this gateway, such as https://app.example.",
                 .min_length = 1,
                 .max_length = 255,
                 .max_items = 256}),
          field("drain_timeout", &S::drain_timeout,
                {.description = "How long running requests may take to end when the gateway stops.",
                 .minimum = 0,
                 .maximum = 24 * kHour}),
          field("idle_exit", &S::idle_exit,
                {.description = "Exit after having been unused for so long; -1 never.", .minimum = -1}),
          field("tls", &S::tls, {.description = "TLS on the TCP address."}),
          field("limits", &S::limits, {.description = "Caps on what clients may send and how slow they may be."}),
      }};
  return table;
}

const Table<ModelsSettings>& json::Fields<ModelsSettings>::table() {
  using S = ModelsSettings;
  static const Table<S> table{
      "models",
      {
          field("directory", &S::directory,
                {.description = "Where models are stored. Empty: models in the user's data directory."}),
          field("default", &S::default_model,
                {.description = "Model for requests that name none. Empty: they are refused.", .max_length = 255}),
          field(
              "hub_endpoint", &S::hub_endpoint,
              {.description = "Server that models are pulled from; speaks the API of Hugging Face.", .min_length = 1}),
          field("hub_token", &S::hub_token,
                {.description = "Access token for gated models.", .max_length = 4096, .secret = true}),

          field("allowed_sources", &S::allowed_sources,
                {.description = "Patterns of what may be pulled, such as hf:my-org/*. Empty: anything.",
                 .min_length = 1,
                 .max_length = 1024,
                 .max_items = 1000}),
          field("keep_alive", &S::keep_alive,
                {.description = "Unload a model after it has been idle for so long; -1 never.", .minimum = -1}),
          field("load_timeout", &S::load_timeout,
                {.description = "How long a request waits for its model to be loaded.",
                 .minimum = 1000,
                 .maximum = 24 * kHour}),
          field("settings", &S::settings,
                {.description = "How single models are run, by model name.", .max_items = 10'000}),
      }};
  return table;
}

const Table<EnginesSettings>& json::Fields<EnginesSettings>::table() {
  using S = EnginesSettings;
  static const Table<S> table{
      "engines",
      {
          field("llama_server", &S::llama_server,
                {.description = "Path of llama-server. Empty: the one that was installed with this program."}),
          field("memory_limit", &S::memory_limit,
                {.description = "Memory that all engines together may use. 0: most of what the machine has."}),
          field("max_restarts", &S::max_restarts,
                {.description = "Restarts in a row of an engine that crashes, before its model counts as broken.",
                 .minimum = 0,
                 .maximum = 1000}),
          field("restart_backoff", &S::restart_backoff,
                {.description = "Pause before the first restart; it doubles with each further one.",
                 .minimum = 1,
                 .maximum = kHour}),
          field("start_timeout", &S::start_timeout,
                {.description = "From the start of an engine until it is ready.",
                 .minimum = 1000,
                 .maximum = 24 * kHour}),
          field("probe_timeout", &S::probe_timeout,
                {.description = "How long an engine may take to answer a health probe.",
                 .minimum = 100,
                 .maximum = kHour}),
          field(
              "min_residency", &S::min_residency,
              {.description = "A loaded model that was asked for is not unloaded for another one before so long; "
                              "requests for the other one wait. Keeps alternating requests from loading all the time.",
               .minimum = 0,
               .maximum = kHour}),
          field(
              "gpus", &S::gpus,
              {.description = "GPUs by index, where the driver's library is not there to be asked.", .max_items = 64}),
          field("vllm", &S::vllm,
                {.description = "vLLM engines that the gateway runs itself, by name.", .max_items = 1000}),
          field("external", &S::external,
                {.description = "Another place for `providers`, which older configurations use.", .max_items = 1000}),
      }};
  return table;
}

const Table<InferenceSettings>& json::Fields<InferenceSettings>::table() {
  using S = InferenceSettings;
  static const Table<S> table{
      "inference",
      {
          field("max_concurrent", &S::max_concurrent,
                {.description = "Requests that are worked on at the same time, over all models.",
                 .minimum = 1,
                 .maximum = 100'000}),
          field("queue_limit", &S::queue_limit,
                {.description = "Requests that may wait for their turn; one more is refused at once.",
                 .minimum = 0,
                 .maximum = 1e6}),
          field("queue_timeout", &S::queue_timeout,
                {.description = "How long a request may wait for its turn.", .minimum = 0, .maximum = 24 * kHour}),
      }};
  return table;
}

const Table<McpHttpSettings>& json::Fields<McpHttpSettings>::table() {
  using S = McpHttpSettings;
  static const Table<S> table{
      "mcp over http",
      {
          field("max_sessions", &S::max_sessions,
                {.description = "Sessions that clients of protocol revisions before 2026-07-28 may have open; one more "
                                "is refused.",
                 .minimum = 1,
                 .maximum = 1e6}),
          field("session_timeout", &S::session_timeout,
                {.description = "A session ends after it has been unused for so long.",
                 .minimum = 1000,
                 .maximum = 7 * 24 * kHour}),
      }};
  return table;
}

const Table<McpSettings>& json::Fields<McpSettings>::table() {
  using S = McpSettings;
  static const Table<S> table{
      "mcp",
      {
          field("toolsets", &S::toolsets,
                {.description = "Which tools are offered: core, admin (what cannot be taken back), original (the tools "
                                "of the Python original).",
                 .max_items = 3}),
          field("progress_interval", &S::progress_interval,
                {.description = "The shortest time between two progress messages of one call.",
                 .minimum = 0,
                 .maximum = kMinute}),
          field("task_after", &S::task_after,
                {.description = "A call that takes longer becomes a task, for clients that know tasks.",
                 .minimum = 0,
                 .maximum = 24 * kHour}),
          field("page_size", &S::page_size,
                {.description = "Entries of a list in one answer.", .minimum = 1, .maximum = 10'000}),
          field("bridges", &S::bridges,
                {.description = "Other MCP servers whose tools are offered beside ours, by name.", .max_items = 100}),
          field("http", &S::http, {.description = "Limits of MCP over HTTP."}),
      }};
  return table;
}

const Table<ObserveSettings>& json::Fields<ObserveSettings>::table() {
  using S = ObserveSettings;
  static const Table<S> table{
      "observe",
      {
          field("log_level", &S::log_level, {.description = "The least level that is logged.", .reloadable = true}),
          field("log_format", &S::log_format, {.description = "auto: text on a terminal, else JSON lines."}),
          field("log_file", &S::log_file, {.description = "File to append the log to. Empty: standard error."}),
          field("log_prompts", &S::log_prompts,
                {.description = "Write prompts and answers to the log. They may hold anything users type."}),
          field("metrics", &S::metrics, {.description = "Serve Prometheus metrics at /metrics."}),
      }};
  return table;
}

const Table<Settings>& json::Fields<Settings>::table() {
  using S = Settings;
  static const Table<S> table{
      "configuration",
      {
          field("server", &S::server, {.description = "The gateway's own addresses and limits."}),
          field("access", &S::access, {.description = "Who may do what, and how much."}),
          field("models", &S::models, {.description = "Where models come from and how they are run."}),
          field("engines", &S::engines, {.description = "The programs that do the inference."}),
          field("providers", &S::providers,
                {.description = "Engines that already run somewhere, by name: vLLM, Ollama, LM Studio, a cloud API. "
                                "Nothing is sent to a service that is not named here.",
                 .max_items = 1000}),
          field("routing", &S::routing, {.description = "Which engine gets a request, and what if it fails."}),
          field("cache", &S::cache, {.description = "Answers kept for requests that come again word for word."}),
          field("inference", &S::inference, {.description = "How many requests run and wait."}),
          field("mcp", &S::mcp, {.description = "The Model Context Protocol server."}),
          field("observe", &S::observe, {.description = "Logs and metrics."}),
      }};
  return table;
}

namespace cli {
namespace {

std::unexpected<Error> wrong(std::string message, std::string pointer) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(pointer));
}

bool is_http_url(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.starts_with(scheme)) return text.size() > scheme.size() && text[scheme.size()] != '/';
  }
  return false;
}

// An error of one entry, at its place in the whole.
Result<void> placed(Result<void> checked, const std::string& at) {
  if (checked) return checked;
  Error error = std::move(checked.error());
  error.pointer = at + error.pointer;
  return fail(std::move(error));
}

Result<void> check_model(const engines::ModelSettings& model, const Settings& settings, const std::string& at) {
  if (model.ubatch > model.batch) {
    return wrong(fmt::format("expected at most batch ({}), got {}", model.batch, model.ubatch), at + "/ubatch");
  }
  const bool known = model.engine.empty() || settings.engines.external.contains(model.engine) ||
                     settings.providers.contains(model.engine) || settings.engines.vllm.contains(model.engine);
  if (!known) {
    return wrong(fmt::format("there is no engine \"{}\" in providers, engines.external or engines.vllm", model.engine),
                 at + "/engine");
  }
  return placed(engines::check_extra_args(model.extra_args), at);
}

// Names that models are reached under, <name>/<model>, stand for one thing each.
Result<void> check_engines(const Settings& settings) {
  for (const auto& [name, engine] : settings.engines.external) {
    const std::string at = json::pointer_join("/engines/external", name);
    if (settings.providers.contains(name)) {
      return wrong(fmt::format("\"{}\" is under providers too; keep one of them", name), at);
    }
    if (auto checked = placed(engines::check_provider(engine), at); !checked) return checked;
  }
  for (const auto& [name, engine] : settings.providers) {
    auto checked = placed(engines::check_provider(engine), json::pointer_join("/providers", name));
    if (!checked) return checked;
  }
  for (const auto& [name, engine] : settings.engines.vllm) {
    const std::string at = json::pointer_join("/engines/vllm", name);
    if (settings.providers.contains(name) || settings.engines.external.contains(name)) {
      return wrong(fmt::format("a provider is called \"{}\" too; rename one of them", name), at);
    }
    if (auto checked = placed(engines::check_vllm(engine), at); !checked) return checked;
  }
  return placed(router::check_routing(settings.routing), "/routing");
}

Result<void> check_tls(const TlsSettings& tls) {
  if (tls.minimum_version != "1.2" && tls.minimum_version != "1.3") {
    return wrong(fmt::format("expected 1.2 or 1.3, got {}", tls.minimum_version), "/server/tls/minimum_version");
  }
  if (tls.certificate.empty() && !tls.key.empty()) {
    return wrong("a key without a certificate; set server.tls.certificate", "/server/tls/key");
  }
  const bool asks = tls.client_certificate != net::ClientCertificate::kNone;
  if (asks && tls.client_ca.empty()) {
    return wrong("client certificates need server.tls.client_ca to be checked against",
                 "/server/tls/client_certificate");
  }
  return {};
}

}  // namespace

std::map<std::string, engines::ProviderSettings> all_providers(const Settings& settings) {
  auto all = settings.providers;
  all.insert(settings.engines.external.begin(), settings.engines.external.end());
  return all;
}

std::map<std::string, engines::ProviderSettings> enabled_providers(const Settings& settings) {
  auto all = all_providers(settings);
  std::erase_if(all, [](const auto& provider) { return !provider.second.enabled; });
  return all;
}

Result<void> check_settings(const Settings& settings) {
  for (std::size_t i = 0; i < settings.server.allowed_origins.size(); ++i) {
    const std::string& origin = settings.server.allowed_origins[i];
    const auto host = origin.find("://");
    if (host == std::string::npos || host == 0 || origin.find('/', host + 3) != std::string::npos) {
      return wrong(fmt::format("expected an origin such as \"https://app.example\" (no path), got \"{}\"", origin),
                   fmt::format("/server/allowed_origins/{}", i));
    }
  }
  if (!settings.server.public_url.empty() && !is_http_url(settings.server.public_url)) {
    return wrong("expected an http:// or https:// URL", "/server/public_url");
  }
  if (!is_http_url(settings.models.hub_endpoint)) {
    return wrong("expected an http:// or https:// URL", "/models/hub_endpoint");
  }
  if (auto checked = check_tls(settings.server.tls); !checked) return checked;
  if (auto checked = access::TokenVerifier::check(settings.access.issuers); !checked) return checked;
  for (const auto& [name, model] : settings.models.settings) {
    auto checked = check_model(model, settings, json::pointer_join("/models/settings", name));
    if (!checked) return checked;
  }
  if (auto checked = check_engines(settings); !checked) return checked;
  return tools::check_bridges(settings.mcp.bridges, "/mcp/bridges");
}

}  // namespace cli

}  // namespace llm
