#include "engines/memory_ledger.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace llm::engines {
namespace {

constexpr std::uint64_t kMargin = 256ULL * 1024 * 1024;  // left to the rest of the machine

std::uint64_t read_number(const std::string& path) {
  std::ifstream in(path);
  std::uint64_t value = 0;
  return in >> value ? value : 0;  // "max" and absent files: no limit
}

}  // namespace

SystemMemory read_system_memory() {
  SystemMemory memory;
  std::ifstream info("/proc/meminfo");
  std::string line;
  while (std::getline(info, line)) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t kib = 0;
    fields >> name >> kib;
    if (name == "MemTotal:") memory.total = kib * 1024;
    if (name == "MemAvailable:") memory.available = kib * 1024;
  }
  std::ifstream membership("/proc/self/cgroup");
  while (std::getline(membership, line)) {
    if (!line.starts_with("0::")) continue;
    // Every level above may limit, too.
    for (std::string group = line.substr(3); !group.empty(); group.resize(group.find_last_of('/'))) {
      const std::string folder = "/sys/fs/cgroup" + group;
      if (const auto limit = read_number(folder + "/memory.max"); limit > 0) {
        const auto used = read_number(folder + "/memory.current");
        memory.total = std::min(memory.total, limit);
        memory.available = std::min(memory.available, limit - std::min(limit, used));
      }
    }
  }
  return memory;
}

std::uint64_t MemoryLedger::reserved(const std::string& key) const {
  const auto entry = reserved_.find(key);
  return entry == reserved_.end() ? 0 : entry->second;
}

std::uint64_t MemoryLedger::reserved_total() const {
  std::uint64_t total = 0;
  for (const auto& [key, bytes] : reserved_) {
    const auto used = used_.find(key);
    total += std::max(bytes, used == used_.end() ? 0 : used->second);
  }
  return total;
}

std::uint64_t MemoryLedger::missing(std::uint64_t wanted, const SystemMemory& memory) const {
  std::uint64_t room = 0;
  if (limit_ > 0) {
    const auto taken = reserved_total();
    room = limit_ > taken ? limit_ - taken : 0;
  } else {
    // What is promised to engines but not yet touched is not free either.
    std::uint64_t promised = 0;
    for (const auto& [key, bytes] : reserved_) {
      const auto used = used_.find(key);
      const std::uint64_t now = used == used_.end() ? 0 : used->second;
      promised += bytes > now ? bytes - now : 0;
    }
    const std::uint64_t taken = promised + kMargin;
    room = memory.available > taken ? memory.available - taken : 0;
  }
  return wanted > room ? wanted - room : 0;
}

}  // namespace llm::engines
