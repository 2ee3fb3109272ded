#pragma once

#include <cstdint>
#include <cstring>

namespace llm {

// Looking at eight bytes at once, for scans over texts of which nearly every byte is an ordinary one. Each test returns
// a word that is not 0 exactly if one of the eight bytes is wanted; which one is found byte by byte. (From the first
// wanted byte on, the higher bits of the result mean nothing.)
inline constexpr std::uint64_t kOnes = 0x0101010101010101;
inline constexpr std::uint64_t kHighBits = 0x8080808080808080;

inline std::uint64_t load_bytes(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Bytes from 0x80 on.
inline std::uint64_t non_ascii_bytes(std::uint64_t word) {
  return word & kHighBits;
}

// Bytes below `bound`, which is at most 0x80.
inline std::uint64_t bytes_below(std::uint64_t word, unsigned char bound) {
  return (word - kOnes * bound) & ~word & kHighBits;
}

inline std::uint64_t bytes_equal(std::uint64_t word, char wanted) {
  return bytes_below(word ^ kOnes * static_cast<unsigned char>(wanted), 1);
}

}  // namespace llm
