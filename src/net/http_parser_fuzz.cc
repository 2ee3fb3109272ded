// The HTTP/1.1 parser in both roles. Property: what it makes of a stream does not depend on how the stream is cut into
// pieces, and it keeps to its limits. The first byte chooses the role and the cuts, the rest is the stream.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/http_parser.h"

namespace {

using llm::net::HttpParser;
using llm::net::MessageLimits;
using llm::net::Role;

constexpr MessageLimits kLimits{.max_header_bytes = 512, .max_header_count = 10, .max_body_bytes = 32};

void require(bool condition) {
  if (!condition) std::abort();
}

// All messages of a stream as text.
std::string read_stream(Role role, std::string_view bytes, std::size_t step, bool head_request) {
  HttpParser parser(role, kLimits);
  parser.reset(head_request);
  std::string log;
  std::string kept;
  for (std::size_t begin = 0; begin < bytes.size(); begin += step) {
    kept += bytes.substr(begin, step);
    while (!kept.empty()) {
      const auto used = parser.feed(kept);
      if (!used) return log + "refused " + std::to_string(parser.error_status()) + used.error().message;
      require(*used <= kept.size());
      require(parser.body().size() <= kLimits.max_body_bytes);
      require(parser.headers().size() <= kLimits.max_header_count);
      require(parser.head_done() || kept.size() - *used <= kLimits.max_header_bytes);
      kept.erase(0, *used);
      if (parser.done()) {
        log += std::string(parser.method()) + ' ' + std::string(parser.target()) + std::to_string(parser.status()) +
               ' ' + std::to_string(parser.version()) + (parser.keep_alive() ? " keep " : " close ") + parser.body() +
               '\n';
        for (std::size_t i = 0; i < parser.headers().size(); ++i) {
          log.append(parser.headers().at(i).name).append(":").append(parser.headers().at(i).value).append("\n");
        }
        parser.reset(head_request);
      } else if (*used == 0) {
        break;
      }
    }
  }
  const auto end = parser.feed_eof();
  return log + (end ? "ended " + parser.body() : end.error().message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Role role = (data[0] & 1) != 0 ? Role::kClient : Role::kServer;
  const bool head_request = (data[0] & 2) != 0;
  const std::size_t step = (data[0] >> 2) + 1U;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = read_stream(role, bytes, size, head_request);
  require(read_stream(role, bytes, step, head_request) == whole);
  require(read_stream(role, bytes, 1, head_request) == whole);
  return 0;
}
