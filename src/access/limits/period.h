#pragma once

#include <cstdint>

// The periods of quotas: days and calendar months in UTC.
namespace llm::access {

enum class Period : std::uint8_t { kDay, kMonth };

// Days, or months, since 1970.
std::int64_t period_of(Period period, std::int64_t ms);
std::int64_t period_start_ms(Period period, std::int64_t number);
inline std::int64_t period_end_ms(Period period, std::int64_t number) {
  return period_start_ms(period, number + 1);
}

// Milliseconds, rounded up; the longest there is does not overflow.
constexpr std::int64_t whole_ms(std::int64_t ns) {
  return ns / 1'000'000 + (ns % 1'000'000 > 0 ? 1 : 0);
}

}  // namespace llm::access
