#include "engines/provider_settings.h"

#include <cstdlib>
#include <fmt/format.h>

#include "net/address.h"

namespace llm {

const json::Table<engines::ProviderSettings>& json::Fields<engines::ProviderSettings>::table() {
  using S = engines::ProviderSettings;
  static const Table<S> table{
      "provider",
      {
          field("preset", &S::preset,
                {.description = "What kind of server it is: its address, dialect and abilities."}),
          field("enabled", &S::enabled, {.description = "false: the entry stays, nothing is sent there."}),
          field(
              "base_url", &S::base_url,
              {.description = "Base of its API, such as http://127.0.0.1:8000/v1 or unix:/run/engine.sock:/v1. Empty: "
                              "the preset's usual address.",
               .max_length = 2048}),
          field("api_key", &S::api_key,
                {.description = "Its key: env:NAME, file:PATH, credential:NAME, or the text itself.", .secret = true}),
          field("api_key_env", &S::api_key_env,
                {.description = "Name of the environment variable that holds the key, instead of api_key."}),
          field("models", &S::models,
                {.description = "Models it serves, listed under their own names. Any model of it is reachable as "
                                "<provider>/<model>."}),
          field("health_path", &S::health_path,
                {.description = "Path under base_url that answers 200 when it is up. Empty: the preset's."}),
          field(
              "locality", &S::locality,
              {.description = "Does what is sent there stay on this machine? auto: loopback addresses and Unix sockets "
                              "do."}),
          field("connect_timeout", &S::connect_timeout, {.description = "For one connection.", .minimum = 1}),
          field("request_timeout", &S::request_timeout,
                {.description = "Until the first byte of an answer; 0 none.", .minimum = 0}),
          field("first_token_timeout", &S::first_token_timeout,
                {.description = "Until the first piece of a streamed answer; 0 none.", .minimum = 0}),
          field("stall_timeout", &S::stall_timeout,
                {.description = "The longest pause between two pieces of an answer; 0 none.", .minimum = 0}),
          field("max_concurrent", &S::max_concurrent,
                {.description = "Requests it is handed at once; more wait in the gateway. 0: any number.",
                 .maximum = 100'000}),
          field("keep_alive", &S::keep_alive,
                {.description = "How long a model stays in its memory; -1 for ever. LM Studio: after each request. "
                                "Ollama: when the gateway has it load one (providers load).",
                 .minimum = -1}),
          field("evict_others", &S::evict_others,
                {.description = "May the gateway have it unload idle models when its own need the memory? (Ollama)"}),
          field("input_price", &S::input_price,
                {.description = "Price of a million prompt tokens, for the policy cost.", .minimum = 0}),
          field("output_price", &S::output_price,
                {.description = "Price of a million generated tokens, for the policy cost.", .minimum = 0}),
      }};
  return table;
}

namespace engines {

std::string base_url_of(const ProviderSettings& settings) {
  return settings.base_url.empty() ? std::string(dialects::preset_of(settings.preset).base_url) : settings.base_url;
}

std::string health_path_of(const ProviderSettings& settings) {
  return settings.health_path.empty() ? std::string(dialects::preset_of(settings.preset).health_path)
                                      : settings.health_path;
}

bool leaves_machine(const ProviderSettings& settings) {
  if (settings.locality != Locality::kAuto) return settings.locality == Locality::kRemote;
  const auto endpoint = net::parse_endpoint(base_url_of(settings));
  return !endpoint || (endpoint->unix_path.empty() && !net::is_loopback(endpoint->host));
}

namespace {

// Is it the service itself that the preset stands for?
bool at_home(const ProviderSettings& settings) {
  const std::string_view home = dialects::preset_of(settings.preset).base_url;
  std::string_view url = settings.base_url;
  while (url.ends_with('/')) url.remove_suffix(1);
  return !home.empty() && (url.empty() || url == home);
}

std::string from_environment(std::string_view name) {
  const char* value = name.empty() ? nullptr : std::getenv(std::string(name).c_str());
  return value != nullptr ? value : "";
}

}  // namespace

Result<std::string> api_key_of(const ProviderSettings& settings) {
  if (!settings.api_key.empty()) return settings.api_key;
  const dialects::ProviderPreset& preset = dialects::preset_of(settings.preset);
  if (!settings.api_key_env.empty()) {
    std::string key = from_environment(settings.api_key_env);
    if (!key.empty()) return key;
    return fail(ErrorCode::kUnavailable,
                fmt::format("the environment variable {} with the provider's key is not set", settings.api_key_env));
  }
  std::string key = at_home(settings) ? from_environment(preset.key_variable) : std::string();
  if (key.empty() && preset.cloud && at_home(settings)) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("{} wants a key: set api_key, api_key_env, or the environment variable {}", preset.title,
                            preset.key_variable));
  }
  return key;
}

Result<void> check_provider(const ProviderSettings& settings) {
  const std::string url = base_url_of(settings);
  if (url.empty()) return fail(ErrorCode::kInvalidArgument, "missing required key \"base_url\"", "/base_url");
  const bool http = url.starts_with("http://") || url.starts_with("https://");
  if (!(http && net::parse_endpoint(url)) && !url.starts_with("unix:/")) {
    return fail(ErrorCode::kInvalidArgument,
                "expected a URL such as \"http://127.0.0.1:8000/v1\" or \"unix:/run/engine.sock:/v1\"", "/base_url");
  }
  if (!settings.api_key.empty() && !settings.api_key_env.empty()) {
    return fail(ErrorCode::kInvalidArgument, "api_key and api_key_env are both set; keep one of them", "/api_key_env");
  }
  // A variable that is not set now may be set where the gateway runs, but a service that nobody named a key for cannot
  // be meant to work.
  const bool named = !settings.api_key.empty() || !settings.api_key_env.empty();
  if (settings.enabled && !named && !api_key_of(settings)) {
    return fail(ErrorCode::kInvalidArgument, api_key_of(settings).error().message, "/api_key");
  }
  return {};
}

}  // namespace engines
}  // namespace llm
