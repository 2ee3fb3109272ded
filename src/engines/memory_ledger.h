#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "engines/gpu/gpu_inventory.h"
#include "engines/memory_demand.h"

namespace llm::engines {

// What the machine (or the container around us) has for engines: the smaller of the physical memory and the cgroup's
// limit, in bytes; and how much of it is free for new allocations now. Cached file pages count as free: the kernel
// gives them up first.
struct SystemMemory {
  std::uint64_t total = 0;
  std::uint64_t available = 0;
};
// Reads /proc and /sys below `root` (cgroup v1 and v2); what is missing limits nothing. Other systems get zeros.
SystemMemory read_system_memory(const std::filesystem::path& root = "/");

// All memory of the machine at a moment.
struct MachineMemory {
  SystemMemory host = {};
  std::vector<Gpu> gpus = {};
};

// Who may use how many bytes, on the host and on each GPU. A load reserves its estimate before it starts; the estimate
// is replaced by what the engine really uses once it runs. Not thread-safe: control loop only.
//
// The host's free memory is read from the system, so that of an engine only what it was promised and did not touch yet
// is taken from it. Of a GPU the driver tells only the sum of all users: what was used before the first of our engines
// came is other people's, and the larger of the driver's sum and "theirs and all that ours were promised" is taken.
class MemoryLedger {
 public:
  // `limit`: bytes of host memory for all engines together; 0: what the system has free, less a margin for everybody
  // else.
  explicit MemoryLedger(std::uint64_t limit) : limit_(limit) {}

  // To be called with what the machine says before the members below that take it.
  void observe(const MachineMemory& machine);

  // Bytes missing to reserve `wanted` now (empty: it fits), if the engines `gone` had given theirs back.
  MemoryDemand missing(const MemoryDemand& wanted, const MachineMemory& machine,
                       std::span<const std::string> gone = {}) const;
  // The GPUs with all that is taken as `memory_used`, if the engines `gone` had given theirs back. For place().
  std::vector<Gpu> gpus(const MachineMemory& machine, std::span<const std::string> gone = {}) const;

  void reserve(const std::string& key, MemoryDemand demand) { reserved_[key] = std::move(demand); }
  // The same for an engine that ran before we knew of it: what others use of its GPUs is so much less.
  void adopt(const std::string& key, MemoryDemand demand);
  // What `key` uses of the host by measurement; the part of its estimate not yet used stays reserved.
  void measured(const std::string& key, std::uint64_t host) { used_[key] = host; }
  void release(const std::string& key) {
    reserved_.erase(key);
    used_.erase(key);
  }
  // What `key` uses of its GPUs, where it is the only one of ours and the driver measures.
  std::map<std::uint32_t, std::uint64_t> device_use(const std::string& key, const MachineMemory& machine) const;

  const MemoryDemand& reserved(const std::string& key) const;
  MemoryDemand reserved_total() const;
  std::uint64_t limit() const { return limit_; }

 private:
  std::uint64_t missing_on_host(std::uint64_t wanted, const SystemMemory& memory,
                                std::span<const std::string> gone) const;
  std::uint64_t taken(const Gpu& gpu, std::span<const std::string> gone) const;
  std::uint64_t used(const std::string& key) const;

  std::uint64_t limit_;
  std::map<std::string, MemoryDemand> reserved_;
  std::map<std::string, std::uint64_t> used_;
  std::map<std::uint32_t, std::uint64_t> foreign_;  // of each GPU, when the first of ours came
};

}  // namespace llm::engines
