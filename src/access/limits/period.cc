#include "access/limits/period.h"

#include <chrono>

namespace llm::access {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr std::int64_t kDayMs = 86'400'000;

std::int64_t floor_days(std::int64_t ms) {
  return ms >= 0 ? ms / kDayMs : -((-ms + kDayMs - 1) / kDayMs);
}

}  // namespace

std::int64_t period_of(Period period, std::int64_t ms) {
  const std::int64_t day = floor_days(ms);
  if (period == Period::kDay) return day;
  const std::chrono::year_month_day date{sys_days(days(day))};
  return (static_cast<int>(date.year()) - 1970) * 12 + static_cast<unsigned>(date.month()) - 1;
}

std::int64_t period_start_ms(Period period, std::int64_t number) {
  if (period == Period::kDay) return number * kDayMs;
  const auto first = std::chrono::year(1970) / std::chrono::January / 1 + std::chrono::months(number);
  return sys_days(first).time_since_epoch().count() * kDayMs;
}

}  // namespace llm::access
