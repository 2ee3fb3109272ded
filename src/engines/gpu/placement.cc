// Which GPUs an engine gets.
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "engines/gpu/gpu_inventory.h"

namespace llm::engines {
namespace {

struct Room {
  const Gpu* gpu;
  std::uint64_t free;
  std::uint64_t need;
  bool fits() const { return free >= need; }
};

std::uint64_t less(std::uint64_t a, std::uint64_t b) {
  return a > b ? a - b : 0;
}

// Of engines of ours that run already, the promise and the driver's number speak of the same bytes: the larger counts.
Room room_of(const Gpu& gpu, const std::map<std::uint32_t, std::uint64_t>& reserved, const PlacementWish& wish) {
  const auto promised = reserved.find(gpu.index);
  const std::uint64_t taken = std::max(gpu.memory_used, promised == reserved.end() ? 0 : promised->second);
  const auto part = static_cast<std::uint64_t>(static_cast<double>(gpu.memory_total) * wish.share);
  return {&gpu, less(gpu.memory_total, taken), wish.bytes_each != 0 ? wish.bytes_each : part};
}

std::string described(const Room& room) {
  return fmt::format("GPU {}{}: {} free of {}, {} needed", room.gpu->index,
                     room.gpu->name.empty() ? "" : fmt::format(" ({})", room.gpu->name), format_bytes(room.free),
                     format_bytes(room.gpu->memory_total), format_bytes(room.need));
}

std::unexpected<Error> too_little(const PlacementWish& wish, const std::vector<Room>& rooms, std::string_view why) {
  std::vector<std::string> lines;
  for (const auto& room : rooms) lines.push_back(described(room));
  return fail(ErrorCode::kInsufficientMemory,
              fmt::format("{} GPU{} wanted, {}. {}", wish.count, wish.count == 1 ? "" : "s", why,
                          lines.empty() ? "There is no GPU" : fmt::format("{}", fmt::join(lines, "; "))));
}

const Gpu* find(std::span<const Gpu> gpus, std::string_view named) {
  const auto index = parse_number<std::uint32_t>(named);
  for (const auto& gpu : gpus) {
    if (index ? gpu.index == *index : gpu.uuid == named) return &gpu;
  }
  return nullptr;
}

// Exactly those, in their order: the first holds the engine's first rank.
Result<std::vector<std::uint32_t>> place_named(std::span<const Gpu> gpus,
                                               const std::map<std::uint32_t, std::uint64_t>& reserved,
                                               const PlacementWish& wish) {
  if (wish.named.size() != wish.count) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} GPUs wanted, but {} are named", wish.count, wish.named.size()));
  }
  std::vector<std::uint32_t> out;
  std::vector<Room> full;
  for (const auto& named : wish.named) {
    const Gpu* gpu = find(gpus, named);
    if (!gpu) return fail(ErrorCode::kNotFound, fmt::format("there is no GPU \"{}\" on this machine", named));
    if (std::ranges::find(out, gpu->index) != out.end()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("GPU {} is named twice", gpu->index));
    }
    if (const Room room = room_of(*gpu, reserved, wish); !room.fits()) full.push_back(room);
    out.push_back(gpu->index);
  }
  if (!full.empty()) return too_little(wish, full, "the named ones have no room");
  return out;
}

// GPUs of one kind: the slowest sets the pace and the smallest the cache, so a mixture wastes the others.
bool same_kind(const Gpu& a, const Gpu& b) {
  return a.name == b.name && a.memory_total == b.memory_total;
}

}  // namespace

Result<std::vector<std::uint32_t>> place(std::span<const Gpu> gpus,
                                         const std::map<std::uint32_t, std::uint64_t>& reserved,
                                         const PlacementWish& wish) {
  if (!wish.named.empty()) return place_named(gpus, reserved, wish);
  std::vector<std::uint32_t> out;
  if (wish.count == 0) return out;
  std::vector<Room> all;
  std::vector<Room> fitting;
  for (const auto& gpu : gpus) {
    all.push_back(room_of(gpu, reserved, wish));
    if (all.back().fits()) fitting.push_back(all.back());
  }
  if (fitting.size() < wish.count) {
    return too_little(wish, all, fmt::format("{} of {} have room", fitting.size(), gpus.size()));
  }
  // The fullest first, so that empty ones stay whole for engines that need them.
  std::ranges::sort(fitting, [](const Room& a, const Room& b) {
    return std::pair(a.free, a.gpu->index) < std::pair(b.free, b.gpu->index);
  });
  for (const Room& first : fitting) {
    std::vector<std::uint32_t> kind;
    for (const Room& room : fitting) {
      if (kind.size() < wish.count && same_kind(*first.gpu, *room.gpu)) kind.push_back(room.gpu->index);
    }
    if (kind.size() < wish.count) continue;
    std::ranges::sort(kind);
    return kind;
  }
  return too_little(wish, all, "and enough of them have room, but not of one kind");
}

}  // namespace llm::engines
