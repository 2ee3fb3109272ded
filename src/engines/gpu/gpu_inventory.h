#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/fields.h"

namespace llm::engines {

// `engines.gpus.<index or UUID>`: for machines where the driver's library cannot be asked.
struct GpuSettings {
  std::string name;
  json::ByteSize memory;
};

// One GPU of this machine at a moment.
struct Gpu {
  std::uint32_t index = 0;
  std::string uuid = {};  // "GPU-…"; empty where only the configuration knows it
  std::string name = {};
  std::uint64_t memory_total = 0;  // bytes
  std::uint64_t memory_used = 0;   // by anybody; 0 unknown
  std::int32_t utilization = -1;   // percent; -1 unknown
  std::int32_t temperature = -1;   // °C; -1 unknown
  bool measured = false;           // the driver said so, else the configuration
  friend bool operator==(const Gpu&, const Gpu&) = default;
};

// Asks NVIDIA's management library (NVML, opened at run time; nothing is linked), else takes what the configuration
// says. Blocking (milliseconds): not on a loop that carries streams. Thread-safe.
class GpuInventory {
 public:
  // `library`: the file to open; empty: libnvidia-ml.so.1 as the loader finds it.
  explicit GpuInventory(std::map<std::string, GpuSettings> configured, std::string library = {});
  ~GpuInventory();
  GpuInventory(const GpuInventory&) = delete;
  GpuInventory& operator=(const GpuInventory&) = delete;
  std::vector<Gpu> read() const;
  bool measures() const;

 private:
  struct Nvml;
  std::map<std::string, GpuSettings> configured_;
  Nvml* nvml_ = nullptr;
};

// What an engine needs of GPUs.
struct PlacementWish {
  std::uint32_t count = 1;
  std::uint64_t bytes_each = 0;         // free on each; 0: `share` of the whole
  double share = 0;                     // of the total memory
  std::vector<std::string> named = {};  // indexes or UUIDs it must have; empty: any
};
// The GPUs to use, by index: of those with room the fullest that still fit, all of one kind where there are several.
// `reserved`: bytes that other engines of ours were promised, by index; of that and what is used already the larger
// counts, since an engine that has loaded shows in both. kInsufficientMemory with numbers; kNotFound, kInvalidArgument:
// named GPUs that are not there, or not as many as wanted.
Result<std::vector<std::uint32_t>> place(std::span<const Gpu> gpus,
                                         const std::map<std::uint32_t, std::uint64_t>& reserved,
                                         const PlacementWish& wish);

}  // namespace llm::engines

template <>
struct llm::json::Fields<llm::engines::GpuSettings> {
  static const Table<engines::GpuSettings>& table();
};
