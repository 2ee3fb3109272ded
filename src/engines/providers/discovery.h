#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "async/task.h"
#include "dialects/provider_kind.h"
#include "net/http_client.h"

// What runs on this machine: known ports of the loopback address, each asked what it is. Nothing else is ever asked.
namespace llm::engines {

struct PortGuess {
  std::uint16_t port = 0;
  std::vector<dialects::ProviderKind> kinds = {};  // that use it by default; empty: anything may
};
// The usual ports of the kinds that run on one's own machine.
std::vector<PortGuess> known_ports();

struct Discovered {
  std::uint16_t port = 0;
  bool known = false;  // it told what it is; false: it speaks HTTP, but not as any server we know
  dialects::ProviderKind kind = dialects::ProviderKind::kOpenAiCompatible;
  std::string version;  // empty: it does not say
  bool wants_key = false;
  bool wrong = false;               // not what usually is on this port
  std::vector<std::string> models;  // ids, at most kMostModels
  std::string message;              // "port 1234 answers, but as Ollama 0.11, not LM Studio"
};
inline constexpr std::size_t kMostModels = 200;

struct DiscoverySettings {
  std::vector<PortGuess> ports;
  std::chrono::milliseconds most{2'000};  // for one port, all questions together
};

// Ports where nothing listens are left out. In the order of the ports given.
Task<std::vector<Discovered>> discover(Loop& loop, DiscoverySettings settings, CancelToken cancel);

// The entry for the configuration, as YAML: what to put under `providers:` to use it. `name`: of the entry.
std::string configuration_of(const Discovered& found, const std::string& name);
// The address to configure.
std::string base_url_of(const Discovered& found);

}  // namespace llm::engines
