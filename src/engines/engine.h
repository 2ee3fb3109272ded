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
#include "engines/provider_settings.h"
#include "engines/vllm/vllm_settings.h"
#include "json/json.h"
#include "models/gguf.h"
#include "net/address.h"

namespace llm::engines {

enum class EngineState { kStopped, kStarting, kReady, kAsleep, kStopping, kFailed };
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
  dialects::ProviderKind kind = dialects::ProviderKind::kOpenAiCompatible;  // of external engines and vLLM
  bool leaves_machine = false;         // what is sent to it goes to another machine
  std::string version;                 // the engine's own, such as "0.10.1"; empty: it does not say
  bool can_sleep = false;              // it offers to give its memory back without ending
  std::optional<bool> supports_tools;  // empty: the engine does not say
  std::optional<bool> supports_images;
  std::chrono::milliseconds request_timeout{0};      // until the head of an answer; 0: none
  std::chrono::milliseconds first_token_timeout{0};  // from the head to the first piece of a stream; 0: none
  std::chrono::milliseconds stall_timeout{0};        // between two pieces; 0: none
  std::uint32_t threads = 0;                         // that decode; 0 unknown or not on this machine
  int pid = 0;
};

// Everything needed to bring one model up.
struct EngineSpec {
  std::string key;    // unique among running engines: canonical model name with version
  std::string model;  // what the engine calls itself in its answers
  ModelSettings settings;
  std::filesystem::path file;  // GGUF; empty for external engines
  models::GgufFacts facts;
  std::optional<ProviderSettings> external;  // somebody else runs it
  std::optional<VllmSettings> vllm;          // we run it with vLLM
  std::string name;                          // entry of the configuration that `external` or `vllm` come from
  std::uint32_t replica = 0;                 // of several equal engines of one model; the key of the n-th ends in "#n"
  std::string adapter;                       // LoRA adapter of the engine that this stands for; empty: the base model
  std::vector<std::uint32_t> gpus;  // it runs on these, by index; the supervisor's choice, made before the start
  // Does the gateway run it itself, with llama.cpp?
  bool embedded() const { return !external && !vllm; }
  double own_load = 0;  // cores that the gateway's other engines keep busy at the time of the load
};

// What can be asked of a running engine beside requests. Which of them an engine knows is its driver's business.
struct EngineCommand {
  enum class Kind { kSleep, kWake, kLoadAdapter, kUnloadAdapter, kListAdapters, kMetrics, kServerInfo };
  Kind kind = Kind::kServerInfo;
  json::object arguments = {};  // kSleep: {level: 1|2}; kLoadAdapter: {name, path}; kUnloadAdapter: {name}
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
  // Of a ready or sleeping engine; one at a time. kUnsupported: this engine knows no such thing.
  virtual Task<Result<json::object>> command(EngineCommand command, CancelToken cancel);
  // The engine's own end of requests when the gateway lets go of it: true leaves it running for the next gateway.
  virtual bool keeps_running() const { return false; }
};

}  // namespace llm::engines
