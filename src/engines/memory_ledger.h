#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "base/error.h"

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

// Who may use how many bytes. A load reserves its estimate before it starts; the estimate is replaced by what the
// engine really uses once it runs. Not thread-safe: control loop only.
class MemoryLedger {
 public:
  // `limit`: bytes for all engines together; 0: what the system has free, less a margin for everybody else.
  explicit MemoryLedger(std::uint64_t limit) : limit_(limit) {}

  // Bytes missing to reserve `wanted` now (0: it fits), if the engines `gone` had given theirs back.
  std::uint64_t missing(std::uint64_t wanted, const SystemMemory& memory, std::span<const std::string> gone = {}) const;
  void reserve(const std::string& key, std::uint64_t bytes) { reserved_[key] = bytes; }
  // What `key` uses by measurement; the part of its estimate not yet used stays reserved.
  void measured(const std::string& key, std::uint64_t bytes) { used_[key] = bytes; }
  void release(const std::string& key) {
    reserved_.erase(key);
    used_.erase(key);
  }
  std::uint64_t reserved(const std::string& key) const;
  std::uint64_t reserved_total() const;
  std::uint64_t limit() const { return limit_; }

 private:
  std::uint64_t limit_;
  std::map<std::string, std::uint64_t> reserved_;
  std::map<std::string, std::uint64_t> used_;
};

}  // namespace llm::engines
