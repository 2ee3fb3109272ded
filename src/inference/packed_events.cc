#include "inference/packed_events.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace llm::inference {
namespace {

// LEB128: seven bits a byte, the lowest first; the top bit says that more follow.
void append_number(std::string& out, std::size_t number) {
  for (; number >= 0x80; number >>= 7) out.push_back(static_cast<char>(number | 0x80));
  out.push_back(static_cast<char>(number));
}

std::optional<std::size_t> take_number(std::string_view& in) {
  std::size_t number = 0;
  for (unsigned shift = 0; !in.empty() && shift < 63; shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    number |= static_cast<std::size_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return number;
  }
  return std::nullopt;
}

}  // namespace

std::string pack_events(std::span<const std::string> events) {
  std::string out;
  std::string_view last;
  for (const std::string_view event : events) {
    const auto most = std::min(last.size(), event.size());
    const auto head = static_cast<std::size_t>(std::mismatch(event.begin(), event.begin() + most, last.begin()).first -
                                               event.begin());
    std::size_t tail = 0;
    while (tail < most - head && event[event.size() - 1 - tail] == last[last.size() - 1 - tail]) ++tail;
    append_number(out, head);
    append_number(out, tail);
    append_number(out, event.size() - head - tail);
    out.append(event.substr(head, event.size() - head - tail));
    last = event;
  }
  out.shrink_to_fit();
  return out;
}

std::vector<std::string> unpack_events(std::string_view packed) {
  std::vector<std::string> events;
  while (!packed.empty()) {
    const auto head = take_number(packed);
    const auto tail = take_number(packed);
    const auto fresh = take_number(packed);
    const std::string_view last = events.empty() ? std::string_view() : std::string_view(events.back());
    if (!head || !tail || !fresh || *head > last.size() || *tail > last.size() - *head || *fresh > packed.size()) break;
    std::string event;
    event.reserve(*head + *fresh + *tail);
    event.append(last.substr(0, *head)).append(packed.substr(0, *fresh)).append(last.substr(last.size() - *tail));
    packed.remove_prefix(*fresh);
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace llm::inference
