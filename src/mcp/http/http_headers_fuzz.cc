// Headers of a modern request, session ids and event ids. Lines "Name: value" up to an empty line are the header, what
// follows is the body. Properties: nothing crashes; what is let through has the headers that proxies rely on, and they
// say what the body says.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mcp/example_tools.h"
#include "mcp/http/modern_rules.h"
#include "mcp/http/replay_buffer.h"
#include "mcp/http/request_headers.h"
#include "net/headers.h"

namespace {

using namespace llm::mcp;

void require(bool condition) {
  if (!condition) std::abort();
}

llm::json::object schema() {
  const auto parameter = [](std::string_view type, std::string_view header) {
    return llm::json::object{{"type", type}, {"x-mcp-header", header}};
  };
  return {{"type", "object"},
          {"properties",
           llm::json::object{{"region", parameter("string", "Region")}, {"count", parameter("integer", "Count")}}}};
}

const Server& server() {
  static Server* const made = [] {  // lives as long as the process
    auto* fresh = new Server(example::server_info());
    example::add_tools(fresh->tools());
    fresh->tools().add({.name = "here", .input_schema = schema(), .handler = example::nothing}).value();
    return fresh;
  }();
  return *made;
}

void check_request(const Request& request, const RequestHeaders& headers, const llm::net::Headers& all) {
  if (!is_modern(request.params, request.method, headers)) return;
  const auto refusal = check_modern(server(), request, headers, all, llm::access::Principal{});
  if (refusal) {
    require(refusal->status == 400 || refusal->status == 404);
    return;
  }
  require(headers.protocol_version.has_value() && headers.repeated.empty());
  if (compare_header(*headers.protocol_version, "2026-07-28") != HeaderMatch::kEqual) return;
  require(headers.method && compare_header(*headers.method, request.method) == HeaderMatch::kEqual);
  const auto* name = llm::json::find(request.params, "name");
  if (request.method != "tools/call" || name == nullptr || !name->is_string()) return;
  require(headers.name && compare_header(*headers.name, std::string_view(name->get_string())) == HeaderMatch::kEqual);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  llm::net::Headers all;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.empty()) break;
    const auto colon = line.find(':');
    if (colon != std::string_view::npos) all.add(line.substr(0, colon), line.substr(colon + 1));
  }
  const RequestHeaders headers = read_headers(all);
  if (headers.last_event_id) {
    if (const auto id = EventId::parse(*headers.last_event_id)) require(EventId::parse(id->text()) == *id);
  }
  if (headers.name) {
    compare_header(*headers.name, std::int64_t{42});
    compare_header(*headers.name, 0.5);
  }
  if (headers.content_type) is_json(*headers.content_type);
  const Decoded message = decode_line(rest);
  const auto* single = std::get_if<Message>(&message);
  if (single == nullptr) return 0;
  if (const auto* request = std::get_if<Request>(single)) check_request(*request, headers, all);
  if (const auto* notification = std::get_if<Notification>(single)) check_modern(*notification, headers);
  return 0;
}
