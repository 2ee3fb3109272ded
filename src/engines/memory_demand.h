#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llm::engines {

// Bytes on this machine, by where they lie. Sums saturate: a model's header may claim anything.
struct MemoryDemand {
  std::uint64_t host = 0;
  std::map<std::uint32_t, std::uint64_t> devices = {};  // GPUs by index; what needs nothing is not listed

  bool empty() const;
  std::uint64_t total() const;
  MemoryDemand& operator+=(const MemoryDemand& other);
  friend bool operator==(const MemoryDemand&, const MemoryDemand&) = default;
};

// What memory is for. kEngine: what the engine takes that cannot be told apart before it runs (vLLM's share of a GPU, a
// process' own code and heap).
enum class MemoryKind { kWeights, kKvCache, kCompute, kHostCache, kEngine };
std::string_view to_string(MemoryKind kind);  // "weights", "kv_cache", "compute", "host_cache", "engine"

struct MemoryLine {
  std::optional<std::uint32_t> device;  // empty: host
  MemoryKind kind = MemoryKind::kWeights;
  std::uint64_t bytes = 0;
  friend bool operator==(const MemoryLine&, const MemoryLine&) = default;
};

// "host" or "gpu0".
std::string place_name(std::optional<std::uint32_t> device);

// What a load is expected to take, line by line.
struct MemoryPlan {
  std::vector<MemoryLine> lines;

  void add(std::optional<std::uint32_t> device, MemoryKind kind, std::uint64_t bytes);  // 0 bytes: no line
  MemoryDemand total() const;
  // "weights 4.1 GiB, kv_cache 1.0 GiB" of one place; of several "host: …; gpu0: …".
  std::string text() const;
  friend bool operator==(const MemoryPlan&, const MemoryPlan&) = default;
};

// "2.0 GiB" or "2.0 GiB on the host and 3.0 GiB on GPU 0".
std::string text_of(const MemoryDemand& demand);

}  // namespace llm::engines
