#pragma once

#include <array>
#include <string>
#include <vector>

#include "dialects/provider_kind.h"
#include "json/fields.h"

namespace llm::engines {

// Does what is sent there stay on this machine? auto: loopback addresses and Unix sockets do, everything else leaves.
enum class Locality { kAuto, kLocal, kRemote };

// A server that somebody else runs (`providers.<name>`, `engines.external.<name>`).
struct ProviderSettings {
  dialects::ProviderKind preset = dialects::ProviderKind::kOpenAiCompatible;
  bool enabled = true;
  std::string base_url;  // empty: the preset's
  std::string api_key;
  std::string api_key_env;
  std::vector<std::string> models;
  std::string health_path;  // empty: the preset's
  Locality locality = Locality::kAuto;
  json::Duration connect_timeout{5'000};
  json::Duration request_timeout{600'000};      // until the head of an answer; 0 none
  json::Duration first_token_timeout{600'000};  // until the first piece of a streamed answer; 0 none
  json::Duration stall_timeout{120'000};        // between two pieces; 0 none
  std::uint32_t max_concurrent = 0;             // 0: any number
  std::optional<json::Duration> keep_alive;     // Ollama, LM Studio: how long it keeps a model after a request
  bool evict_others = false;                    // may we have it unload what is idle when memory is short?
  double input_price = 0;                       // per million tokens, in whatever currency: for the policy "cost"
  double output_price = 0;
};

// The base URL and health path, the preset's where none is set; whether requests to it leave the machine.
std::string base_url_of(const ProviderSettings& settings);
std::string health_path_of(const ProviderSettings& settings);
bool leaves_machine(const ProviderSettings& settings);

// The key to send: api_key, or what its environment variable holds. The preset's own variable is read, too, but only
// for the preset's own address: the key of a service never goes to a server that merely speaks like it. Empty: none is
// needed. kUnavailable: one is needed and not there.
Result<std::string> api_key_of(const ProviderSettings& settings);

// What one entry must fulfil beyond its field table: an address, a key where the service wants one. Errors point into
// the entry.
Result<void> check_provider(const ProviderSettings& settings);

}  // namespace llm::engines

template <>
struct llm::json::EnumNames<llm::engines::Locality> {
  static constexpr std::array<std::pair<engines::Locality, std::string_view>, 3> values{{
      {engines::Locality::kAuto, "auto"},
      {engines::Locality::kLocal, "local"},
      {engines::Locality::kRemote, "remote"},
  }};
};
template <>
struct llm::json::Fields<llm::engines::ProviderSettings> {
  static const Table<engines::ProviderSettings>& table();
};
