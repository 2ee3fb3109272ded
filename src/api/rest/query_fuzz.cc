#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fmt/format.h>
#include <string>
#include <string_view>

#include "api/rest/query.h"

namespace {

// Every byte escaped, so that nothing of it can be taken for a part of the query.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view query(reinterpret_cast<const char*>(data), size);
  const auto parsed = llm::api::rest::parse_query(query);
  if (!parsed) return 0;
  // What was read, written and read again, is the same.
  std::string written;
  for (const auto& member : *parsed) {
    const auto add = [&](const llm::json::value& value) {
      written += fmt::format("{}={}&", escaped({member.key().data(), member.key().size()}),
                             escaped(std::string_view(value.get_string())));
    };
    if (member.value().is_string()) {
      add(member.value());
    } else {
      for (const auto& item : member.value().get_array()) add(item);
    }
  }
  const auto again = llm::api::rest::parse_query(written);
  if (!again || *again != *parsed) std::abort();
  return 0;
}
