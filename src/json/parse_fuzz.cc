// Whatever the parser accepts must mean the same after write and parse; whatever it refuses must say where.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "json/json.h"

namespace {

// Equal, but for the last digits of doubles: Boost.JSON 1.81 reads those beyond 15 digits with a small error.
bool same(const llm::json::value& a, const llm::json::value& b) {
  if (a.is_double() && b.is_number()) {
    const double number = b.is_double() ? b.get_double() : b.to_number<double>();
    return std::abs(a.get_double() - number) <= 1e-14 * std::abs(number) + 1e-307;
  }
  if (a.kind() != b.kind()) return false;
  if (const auto* list = a.if_array()) return std::ranges::equal(*list, b.get_array(), same);
  if (const auto* map = a.if_object()) {
    return std::ranges::equal(*map, b.get_object(), [](const auto& x, const auto& y) {
      return x.key() == y.key() && same(x.value(), y.value());
    });
  }
  return a == b;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = llm::json::parse(text);
  if (!parsed) {
    if (parsed.error().code != llm::ErrorCode::kMalformed || parsed.error().message.empty()) std::abort();
    if (parsed.error().details.size() != 2 || !llm::valid_utf8(parsed.error().message)) std::abort();
    return 0;
  }
  const auto again = llm::json::parse(llm::json::write(*parsed));
  // The largest doubles may be rounded to infinity on the way.
  if (!again && !again.error().message.contains("too large")) std::abort();
  if (again && !same(*parsed, *again)) std::abort();
  std::string quoted;
  llm::json::append_quoted(quoted, text);
  const auto unquoted = llm::json::parse(quoted);
  if (!unquoted || unquoted->as_string() != text) std::abort();
  return 0;
}
