#include "access/timestamp.h"

#include <chrono>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::int64_t kDay = 86'400'000;

// `count` digits from the front of `text`, and the separator behind them unless that is '\0'.
std::optional<unsigned> take(std::string_view& text, std::size_t count, char separator) {
  const auto number = text.size() < count ? std::nullopt : parse_number<unsigned>(text.substr(0, count));
  if (!number) return std::nullopt;
  text.remove_prefix(count);
  if (separator == '\0') return number;
  if (text.empty() || (text.front() | 0x20) != (separator | 0x20)) return std::nullopt;
  text.remove_prefix(1);
  return number;
}

std::optional<std::int64_t> take_date(std::string_view& text) {
  const auto year = take(text, 4, '-');
  const auto month = year ? take(text, 2, '-') : std::nullopt;
  const auto day = month ? take(text, 2, '\0') : std::nullopt;
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok() || *year < 1970) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * kDay;
}

std::optional<std::int64_t> take_fraction(std::string_view& text) {
  if (!text.starts_with('.')) return 0;
  text.remove_prefix(1);
  std::size_t digits = 0;
  std::int64_t ms = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    if (digits < 3) ms = ms * 10 + (text[digits] - '0');
  }
  if (digits == 0) return std::nullopt;
  for (std::size_t i = digits; i < 3; ++i) ms *= 10;
  text.remove_prefix(digits);
  return ms;
}

std::optional<std::int64_t> take_offset(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const char sign = text.front();
  text.remove_prefix(1);
  if (sign == 'Z' || sign == 'z') return 0;
  if (sign != '+' && sign != '-') return std::nullopt;
  const auto hours = take(text, 2, ':');
  const auto minutes = hours ? take(text, 2, '\0') : std::nullopt;
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::int64_t ms = (*hours * 60LL + *minutes) * 60'000;
  return sign == '-' ? -ms : ms;
}

}  // namespace

std::string format_time(std::int64_t ms) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(ms)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string out = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (clock.subseconds().count() != 0) out += fmt::format(".{:03}", clock.subseconds().count());
  return out + "Z";
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  const auto day = take_date(text);
  if (!day || text.empty()) return day;
  if (text.front() != 'T' && text.front() != 't' && text.front() != ' ') return std::nullopt;
  text.remove_prefix(1);
  const auto hours = take(text, 2, ':');
  const auto minutes = hours ? take(text, 2, ':') : std::nullopt;
  const auto seconds = minutes ? take(text, 2, '\0') : std::nullopt;
  if (!seconds || *hours > 23 || *minutes > 59 || *seconds > 60) return std::nullopt;  // 60: a leap second
  const auto fraction = take_fraction(text);
  const auto offset = fraction ? take_offset(text) : std::nullopt;
  if (!offset || !text.empty()) return std::nullopt;
  const std::int64_t ms = *day + ((*hours * 60LL + *minutes) * 60 + *seconds) * 1000 + *fraction - *offset;
  return ms < 0 ? std::nullopt : std::optional(ms);
}

std::optional<std::int64_t> parse_expiry(std::string_view text, std::int64_t now_ms) {
  if (const auto time = parse_time(text)) return time;
  // A bare number would be seconds for some readers, days for others.
  if (text.empty() || (text.back() >= '0' && text.back() <= '9')) return std::nullopt;
  const auto duration = parse_duration_ms(text);
  if (!duration || *duration <= 0 || *duration > 1'000'000 * kDay) return std::nullopt;
  return now_ms + *duration;
}

}  // namespace llm::access
