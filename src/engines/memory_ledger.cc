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

void MemoryLedger::observe(const MachineMemory& machine) {
  for (const auto& gpu : machine.gpus) {
    const bool ours =
        std::ranges::any_of(reserved_, [&](const auto& entry) { return entry.second.devices.contains(gpu.index); });
    if (!ours) foreign_[gpu.index] = gpu.memory_used;
  }
}

void MemoryLedger::adopt(const std::string& key, MemoryDemand demand) {
  for (const auto& [device, bytes] : demand.devices) {
    auto& foreign = foreign_[device];
    foreign -= std::min(foreign, bytes);
  }
  reserve(key, std::move(demand));
}

const MemoryDemand& MemoryLedger::reserved(const std::string& key) const {
  static const MemoryDemand kNothing;
  const auto entry = reserved_.find(key);
  return entry == reserved_.end() ? kNothing : entry->second;
}

std::uint64_t MemoryLedger::used(const std::string& key) const {
  const auto entry = used_.find(key);
  return entry == used_.end() ? 0 : entry->second;
}

MemoryDemand MemoryLedger::reserved_total() const {
  MemoryDemand total;
  for (const auto& [key, demand] : reserved_) {
    MemoryDemand one = demand;
    one.host = std::max(one.host, used(key));
    total += one;
  }
  return total;
}

std::uint64_t MemoryLedger::missing_on_host(std::uint64_t wanted, const SystemMemory& memory,
                                            std::span<const std::string> gone) const {
  if (wanted == 0) return 0;
  std::uint64_t taken = limit_ > 0 ? 0 : kMargin;
  std::uint64_t all = limit_ > 0 ? limit_ : memory.available;
  for (const auto& [key, demand] : reserved_) {
    const std::uint64_t use = used(key);
    const bool gives_back = std::ranges::find(gone, key) != gone.end();
    if (limit_ > 0) {
      if (!gives_back) taken += std::max(demand.host, use);
    } else if (gives_back) {
      all += use;
    } else {
      taken += demand.host > use ? demand.host - use : 0;  // promised and not yet touched: not free either
    }
  }
  const std::uint64_t room = all > taken ? all - taken : 0;
  return wanted > room ? wanted - room : 0;
}

std::uint64_t MemoryLedger::taken(const Gpu& gpu, std::span<const std::string> gone) const {
  const auto theirs = foreign_.find(gpu.index);
  std::uint64_t promised = theirs == foreign_.end() ? 0 : theirs->second;
  std::uint64_t given_back = 0;
  for (const auto& [key, demand] : reserved_) {
    const auto here = demand.devices.find(gpu.index);
    if (here == demand.devices.end()) continue;
    const bool gives_back = std::ranges::find(gone, key) != gone.end();
    (gives_back ? given_back : promised) += here->second;
  }
  const std::uint64_t used = gpu.memory_used - std::min(gpu.memory_used, given_back);
  return std::max(promised, used);
}

MemoryDemand MemoryLedger::missing(const MemoryDemand& wanted, const MachineMemory& machine,
                                   std::span<const std::string> gone) const {
  MemoryDemand lacks{.host = missing_on_host(wanted.host, machine.host, gone)};
  for (const auto& [device, bytes] : wanted.devices) {
    const auto gpu = std::ranges::find(machine.gpus, device, &Gpu::index);
    const std::uint64_t total = gpu == machine.gpus.end() ? 0 : gpu->memory_total;
    const std::uint64_t used = gpu == machine.gpus.end() ? 0 : taken(*gpu, gone);
    const std::uint64_t room = total > used ? total - used : 0;
    if (bytes > room) lacks.devices[device] = bytes - room;
  }
  return lacks;
}

std::vector<Gpu> MemoryLedger::gpus(const MachineMemory& machine, std::span<const std::string> gone) const {
  std::vector<Gpu> out = machine.gpus;
  for (auto& gpu : out) gpu.memory_used = taken(gpu, gone);
  return out;
}

std::map<std::uint32_t, std::uint64_t> MemoryLedger::device_use(const std::string& key,
                                                                const MachineMemory& machine) const {
  std::map<std::uint32_t, std::uint64_t> use;
  for (const auto& [device, bytes] : reserved(key).devices) {
    const auto users =
        std::ranges::count_if(reserved_, [device](const auto& entry) { return entry.second.devices.contains(device); });
    const auto gpu = std::ranges::find(machine.gpus, device, &Gpu::index);
    const auto theirs = foreign_.find(device);
    if (users != 1 || gpu == machine.gpus.end() || !gpu->measured || theirs == foreign_.end()) continue;
    use[device] = gpu->memory_used - std::min(gpu->memory_used, theirs->second);
  }
  return use;
}

}  // namespace llm::engines
