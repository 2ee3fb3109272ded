#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "net/websocket_codec.h"

namespace {

using llm::net::WebSocketDecoder;
using llm::net::WebSocketEvent;
using llm::net::WebSocketRole;

// All events and the failure as one text, to compare the outcome of different slicings.
std::string outcome(WebSocketRole role, std::string_view bytes, std::size_t step) {
  WebSocketDecoder decoder(role, {.max_message_bytes = 300});
  std::string out;
  while (!bytes.empty()) {
    const auto result = decoder.feed(bytes.substr(0, step), [&out](const WebSocketEvent& event) {
      if (event.payload.size() > 300) std::abort();
      const bool is_text = event.kind == WebSocketEvent::Kind::kText || event.kind == WebSocketEvent::Kind::kClose;
      if (is_text && !llm::valid_utf8(event.payload)) std::abort();
      out.append(std::to_string(static_cast<int>(event.kind))).append(std::to_string(event.close_code));
      out.append(event.payload).append("\n");
    });
    if (!result) return out + std::to_string(result.error().close_code);
    bytes.remove_prefix(step < bytes.size() ? step : bytes.size());
  }
  return out;
}

void check_round_trip(std::string_view payload) {
  const llm::net::WebSocketMask mask{1, 2, 3, static_cast<unsigned char>(payload.size())};
  std::string wire;
  append_frame(wire, llm::net::WebSocketOpcode::kBinary, payload, mask);
  WebSocketDecoder decoder(WebSocketRole::kServer, {.max_message_bytes = payload.size()});
  int events = 0;
  const auto result = decoder.feed(wire, [&](const WebSocketEvent& event) {
    if (event.payload != payload) std::abort();
    ++events;
  });
  if (!result || events != 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const auto role : {WebSocketRole::kServer, WebSocketRole::kClient}) {
    const std::string whole = outcome(role, bytes, size + 1);
    for (const std::size_t step : {1, 3, 8}) {
      if (outcome(role, bytes, step) != whole) std::abort();
    }
  }
  check_round_trip(bytes);
  return 0;
}
