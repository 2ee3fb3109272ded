#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "engines/cpu_budget.h"
#include "engines/engine.h"
#include "net/http_client.h"

namespace llm::engines {

struct LlamaServerSettings {
  std::filesystem::path program;     // llama-server
  std::filesystem::path socket_dir;  // private to the user (0700)
  std::chrono::milliseconds start_timeout{600'000};
  std::chrono::milliseconds probe_timeout{10'000};
  std::chrono::milliseconds stop_timeout{5'000};  // from SIGTERM to SIGKILL
};

// Tokens of context per request that settings and model ask for: the setting, else the model's own up to 8192.
std::uint32_t wanted_context(const ModelSettings& settings, const models::GgufFacts& facts);

// The mode settings and header lead to; never kAuto.
EngineMode effective_mode(const ModelSettings& settings, const models::GgufFacts& facts);

// The whole argument vector of the child, program first. Errors: an extra argument that is not allowed.
Result<std::vector<std::string>> llama_server_args(const LlamaServerSettings& settings, const EngineSpec& spec,
                                                   const CpuBudget& budget, const std::string& socket);

// llama.cpp's own server as a child process on a Unix socket. It dies with the gateway, whatever happens to that.
std::unique_ptr<Driver> make_llama_server(Loop& control, net::HttpClient& client, LlamaServerSettings settings,
                                          EngineSpec spec);

// An OpenAI-compatible server that runs elsewhere.
std::unique_ptr<Driver> make_external_engine(net::HttpClient& client, EngineSpec spec);

}  // namespace llm::engines
