#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/sse.h"

namespace {

// All events as one text, to compare the outcome of different slicings.
std::string outcome(std::string_view stream, std::size_t step) {
  llm::net::SseParser parser({.max_event_bytes = 64});
  std::string out;
  while (!stream.empty()) {
    const auto result = parser.feed(stream.substr(0, step), [&out](const llm::net::SseEvent& event) {
      out.append(event.event).append("|").append(event.data).append("|").append(event.id).append("|");
      out.append(event.retry_ms ? std::to_string(*event.retry_ms) : "-").append("\n");
    });
    if (!result) return out + "too large";
    stream.remove_prefix(step < stream.size() ? step : stream.size());
  }
  return out + std::string(parser.last_event_id());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  const std::string whole = outcome(stream, size + 1);
  for (const std::size_t step : {1, 2, 7}) {
    if (outcome(stream, step) != whole) std::abort();
  }
  // What the writer writes, the reader reads back (with line ends made LF).
  std::string written;
  llm::net::append_sse_event(written, "e", stream);
  int events = 0;
  llm::net::SseParser parser({.max_event_bytes = written.size()});
  if (!parser.feed(written, [&events](const llm::net::SseEvent&) { ++events; }) || events != 1) std::abort();
  return 0;
}
