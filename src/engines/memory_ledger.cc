#include "engines/memory_ledger.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>

#include "base/strings.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMargin = 256ULL * 1024 * 1024;  // left to the rest of the machine
constexpr std::uint64_t kNoLimit = 1ULL << 62;           // cgroup v1 writes a number near 2^63 for "no limit"

std::uint64_t read_number(const fs::path& path) {
  std::ifstream in(path);
  std::uint64_t value = 0;
  return in >> value ? value : 0;  // "max" and absent files: no limit
}

// The sum of the named counters of a memory.stat file.
std::uint64_t read_counters(const fs::path& path, std::span<const std::string_view> names) {
  std::ifstream in(path);
  std::string name;
  std::uint64_t value = 0;
  std::uint64_t sum = 0;
  while (in >> name >> value) {
    if (std::ranges::find(names, name) != names.end()) sum += value;
  }
  return sum;
}

struct CgroupFiles {
  std::string_view limit;
  std::string_view used;
  std::array<std::string_view, 2> cached;  // of memory.stat, with what lies below
};
constexpr CgroupFiles kV1{
    "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
constexpr CgroupFiles kV2{"memory.max", "memory.current", {"inactive_file", "active_file"}};

// The group and every level above it may limit. In a container without a cgroup namespace the lower levels are not
// there; the mount's top is then the container's own group.
void tighten(SystemMemory& memory, const fs::path& mount, std::string_view group, const CgroupFiles& files) {
  const auto consider = [&](const fs::path& level) {
    const auto limit = read_number(level / files.limit);
    if (limit == 0 || limit >= kNoLimit) return;
    const auto used = read_number(level / files.used);
    const auto held = used - std::min(used, read_counters(level / "memory.stat", files.cached));
    memory.total = std::min(memory.total, limit);
    memory.available = std::min(memory.available, limit - std::min(limit, held));
  };
  fs::path level = mount;
  consider(level);
  for (const auto part : split(group, '/')) {
    if (part.empty() || part == "..") continue;
    level /= part;
    consider(level);
  }
}

}  // namespace

SystemMemory read_system_memory(const fs::path& root) {
  SystemMemory memory;
  std::ifstream info(root / "proc/meminfo");
  std::string line;
  while (std::getline(info, line)) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t kib = 0;
    fields >> name >> kib;
    if (name == "MemTotal:") memory.total = kib * 1024;
    if (name == "MemAvailable:") memory.available = kib * 1024;
  }
  std::ifstream membership(root / "proc/self/cgroup");
  while (std::getline(membership, line)) {  // hierarchy:controllers:path, cgroups(7)
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const std::string_view group = std::string_view(line).substr(second + 1);
    if (controllers.empty()) {
      tighten(memory, root / "sys/fs/cgroup", group, kV2);
    } else if (const auto names = split(controllers, ','); std::ranges::find(names, "memory") != names.end()) {
      tighten(memory, root / "sys/fs/cgroup/memory", group, kV1);
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

std::uint64_t MemoryLedger::missing(std::uint64_t wanted, const SystemMemory& memory,
                                    std::span<const std::string> gone) const {
  std::uint64_t taken = limit_ > 0 ? 0 : kMargin;
  std::uint64_t all = limit_ > 0 ? limit_ : memory.available;
  for (const auto& [key, bytes] : reserved_) {
    const auto entry = used_.find(key);
    const std::uint64_t used = entry == used_.end() ? 0 : entry->second;
    const bool gives_back = std::ranges::find(gone, key) != gone.end();
    if (limit_ > 0) {
      if (!gives_back) taken += std::max(bytes, used);
    } else if (gives_back) {
      all += used;
    } else {
      taken += bytes > used ? bytes - used : 0;  // promised and not yet touched: not free either
    }
  }
  const std::uint64_t room = all > taken ? all - taken : 0;
  return wanted > room ? wanted - room : 0;
}

}  // namespace llm::engines
