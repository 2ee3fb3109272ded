#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"
#include "engines/model_settings.h"
#include "models/gguf.h"
#include "net/address.h"

namespace llm::engines {

enum class EngineState { kStopped, kStarting, kReady, kStopping, kFailed };
std::string_view to_string(EngineState state);

// How far a load is. Fraction 0..1, an estimate.
struct LoadProgress {
  std::string phase;  // "starting", "loading weights", "warming up", "ready"
  double fraction = 0;
  friend bool operator==(const LoadProgress&, const LoadProgress&) = default;
};

// What a running engine can do, found out by asking it.
struct EngineInfo {
  net::Endpoint endpoint;
  std::string upstream_model;  // the name the engine knows the model by
  std::string api_key;         // sent as a bearer token; never shown
  std::uint32_t context = 0;   // tokens per request; 0 unknown
  std::uint32_t slots = 0;     // requests at once; 0 unknown
  std::uint32_t capacity = 0;  // requests it is handed at once, at work or next in line; 0: any number
  EngineMode mode = EngineMode::kGeneration;
  bool external = false;
  bool is_llama_server = false;
  std::optional<bool> supports_tools;  // empty: the engine does not say
  std::optional<bool> supports_images;
  std::chrono::milliseconds request_timeout{0};  // until the head of an answer; 0: none
  std::uint32_t threads = 0;                     // that decode; 0 unknown or not on this machine
  int pid = 0;
};

// An engine somebody else runs (`engines.external.<name>`).
struct ExternalSettings {
  std::string base_url;
  std::string api_key;
  std::string api_key_env;
  std::vector<std::string> models;
  std::string health_path = "/models";
  json::Duration connect_timeout{5'000};
  json::Duration request_timeout{600'000};
};

// Everything needed to bring one model up.
struct EngineSpec {
  std::string key;    // unique among running engines: canonical model name with version
  std::string model;  // what the engine calls itself in its answers
  ModelSettings settings;
  std::filesystem::path file;  // GGUF; empty for external engines
  models::GgufFacts facts;
  std::optional<ExternalSettings> external;
  double own_load = 0;  // cores that the gateway's other engines keep busy at the time of the load
};

// How one kind of engine is started, watched and stopped. All members on the control loop.
class Driver {
 public:
  using OnProgress = std::function<void(LoadProgress)>;
  // Told once if a started engine ends by itself; the error says why. Must not destroy the driver.
  using OnExit = std::function<void(Error)>;

  virtual ~Driver() = default;
  // Returns once the engine has answered a real request. On an error or a cancel the engine is gone when this returns.
  // Called once in a driver's life; `on_progress` is not called after it returned.
  virtual Task<Result<EngineInfo>> start(OnProgress on_progress, OnExit on_exit, CancelToken cancel) = 0;
  // Ends the engine, at first politely. Its memory is back when this returns. Not while start() runs (cancel that); at
  // most once.
  virtual Task<void> stop() = 0;
  virtual std::uint64_t memory_bytes() const { return 0; }  // what it really uses now
  virtual std::vector<std::string> last_log_lines() const { return {}; }
};

}  // namespace llm::engines

template <>
struct llm::json::Fields<llm::engines::ExternalSettings> {
  static const Table<engines::ExternalSettings>& table();
};
