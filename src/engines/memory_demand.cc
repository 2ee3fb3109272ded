#include "engines/memory_demand.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"

namespace llm::engines {
namespace {

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  std::uint64_t both = 0;
  return __builtin_add_overflow(a, b, &both) ? UINT64_MAX : both;
}

}  // namespace

bool MemoryDemand::empty() const {
  return total() == 0;
}

std::uint64_t MemoryDemand::total() const {
  std::uint64_t all = host;
  for (const auto& [device, bytes] : devices) all = sum(all, bytes);
  return all;
}

MemoryDemand& MemoryDemand::operator+=(const MemoryDemand& other) {
  host = sum(host, other.host);
  for (const auto& [device, bytes] : other.devices) devices[device] = sum(devices[device], bytes);
  return *this;
}

std::string_view to_string(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kWeights:
      return "weights";
    case MemoryKind::kKvCache:
      return "kv_cache";
    case MemoryKind::kCompute:
      return "compute";
    case MemoryKind::kHostCache:
      return "host_cache";
    case MemoryKind::kEngine:
      return "engine";
  }
  return "engine";
}

std::string place_name(std::optional<std::uint32_t> device) {
  return device ? fmt::format("gpu{}", *device) : "host";
}

void MemoryPlan::add(std::optional<std::uint32_t> device, MemoryKind kind, std::uint64_t bytes) {
  if (bytes > 0) lines.push_back({device, kind, bytes});
}

MemoryDemand MemoryPlan::total() const {
  MemoryDemand demand;
  for (const auto& line : lines) {
    auto& place = line.device ? demand.devices[*line.device] : demand.host;
    place = sum(place, line.bytes);
  }
  return demand;
}

std::string MemoryPlan::text() const {
  std::map<std::optional<std::uint32_t>, std::vector<std::string>> places;
  for (const auto& line : lines) {
    places[line.device].push_back(fmt::format("{} {}", to_string(line.kind), format_bytes(line.bytes)));
  }
  if (places.size() == 1 && !places.begin()->first) return fmt::format("{}", fmt::join(places.begin()->second, ", "));
  std::vector<std::string> texts;
  for (const auto& [device, parts] : places) {
    texts.push_back(fmt::format("{}: {}", place_name(device), fmt::join(parts, ", ")));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

std::string text_of(const MemoryDemand& demand) {
  if (demand.devices.empty()) return format_bytes(demand.host);
  std::vector<std::string> texts;
  if (demand.host > 0) texts.push_back(fmt::format("{} on the host", format_bytes(demand.host)));
  for (const auto& [device, bytes] : demand.devices) {
    texts.push_back(fmt::format("{} on GPU {}", format_bytes(bytes), device));
  }
  return fmt::format("{}", fmt::join(texts, " and "));
}

}  // namespace llm::engines
