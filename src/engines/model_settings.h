#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"

namespace llm::engines {

enum class EngineMode { kAuto, kGeneration, kEmbedding, kRerank };
enum class FlashAttention { kAuto, kOn, kOff };

// How one model is run (`models.settings.<name>` in the configuration). 0 and "auto" mean: chosen at load time.
struct ModelSettings {
  std::uint32_t context = 0;
  std::uint32_t parallel = 4;
  std::int32_t gpu_layers = -1;
  std::uint32_t threads = 0;
  std::uint32_t threads_batch = 0;
  std::uint32_t batch = 2048;
  std::uint32_t ubatch = 512;
  std::string chat_template;
  EngineMode mode = EngineMode::kAuto;
  std::optional<json::Duration> keep_alive;
  FlashAttention flash_attention = FlashAttention::kAuto;
  std::string cache_type_k = "f16";
  std::string cache_type_v = "f16";
  json::ByteSize cache_ram{256ULL * 1024 * 1024};
  std::vector<std::string> extra_args;
  std::string engine;
  std::uint32_t replicas = 1;                   // equal engines behind one name
  bool pinned = false;                          // never unloaded for another
  std::int32_t priority = 0;                    // the lowest is unloaded first
  std::optional<json::Duration> min_residency;  // replaces engines.min_residency
};

// Refuses arguments that would move the engine out of the gateway's control (where it listens, what it loads, its logs,
// its keys, RPC) or that a setting of its own stands for, since the memory ledger counts with that. Errors point at
// /extra_args/<n>.
Result<void> check_extra_args(const std::vector<std::string>& args);

}  // namespace llm::engines

template <>
struct llm::json::EnumNames<llm::engines::EngineMode> {
  static constexpr std::array<std::pair<engines::EngineMode, std::string_view>, 4> values{{
      {engines::EngineMode::kAuto, "auto"},
      {engines::EngineMode::kGeneration, "generation"},
      {engines::EngineMode::kEmbedding, "embedding"},
      {engines::EngineMode::kRerank, "rerank"},
  }};
};

template <>
struct llm::json::EnumNames<llm::engines::FlashAttention> {
  static constexpr std::array<std::pair<engines::FlashAttention, std::string_view>, 3> values{{
      {engines::FlashAttention::kAuto, "auto"},
      {engines::FlashAttention::kOn, "on"},
      {engines::FlashAttention::kOff, "off"},
  }};
};

template <>
struct llm::json::Fields<llm::engines::ModelSettings> {
  static const Table<engines::ModelSettings>& table();
};
