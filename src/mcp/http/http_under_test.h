#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/event.h"
#include "async/run_task.h"
#include "base/strings.h"
#include "json/json.h"
#include "mcp/example_tools.h"
#include "mcp/http/endpoint.h"
#include "mcp/principal_under_test.h"
#include "net/address.h"
#include "net/raw_peer.h"

namespace llm::mcp {

// For tests: a server with the example tools, and these:
//   gate    reports progress, then ends when open_gate() was called     note  ends when cancelled, which is counted
//   poll    lets its client go, then ends as `gate` does                here  has header parameters of all kinds
// over a real HTTP server. Who asks is what the header X-Principal says, with the rights of the role X-Role, or all.
class HttpUnderTest {
 public:
  explicit HttpUnderTest(Loop& first, HttpSettings settings = {}, std::vector<Loop*> more = {})
      : loop(first),
        server(example::server_info()),
        gate_(first.executor()),
        changed_(first.executor()),
        endpoint(server, std::move(settings), with(first, more)),
        http(with(first, more), {}, [this](net::Exchange& exchange) { return handle(exchange); }) {
    example::add_tools(server.tools());
    example::add_all(server);
    add_tool("gate", {}, [this](ToolCall call) { return gate(std::move(call), this); });
    add_tool("poll", {}, [this](ToolCall call) {
      call.close_stream();
      return gate(std::move(call), this);
    });
    add_tool("note", {}, [this](ToolCall call) { return note(std::move(call), this); });
    add_tool("here",
             {{"region", parameter("string", "Region")},
              {"count", parameter("integer", "Count")},
              {"sure", parameter("boolean", "Sure")}},
             example::nothing);
  }

  // A connection over a pipe.
  net::RawPeer open() {
    auto [ours, theirs] = std::move(*net::make_pipe(loop.executor()));
    http.serve(std::move(ours), {true, "unix"});
    return {loop, std::move(theirs)};
  }
  void open_gate() { gate_.notify(); }
  Task<void> until_cancelled(int count) {
    while (cancelled < count) co_await changed_.wait();
  }
  Task<void> stop() {
    endpoint.stop();
    co_await endpoint.drained();
    http.stop_accepting();
    http.cancel();
    co_await http.drained();
  }

  Loop& loop;
  Server server;
  int cancelled = 0;  // calls of `note` that were

 private:
  static std::vector<Loop*> with(Loop& first, std::vector<Loop*> more) {
    more.insert(more.begin(), &first);
    return more;
  }
  static json::object parameter(std::string_view type, std::string_view header) {
    return {{"type", type}, {"x-mcp-header", header}};
  }
  void add_tool(std::string name, json::object properties, std::function<Task<Result<ToolResult>>(ToolCall)> handler) {
    server.tools()
        .add({.name = std::move(name),
              .input_schema = {{"type", "object"}, {"properties", std::move(properties)}},
              .handler = std::move(handler)})
        .value();
  }
  static Task<Result<ToolResult>> gate(ToolCall call, HttpUnderTest* under) {
    call.progress(1, {}, "at the gate");
    co_await under->gate_.wait();
    co_return ToolResult{.text = "through"};
  }
  static Task<Result<ToolResult>> note(ToolCall call, HttpUnderTest* under) {
    auto outcome = co_await example::wait(std::move(call));
    ++under->cancelled;
    under->changed_.notify();
    co_return outcome;
  }
  Task<void> handle(net::Exchange& exchange) {
    access::Principal principal;
    const auto role = exchange.headers().get("X-Role");
    if (const auto id = exchange.headers().get("X-Principal")) {
      principal = role ? with_role(*role, std::string(*id)) : access::Principal{.id = std::string(*id)};
    }
    co_await endpoint.handle(exchange, std::move(principal));
  }

  Event gate_;
  Event changed_;

 public:
  HttpEndpoint endpoint;
  net::HttpServer http;
};

struct HttpAnswer {
  int status = 0;
  std::string head;
  std::string body;  // empty for a stream, which the test reads on
  bool streaming() const { return head.contains("Content-Type: text/event-stream\r\n"); }
  json::object json() const {
    auto parsed = json::parse(body);
    return parsed && parsed->is_object() ? parsed->get_object() : json::object{{"unreadable", body}};
  }
  int error_code() const {
    const auto document = json();
    const json::value* error = json::find(document, "error");
    return error != nullptr ? static_cast<int>(json::int_or(error->get_object(), "code")) : 0;
  }
  std::string header(std::string_view name) const {
    for (const auto line : split(head, '\n')) {
      const auto colon = line.find(": ");
      if (colon != std::string_view::npos && iequals(line.substr(0, colon), name)) {
        return std::string(trim(line.substr(colon + 2, line.size() - colon - 3)));
      }
    }
    return {};
  }
};

inline std::string raw_request(std::string_view method, std::string_view headers, std::string_view body = {}) {
  std::string out = std::string(method) + " /mcp HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers);
  if (method == "POST") {
    if (!headers.contains("Content-Type:")) out += "Content-Type: application/json\r\n";
    if (!headers.contains("Accept:")) out += "Accept: application/json, text/event-stream\r\n";
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return out + "\r\n" + std::string(body);
}

// The head, and the body if it has a length.
inline Task<HttpAnswer> read_answer(net::RawPeer& peer) {
  HttpAnswer answer;
  answer.head = co_await peer.read_head();
  answer.status = parse_number<int>(std::string_view(answer.head).substr(0, 12).substr(9)).value_or(0);
  const auto length = parse_number<std::size_t>(answer.header("Content-Length"));
  if (length) answer.body = co_await peer.read_bytes(*length);
  co_return answer;
}
inline Task<HttpAnswer> ask(net::RawPeer& peer, std::string bytes) {
  co_await peer.send(std::move(bytes));
  co_return co_await read_answer(peer);
}

struct StreamEvent {
  std::string id;
  std::string data;
  bool comment = false;
  bool retry = false;
  json::object json() const {
    auto parsed = json::parse(data);
    return parsed && parsed->is_object() ? parsed->get_object() : json::object{{"unreadable", data}};
  }
};
// The next event of a chunked stream; the lines between chunks look like no field and are passed over.
inline Task<StreamEvent> read_event(net::RawPeer& peer) {
  const std::string text = co_await peer.read_until("\n\n");
  StreamEvent event;
  for (const auto line : split(text, '\n')) {
    if (line.starts_with("id: ")) event.id = line.substr(4);
    if (line.starts_with("data: ")) event.data = line.substr(6);
    if (line.starts_with(":")) event.comment = true;
    if (line.starts_with("retry: ")) event.retry = true;
  }
  co_return event;
}
// Nothing more comes but the end of the stream.
inline Task<bool> stream_ends(net::RawPeer& peer) {
  const std::string rest = co_await peer.read_until("0\r\n\r\n");
  co_return rest == "0\r\n\r\n" || rest == "\r\n0\r\n\r\n";
}

}  // namespace llm::mcp
