#include "mcp/client/http_link.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "async/watch.h"
#include "base/strings.h"
#include "net/base64.h"

namespace llm::mcp {
namespace {

constexpr std::size_t kMaxLoose = 64;                    // replies and notifications at a time; more are dropped
constexpr std::size_t kMaxRefusalBytes = 64 * 1024;      // of an error's body
constexpr int kMaxCuts = 5;                              // of one answer's stream in a row, without an event between
constexpr std::size_t kMaxSessionBytes = 1024;           // of a session id
constexpr std::chrono::milliseconds kAfterAnswer{1000};  // for a stream to end by itself, so that it can be reused
constexpr std::string_view kBase64Begin = "=?base64?";

bool is_type(const net::ClientResponse& response, std::string_view type) {
  const std::string_view given = response.headers().get("content-type").value_or("");
  return iequals(trim(given.substr(0, given.find(';'))), type);
}

Task<bool> pause(std::chrono::milliseconds duration, CancelToken cancel) {
  Watch<int> never;
  co_await never.changed(never.get().version, cancel, duration);
  co_return !cancel.cancelled();
}

// Visible ASCII, as MCP demands of a session id; nothing else is repeated to the server.
bool valid_session(std::string_view id) {
  return !id.empty() && id.size() <= kMaxSessionBytes &&
         std::ranges::all_of(id, [](char c) { return c > 0x20 && c < 0x7F; });
}

}  // namespace

std::string encode_header_value(std::string_view value) {
  const bool plain = std::ranges::all_of(value, [](char c) { return c >= 0x20 && c < 0x7F; }) &&
                     trim(value).size() == value.size() && !value.starts_with(kBase64Begin);
  if (plain) return std::string(value);
  return fmt::format("{}{}?=", kBase64Begin, base64_encode(value));
}

Result<HttpAddress> parse_http_address(std::string_view url) {
  const auto question = url.find('?');
  auto endpoint = net::parse_endpoint(url.substr(0, question));
  if (!endpoint) return fail(std::move(endpoint.error()));
  HttpAddress address{.endpoint = std::move(*endpoint), .target = {}};
  address.target = std::exchange(address.endpoint.base_path, {});
  const std::string_view path = url.substr(0, question);
  if (path.ends_with('/')) {
    address.target += '/';  // parse_endpoint cuts it, but to some servers it matters
  } else if (address.target.empty()) {
    address.target = "/mcp";
  }
  if (question != std::string_view::npos) {
    const std::string_view query = url.substr(question);
    if (std::ranges::any_of(query, [](char c) { return c <= 0x20 || c >= 0x7F || c == '#'; })) {
      return fail(ErrorCode::kInvalidArgument, "the URL's query holds a space, a '#' or a byte that is not ASCII");
    }
    address.target += query;
  }
  return address;
}

struct HttpLink::Post {
  Outgoing message;
  CancelSource cancel = {};
  bool answered = false;
  std::string session = {};  // it was sent with
  Deadline after_answer{[this] { cancel.cancel(); }};
};

HttpLink::HttpLink(Loop& loop, net::HttpClient& client, HttpLinkSettings settings)
    : loop_(loop), client_(client), settings_(std::move(settings)), tasks_(loop.executor()) {
  if (!settings_.token.empty()) authorization_ = "Bearer " + settings_.token;
}

Result<void> HttpLink::start(Listener& listener) {
  listener_ = &listener;
  return {};
}

void HttpLink::send(Outgoing message) {
  if (stop_.cancelled()) return;
  if (!message.modern) version_ = message.version;
  auto post = std::make_shared<Post>(std::move(message));
  if (post->message.id) {
    posts_.emplace(post->message.id->json, post);
  } else {
    if (loose_ >= kMaxLoose) return;  // a server that asks faster than it takes the answers
    ++loose_;
  }
  tasks_.spawn(run(this, std::move(post)));
}

void HttpLink::done(const RequestId& id) {
  const auto found = posts_.find(id.json);
  if (found == posts_.end() || std::exchange(found->second->answered, true)) return;
  loop_.wheel().arm(found->second->after_answer, kAfterAnswer);
}

void HttpLink::drop(const RequestId& id) {
  const auto found = posts_.find(id.json);
  if (found == posts_.end()) return;
  const auto post = found->second;
  post->answered = true;
  post->cancel.cancel();
}

Task<void> HttpLink::run(HttpLink* self, std::shared_ptr<Post> post) {
  auto outcome = co_await exchange(self, post.get());
  post->after_answer.clear();
  if (!post->message.id) {
    --self->loose_;
    co_return;
  }
  self->posts_.erase(post->message.id->json);
  if (post->answered || self->stop_.cancelled() || self->closed_) co_return;
  if (outcome) outcome = fail(self->failure(ErrorCode::kUnavailable, "ended its answer without answering"));
  self->listener_->on_lost(*post->message.id, std::move(outcome.error()));
}

Task<Result<void>> HttpLink::exchange(HttpLink* self, Post* post) {
  const Outgoing& message = post->message;
  post->session = self->session_;
  HeaderList headers = self->common_headers(message.version, post->session);
  headers.emplace_back("Accept", "application/json, text/event-stream");
  const std::string name = encode_header_value(message.name);
  if (message.modern) {
    if (!message.method.empty()) headers.emplace_back("Mcp-Method", message.method);
    if (!name.empty()) headers.emplace_back("Mcp-Name", name);
    for (const auto& [key, value] : message.headers) headers.emplace_back(key, value);
  }
  auto response = co_await self->client_.send(self->settings_.address.endpoint,
                                              {.method = "POST",
                                               .target = self->settings_.address.target,
                                               .content_type = "application/json",
                                               .body = message.text,
                                               .headers = headers,
                                               .repeatable = message.method != "tools/call"},
                                              post->cancel.token());
  if (!response) {
    co_return fail(self->failure(
        response.error().code == ErrorCode::kInvalidArgument ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
        fmt::format("cannot be reached: {}", response.error().message)));
  }
  if (response->status() < 200 || response->status() > 299) co_return co_await refused(self, &*response, post);
  if (message.method == "initialize") {
    const std::string_view session = response->headers().get("mcp-session-id").value_or("");
    if (valid_session(session)) self->session_ = session;
  }
  if (!message.id) co_return Result<void>();  // 202; a body has nothing to say
  if (!is_type(*response, "text/event-stream")) co_return co_await read_json(self, &*response, post);
  net::SseParser parser({.max_event_bytes = self->settings_.max_message_bytes});
  auto read = co_await read_events(self, &*response, &parser, &*message.id);
  if (post->answered || post->cancel.cancelled()) co_return Result<void>();
  if (message.modern || parser.last_event_id().empty()) co_return read;
  {
    const auto closed = std::move(*response);
  }
  co_return co_await take_up(self, post, &parser);
}

// The server ended or lost the stream before the answer: the session still has it (2025-11-25 "Resumability").
Task<Result<void>> HttpLink::take_up(HttpLink* self, Post* post, net::SseParser* parser) {
  int cuts = 0;
  while (cuts < kMaxCuts) {
    if (!co_await pause(self->pause_of(*parser), post->cancel.token())) break;
    const std::string last(parser->last_event_id());
    parser->reset();
    HeaderList headers = self->common_headers(post->message.version, post->session);
    headers.emplace_back("Accept", "text/event-stream");
    headers.emplace_back("Last-Event-ID", last);
    auto response = co_await self->client_.send(
        self->settings_.address.endpoint,
        {.method = "GET", .target = self->settings_.address.target, .headers = headers}, post->cancel.token());
    ++cuts;
    if (!response) continue;
    if (response->status() != 200 || !is_type(*response, "text/event-stream")) {
      co_return co_await refused(self, &*response, post);
    }
    co_await read_events(self, &*response, parser, &*post->message.id);
    if (post->answered) co_return Result<void>();
    if (parser->last_event_id() != last) cuts = 0;
  }
  co_return fail(self->failure(ErrorCode::kUnavailable, "cut its answer off"));
}

Task<Result<void>> HttpLink::read_events(HttpLink* self, net::ClientResponse* response, net::SseParser* parser,
                                         const RequestId* under) {
  while (true) {
    const auto piece = co_await response->read();
    if (self->stop_.cancelled()) co_return Result<void>();
    if (!piece) co_return fail(self->failure(ErrorCode::kUnavailable, "cut its answer off"));
    if (piece->empty()) co_return Result<void>();
    const auto fed = parser->feed(*piece, [&](const net::SseEvent& event) {
      const bool message = event.event.empty() || event.event == "message";
      if (message && !event.data.empty() && !self->closed_) self->listener_->on_message(event.data, under);
    });
    if (!fed) {
      co_return fail(self->failure(
          ErrorCode::kPayloadTooLarge,
          fmt::format("sent a message of more than {}", format_bytes(self->settings_.max_message_bytes))));
    }
  }
}

Task<Result<void>> HttpLink::read_json(HttpLink* self, net::ClientResponse* response, Post* post) {
  const int status = response->status();
  const bool json = is_type(*response, "application/json");
  auto body = co_await response->read_all(self->settings_.max_message_bytes);
  if (self->stop_.cancelled()) co_return Result<void>();
  if (!body) {
    const bool large = body.error().code == ErrorCode::kPayloadTooLarge;
    co_return fail(self->failure(large ? ErrorCode::kPayloadTooLarge : ErrorCode::kUnavailable,
                                 fmt::format("answered badly: {}", body.error().message)));
  }
  if (!json || trim(*body).empty()) {
    co_return fail(self->failure(ErrorCode::kEngineFailed,
                                 fmt::format("answered with HTTP {} but no JSON: is this URL an MCP endpoint?", status))
                       .with("http_status", status));
  }
  self->listener_->on_message(*body, &*post->message.id);
  co_return Result<void>();
}

Task<Result<void>> HttpLink::refused(HttpLink* self, net::ClientResponse* response, Post* post) {
  const int status = response->status();
  const std::string location(response->headers().get("location").value_or(""));
  auto body = co_await response->read_all(kMaxRefusalBytes);
  if (self->stop_.cancelled()) co_return Result<void>();
  const bool in_session = !post->session.empty() && post->session == self->session_;
  if (status == 404 && in_session) {
    self->session_ended();
    co_return fail(self->failure(ErrorCode::kUnavailable, "ended the session"));
  }
  if (status == 401 || status == 403) {
    co_return fail(self->failure(status == 401 ? ErrorCode::kUnauthenticated : ErrorCode::kPermissionDenied,
                                 self->authorization_.empty() ? fmt::format("wants a token (HTTP {})", status)
                                                              : fmt::format("refuses our token (HTTP {})", status))
                       .with("http_status", status));
  }
  if (status >= 300 && status < 400) {
    co_return fail(
        self->failure(ErrorCode::kUnavailable, fmt::format("redirects to {}; write that address into the configuration",
                                                           location.substr(0, 200)))
            .with("http_status", status));
  }
  if (body && post->message.id) {
    // Refusals of a single request are JSON-RPC errors; everything else that answers 4xx is no MCP server.
    const auto decoded = decode_line(*body);
    const auto* message = std::get_if<Message>(&decoded);
    if (message != nullptr && std::holds_alternative<Response>(*message)) {
      self->listener_->on_message(*body, &*post->message.id);
      co_return Result<void>();
    }
  }
  co_return fail(self->failure(status >= 500 || status == 429 ? ErrorCode::kUnavailable : ErrorCode::kEngineFailed,
                               fmt::format("refused the request with HTTP {}", status))
                     .with("http_status", status));
}

void HttpLink::listen(const std::string& version) {
  if (!stop_.cancelled()) tasks_.spawn(run_stream(this, version));
}

Task<void> HttpLink::run_stream(HttpLink* self, std::string version) {
  net::SseParser parser({.max_event_bytes = self->settings_.max_message_bytes});
  while (!self->stop_.cancelled() && !self->closed_) {
    const std::string last(parser.last_event_id());
    parser.reset();
    const std::string session = self->session_;
    HeaderList headers = self->common_headers(version, session);
    headers.emplace_back("Accept", "text/event-stream");
    if (!last.empty()) headers.emplace_back("Last-Event-ID", last);
    auto response = co_await self->client_.send(
        self->settings_.address.endpoint,
        {.method = "GET", .target = self->settings_.address.target, .headers = headers}, self->stop_.token());
    if (response) {
      // 405: the server has no such stream. Other refusals will not get better either.
      if (response->status() < 500 && (response->status() != 200 || !is_type(*response, "text/event-stream"))) {
        if (response->status() == 404 && !self->session_.empty()) self->session_ended();
        co_return;
      }
      if (response->status() == 200) co_await read_events(self, &*response, &parser, nullptr);
      const auto closed = std::move(*response);
    }
    if (!co_await pause(self->pause_of(parser), self->stop_.token())) co_return;
  }
}

void HttpLink::session_ended() {
  if (std::exchange(closed_, true) || stop_.cancelled()) return;
  session_.clear();
  listener_->on_closed(failure(ErrorCode::kUnavailable, "ended the session"));
}

Task<void> HttpLink::stop() {
  const std::string session = closed_ ? std::string() : session_;
  stop_.cancel();
  for (const auto& post : std::map(posts_)) post.second->cancel.cancel();
  co_await tasks_.join();
  if (session.empty()) co_return;
  HeaderList headers = common_headers(version_, session);
  co_await client_.send(settings_.address.endpoint,
                        {.method = "DELETE",
                         .target = settings_.address.target,
                         .headers = headers,
                         .head_timeout = settings_.goodbye,
                         .stall_timeout = settings_.goodbye},
                        {});
}

HttpLink::HeaderList HttpLink::common_headers(std::string_view version, std::string_view session) const {
  HeaderList headers(settings_.headers.begin(), settings_.headers.end());
  if (!authorization_.empty()) headers.emplace_back("Authorization", authorization_);
  if (!version.empty()) headers.emplace_back("MCP-Protocol-Version", version);
  if (!session.empty()) headers.emplace_back("Mcp-Session-Id", session);
  return headers;
}

std::chrono::milliseconds HttpLink::pause_of(const net::SseParser& parser) const {
  const auto told = parser.retry_ms();
  if (!told) return settings_.retry;
  return std::min(std::chrono::milliseconds(*told), settings_.longest_retry);
}

Error HttpLink::failure(ErrorCode code, std::string_view what) const {
  return {code, fmt::format("{} {}", settings_.label, what), {}, {}, 0};
}

}  // namespace llm::mcp
