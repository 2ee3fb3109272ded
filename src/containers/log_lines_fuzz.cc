#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "containers/log_lines.h"

namespace {

using llm::containers::LogLines;
using llm::containers::LogStream;

// All lines as one text, to compare the outcome of different slicings.
std::string outcome(std::string_view body, std::size_t step, bool terminal) {
  LogLines lines(terminal);
  std::string out;
  const auto note = [&out](LogStream stream, std::string_view line) {
    if (line.empty() || line.size() > LogLines::kMaxLine || line.find_first_of("\r\n") != std::string_view::npos) {
      std::abort();
    }
    out.append(stream == LogStream::kStderr ? "e|" : "o|").append(line).append("\n");
  };
  while (!body.empty()) {
    if (!lines.feed(body.substr(0, step), note)) return out + "malformed";
    body.remove_prefix(step < body.size() ? step : body.size());
  }
  lines.finish(note);
  return out + lines.resume_since();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const bool terminal : {false, true}) {
    const std::string whole = outcome(body, size + 1, terminal);
    for (const std::size_t step : {1, 3, 8}) {
      if (outcome(body, step, terminal) != whole) std::abort();
    }
  }
  return 0;
}
