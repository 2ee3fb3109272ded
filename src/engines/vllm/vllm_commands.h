#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "engines/engine.h"
#include "engines/vllm/vllm_adapters.h"
#include "engines/vllm/vllm_features.h"

namespace llm::engines {

// What commands need to know of the engine they are for.
struct VllmTarget {
  const VllmProbe& probe;
  const VllmApi& api;
  const std::string& engine;               // name of the entry, in messages
  VllmAdapters* adapters = nullptr;        // to be kept up to date; null: nobody keeps them
  std::uint32_t& sleep_level;              // 0: awake, or put to sleep by somebody else
  std::chrono::milliseconds work_timeout;  // for sleep, wake and loading an adapter
};

// The arguments, decoded: {level}, {name, path}, {name}.
struct SleepArguments {
  std::uint32_t level = 1;
};
struct AdapterArguments {
  std::string name;
  std::string path;
};

// Runs one command of Driver::command(). Results:
//   sleep {"sleeping":true,"level":1}   wake {"sleeping":false}   metrics {…figures}
//   load_adapter, unload_adapter, list_adapters {"adapters":[{"name","path"}]}
//   server_info {"version","models","features","endpoints",…}
// kUnsupported where the engine does not offer it, with the setting that would change that. kAlreadyExists, kNotFound:
// of adapters. kEngineFailed: the engine refused, in its words.
Task<Result<json::object>> run_vllm_command(VllmTarget target, EngineCommand command, CancelToken cancel);

// Is it asleep? False where it cannot say.
Task<bool> vllm_is_sleeping(const VllmProbe& probe, const VllmApi& api, CancelToken cancel);

}  // namespace llm::engines

template <>
struct llm::json::Fields<llm::engines::SleepArguments> {
  static const Table<engines::SleepArguments>& table();
};
template <>
struct llm::json::Fields<llm::engines::AdapterArguments> {
  static const Table<engines::AdapterArguments>& table();
};
