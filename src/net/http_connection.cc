#include "net/http_connection.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fmt/compile.h>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::net {
namespace {

constexpr std::size_t kReadAhead = 64 * 1024;                // unread bytes kept before reading pauses
constexpr std::size_t kWriteSlice = 256 * 1024;              // what a client has to take within one write time-out
constexpr std::chrono::milliseconds kCancelledWrite{1'000};  // what it gets for it after cancel()
constexpr std::chrono::milliseconds kLingerQuiet{2'000};
constexpr std::chrono::milliseconds kLingerMost{10'000};

// RFC 9110 section 5.6.7, rebuilt once a second per thread.
std::string_view http_date() {
  thread_local std::time_t second = 0;
  thread_local std::array<char, 32> text{};
  thread_local std::size_t size = 0;
  const std::time_t now = std::time(nullptr);
  if (now != second) {
    std::tm fields{};
    gmtime_r(&now, &fields);
    size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &fields);
    second = now;
  }
  return {text.data(), size};
}

// The path and query of an absolute-form target (the policy has compared its authority with Host).
std::string origin_form(std::string_view target) {
  if (target.starts_with('/') || target == "*") return std::string(target);
  const auto rest = target.find_first_of("/?", target.find("://") + 3);
  if (rest == std::string_view::npos) return "/";
  return (target[rest] == '?' ? "/" : "") + std::string(target.substr(rest));
}

}  // namespace

std::string_view status_text(int status) {
  switch (status) {
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

Connection::Connection(HttpServer& server, Loop& loop, std::unique_ptr<Transport> transport, Peer peer)
    : server_(server),
      loop_(loop),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      parser_(Role::kServer, server.settings_.message),
      input_(std::make_unique<InputBuffer>(*transport_, loop.executor(),
                                           std::max(kReadAhead, server.settings_.message.max_header_bytes + 4096))),
      deadline_([this] { on_deadline(); }) {}

Task<void> Connection::run() {
  while (co_await read_head()) {
    if (!co_await serve_one()) break;
  }
  if (!upgraded_) co_await end();
}

Task<void> Connection::run_refusal(std::string_view reason) {
  co_await refuse(400, reason);
  co_await end();
}

Task<void> Connection::end() {
  if (!cut_ && !write_failed_) transport_->shutdown_write();
  if (unread_ && !write_failed_) co_await linger();
  deadline_.clear();
  transport_->close();
}

void Connection::stop_when_idle() {
  if (waiting_ == Waiting::kRequest) input_->interrupt();
}

void Connection::cancel() {
  cancelled_ = true;
  if (exchange_) exchange_->cancel_.cancel();
  if (upgraded_) return;
  if (waiting_ == Waiting::kWrite) transport_->close();  // the client does not read: it gets no grace
  input_->interrupt();
}

void Connection::wait_for(Waiting what) {
  waiting_ = what;
  if (what != Waiting::kNothing) timed_out_ = false;
  switch (what) {
    case Waiting::kNothing:
      deadline_.clear();
      break;
    case Waiting::kRequest:
      loop_.wheel().arm(deadline_, settings().idle_timeout);
      break;
    case Waiting::kHeader:
      loop_.wheel().arm(deadline_, settings().header_timeout);
      break;
    case Waiting::kBody:
      loop_.wheel().arm(deadline_, settings().body_timeout);
      break;
    case Waiting::kWrite:
      loop_.wheel().arm(deadline_,
                        cancelled_ ? std::min(kCancelledWrite, settings().write_timeout) : settings().write_timeout);
      break;
    case Waiting::kLinger:
      loop_.wheel().arm(deadline_, kLingerQuiet);
      break;
  }
}

void Connection::on_deadline() {
  timed_out_ = true;
  if (waiting_ == Waiting::kWrite) {
    transport_->close();
  } else {
    input_->interrupt();
  }
}

Task<bool> Connection::read_head() {
  parser_.reset();
  wait_for(input_->data().empty() ? Waiting::kRequest : Waiting::kHeader);
  while (true) {
    if (!input_->data().empty()) {
      if (waiting_ != Waiting::kHeader) wait_for(Waiting::kHeader);
      const auto used = parser_.feed(input_->data());
      if (!used) {
        co_await refuse(parser_.error_status(), used.error().message);
        co_return false;
      }
      input_->consume(*used);
      if (parser_.head_done()) {
        wait_for(Waiting::kNothing);
        co_return true;
      }
      if (input_->data().empty()) wait_for(Waiting::kRequest);  // it was the empty line before a request
    }
    if (cancelled_ || (server_.stopping() && waiting_ == Waiting::kRequest)) co_return false;
    const bool more = !input_->ended() && co_await input_->wait_more();
    if (more && !timed_out_) continue;
    if (timed_out_ && waiting_ == Waiting::kHeader) {
      co_await refuse(408, "the request's header did not arrive in time");
    }
    co_return false;
  }
}

Task<bool> Connection::serve_one() {
  target_ = origin_form(parser_.target());
  Exchange exchange(*this);
  exchange.close_after_ = !parser_.keep_alive() || server_.stopping();
  exchange_ = &exchange;
  input_->on_end([this] {
    if (exchange_) exchange_->cancel_.cancel();
  });
  const bool returned = co_await run_handler(exchange);
  if (!upgraded_) input_->on_end(nullptr);
  if (!exchange.started() && (!returned || !exchange.cancelled().cancelled())) {
    co_await exchange.respond(
        500, "application/json",
        R"({"error":{"message":"the request was not answered","type":"server_error","code":"internal","param":null}})");
  }
  exchange_ = nullptr;
  if (upgraded_) co_return false;
  // A stream that never ended is cut by closing, so that the client sees the truncation (RFC 9112 section 8).
  cut_ = !exchange.finished_;
  if (cut_ || write_failed_ || cancelled_) co_return false;
  // A body nobody read is not read now either: closing is the only framing-safe way on.
  if (!exchange.close_after_ && parser_.done() && !server_.stopping()) co_return true;
  unread_ = !parser_.done() || !input_->data().empty();
  co_return false;
}

// An exception is a bug in a handler; it ends this request, not the process.
Task<bool> Connection::run_handler(Exchange& exchange) {
  try {
    co_await server_.handler_(exchange);
    co_return true;
  } catch (...) {
    co_return false;
  }
}

// RFC 9112 section 9.6: closing over unread input resets the connection, and the answer on its way may be lost with it.
// So the sending side has ended first, and what still arrives is thrown away until the client closes, for a bounded
// time.
Task<void> Connection::linger() {
  const auto last = std::chrono::steady_clock::now() + kLingerMost;
  while (!cancelled_ && !input_->ended() && std::chrono::steady_clock::now() < last) {
    input_->consume(input_->data().size());
    wait_for(Waiting::kLinger);
    if (!co_await input_->wait_more() || timed_out_) co_return;
  }
}

std::string& Connection::start_head(int status) {
  out_.clear();
  fmt::format_to(std::back_inserter(out_), FMT_COMPILE("HTTP/1.1 {} {}\r\nDate: {}\r\n"), status, status_text(status),
                 http_date());
  return out_;
}

Task<void> Connection::refuse(int status, std::string_view reason) {
  unread_ = true;
  std::string body = R"({"error":{"message":")";
  for (const char c : reason) {
    if (c == '"' || c == '\\') body.push_back('\\');
    body.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  body += R"(","type":"invalid_request_error","code":")";
  body += status == 408 ? "request_timeout" : status == 413 ? "payload_too_large" : "malformed";
  body += R"(","param":null}})";
  fmt::format_to(std::back_inserter(start_head(status)),
                 "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.size());
  const std::array<std::string_view, 2> pieces{out_, body};
  (void)co_await write(pieces);
}

Task<Result<void>> Connection::write_once(std::span<const std::string_view> pieces) {
  wait_for(Waiting::kWrite);
  auto written = co_await transport_->write(pieces);
  wait_for(Waiting::kNothing);
  if (!written) write_broke();
  co_return written;
}

void Connection::write_broke() {
  write_failed_ = true;
  if (exchange_) exchange_->cancel_.cancel();
}

std::optional<Result<void>> Connection::write_now(std::span<std::string_view>& pieces) {
  if (write_failed_ || upgraded_) return fail(ErrorCode::kCancelled, "the client is gone");
  const auto sent = transport_->try_write(pieces);
  if (!sent) {
    write_broke();
    return fail(sent.error());
  }
  cut_front(pieces, *sent);
  if (!pieces.empty()) return std::nullopt;
  return Result<void>();
}

Task<Result<void>> Connection::write(std::span<const std::string_view> pieces) {
  if (write_failed_ || upgraded_) co_return fail(ErrorCode::kCancelled, "the client is gone");
  std::size_t total = 0;
  for (const auto piece : pieces) total += piece.size();
  if (total <= kWriteSlice) co_return co_await write_once(pieces);
  // A big answer goes out in slices, each with a time-out of its own: a slow client is not a stuck one.
  for (auto piece : pieces) {
    while (!piece.empty()) {
      const std::array<std::string_view, 1> slice{piece.substr(0, kWriteSlice)};
      if (auto written = co_await write_once(slice); !written) co_return written;
      piece.remove_prefix(slice[0].size());
    }
  }
  co_return Result<void>();
}

}  // namespace llm::net
