#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engines/vllm/vllm_settings.h"

namespace llm::engines {

// What may be loaded as an adapter: the name becomes part of a model's name ("base:adapter") and the path is the
// engine's own, of its container or process. kInvalidArgument at /name or /path.
Result<void> check_adapter_name(std::string_view name);
Result<void> check_adapter_path(std::string_view path);

// The LoRA adapters of each engine entry (`engines.vllm.<name>`): what the configuration loads with it and what was
// loaded at run time. All replicas of an entry are meant to have the same ones. Any thread.
class VllmAdapters {
 public:
  // What the engine starts with; replaces what was known of it.
  void reset(const std::string& engine, const std::vector<LoraModule>& configured);
  void set(const std::string& engine, std::vector<LoraModule> adapters);
  void add(const std::string& engine, LoraModule adapter);
  void remove(const std::string& engine, std::string_view name);
  std::vector<LoraModule> adapters_of(const std::string& engine) const;
  // Does that engine have it now?
  bool has(const std::string& engine, std::string_view name) const;
  // Rises with every change: whoever caches what it made of the table compares it.
  std::uint64_t version() const;

 private:
  mutable std::mutex mutex_;
  std::uint64_t version_ = 0;
  std::map<std::string, std::vector<LoraModule>> engines_;
};

}  // namespace llm::engines
