#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "mcp/client/link.h"
#include "mcp/protocol.h"
#include "net/http_client.h"
#include "net/sse.h"

namespace llm::mcp {

// Where a server's endpoint is.
struct HttpAddress {
  net::Endpoint endpoint;
  std::string target;  // path and query
};
// "https://host[:port]/mcp?x=y" or "unix:/path/to.sock:/mcp"; without a path it is /mcp.
Result<HttpAddress> parse_http_address(std::string_view url);

struct HttpLinkSettings {
  std::string label = {};  // names the server in messages
  HttpAddress address = {};
  std::vector<std::pair<std::string, std::string>> headers = {};  // sent with every request
  std::string token = {};                                         // bearer token; never in a message or a log
  std::size_t max_message_bytes = kMaxMessageBytes;
  std::chrono::milliseconds retry{1000};  // before an interrupted stream is taken up again, unless told
  std::chrono::milliseconds longest_retry{60'000};
  std::chrono::milliseconds goodbye{2000};  // for the DELETE that ends a session
};

// MCP "Streamable HTTP", all revisions: each message is a POST, answered by JSON or by an event stream; sessions
// (before 2026-07-28) have an id, may have a stream of their own, and take up cut streams where they were.
class HttpLink final : public Link {
 public:
  // `client` outlives the link's stop().
  HttpLink(Loop& loop, net::HttpClient& client, HttpLinkSettings settings);

  Result<void> start(Listener& listener) override;
  void send(Outgoing message) override;
  void done(const RequestId& id) override;
  void drop(const RequestId& id) override;
  bool drop_cancels() const override { return true; }
  void listen(const std::string& version) override;
  Task<void> stop() override;

 private:
  struct Post;
  using HeaderList = std::vector<std::pair<std::string_view, std::string_view>>;

  static Task<void> run(HttpLink* self, std::shared_ptr<Post> post);
  static Task<void> run_stream(HttpLink* self, std::string version);
  static Task<Result<void>> exchange(HttpLink* self, Post* post);
  static Task<Result<void>> take_up(HttpLink* self, Post* post, net::SseParser* parser);
  // Until the stream ends; an error if it was cut.
  static Task<Result<void>> read_events(HttpLink* self, net::ClientResponse* response, net::SseParser* parser,
                                        const RequestId* under);
  static Task<Result<void>> read_json(HttpLink* self, net::ClientResponse* response, Post* post);
  static Task<Result<void>> refused(HttpLink* self, net::ClientResponse* response, Post* post);

  HeaderList common_headers(std::string_view version, std::string_view session) const;  // views: the caller's
  std::chrono::milliseconds pause_of(const net::SseParser& parser) const;
  void session_ended();
  Error failure(ErrorCode code, std::string_view what) const;

  Loop& loop_;
  net::HttpClient& client_;
  HttpLinkSettings settings_;
  Listener* listener_ = nullptr;
  std::string authorization_;
  std::string session_;
  std::map<std::string, std::shared_ptr<Post>, std::less<>> posts_;  // by id; shared with their coroutines
  std::size_t loose_ = 0;                                            // replies and notifications on their way
  CancelSource stop_;
  std::string version_;  // of the session
  bool closed_ = false;
  TaskGroup tasks_;
};

// A header's value: as it is if that is safe, else `=?base64?...?=` (MCP 2026-07-28 "Value encoding").
std::string encode_header_value(std::string_view value);

}  // namespace llm::mcp
