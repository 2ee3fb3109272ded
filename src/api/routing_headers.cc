#include "api/routing_headers.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::api {
namespace {

constexpr std::size_t kLongestSession = 256;
constexpr std::int64_t kLongestTimeout = 24LL * 3600 * 1000;

// Names that users gave to models and engines, as a header field can carry them (RFC 9110 section 5.5).
std::string field_text(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return out;
}

}  // namespace

Result<inference::CallOptions> read_call_options(const net::Headers& headers) {
  inference::CallOptions options;
  if (const auto given = headers.get("x-llm-timeout-ms")) {
    const auto ms = parse_number<std::int64_t>(*given);
    if (!ms || *ms < 1 || *ms > kLongestTimeout) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("X-LLM-Timeout-Ms: expected milliseconds between 1 and {}", kLongestTimeout));
    }
    options.timeout = std::chrono::milliseconds(*ms);
  }
  if (const auto session = headers.get("x-session-id")) {
    if (session->size() > kLongestSession) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("X-Session-Id: expected at most {} characters", kLongestSession));
    }
    options.session = *session;
  }
  if (const auto cache = headers.get("x-llm-cache")) {
    if (*cache != "use" && *cache != "no-store") {
      return fail(ErrorCode::kInvalidArgument, "X-LLM-Cache: expected \"use\" or \"no-store\"");
    }
    options.cache = *cache == "use";
  }
  return options;
}

void set_local_header(net::Exchange& exchange) {
  exchange.response_headers().set("X-LLM-Locality", "local");
}

void set_served_headers(net::Exchange& exchange, const inference::Served& served) {
  if (exchange.started()) return;
  auto& headers = exchange.response_headers();
  headers.set("X-LLM-Model", field_text(served.model));
  headers.set("X-LLM-Model-Version", field_text(served.version));
  if (!served.engine.empty()) headers.set("X-LLM-Engine", field_text(served.engine));
  // Once out, it is out: an answer from here does not take back what a failed try has sent elsewhere.
  if (served.leaves_machine) headers.set("X-LLM-Locality", "remote");
  if (!served.cache.empty()) headers.set("X-LLM-Cache", served.cache);
  if (served.attempt > 1) headers.set("X-LLM-Attempts", std::to_string(served.attempt));
}

}  // namespace llm::api
