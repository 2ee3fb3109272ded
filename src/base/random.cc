#include "base/random.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sys/random.h>

#include "base/strings.h"

namespace llm {

void random_bytes(std::span<unsigned char> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      std::abort();  // without randomness every id and key would be guessable
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::string random_id(std::string_view prefix) {
  std::array<unsigned char, 16> bytes;
  random_bytes(bytes);
  return std::string(prefix) + hex(bytes);
}

std::string unique_id(std::string_view prefix) {
  static const std::uint64_t seed = [] {
    std::uint64_t value = 0;
    random_bytes({reinterpret_cast<unsigned char*>(&value), sizeof value});
    return value;
  }();
  static std::atomic<std::uint64_t> counter{0};
  const auto ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  const std::uint64_t count = counter.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t mixed = seed + count * 0x9E3779B97F4A7C15ULL;  // splitmix64: distinct inputs give distinct outputs
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  mixed ^= mixed >> 31;
  std::array<unsigned char, 16> bytes;
  const std::uint64_t head = (ms << 16) | (count & 0xFFFF);
  for (int i = 0; i < 8; ++i) {
    bytes[static_cast<std::size_t>(i)] = static_cast<unsigned char>(head >> (56 - 8 * i));
    bytes[static_cast<std::size_t>(i) + 8] = static_cast<unsigned char>(mixed >> (56 - 8 * i));
  }
  return std::string(prefix) + hex(bytes);
}

}  // namespace llm
