#include <algorithm>
#include <array>
#include <fmt/compile.h>
#include <fmt/format.h>

#include "net/http_connection.h"

namespace llm::net {
namespace {

// Names and values come from handlers, which may repeat what a client sent: a line break would end the field.
void append_field(std::string& out, std::string_view name, std::string_view value) {
  const auto append = [&out](std::string_view text) {
    const std::size_t begin = out.size();
    out.append(text);
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    if (std::ranges::count_if(text, control) > 0) std::replace_if(out.begin() + begin, out.end(), control, ' ');
  };
  append(name);
  out.append(": ");
  append(value);
  out.append("\r\n");
}

std::unexpected<Error> answered_twice() {
  return fail(ErrorCode::kInternal, "the request has been answered already");
}

}  // namespace

Exchange::Exchange(Connection& connection) : connection_(connection) {}

std::string_view Exchange::method() const {
  return connection_.parser_.method();
}
std::string_view Exchange::target() const {
  return connection_.target_;
}
const Headers& Exchange::headers() const {
  return connection_.parser_.headers();
}
const Peer& Exchange::peer() const {
  return connection_.peer_;
}
Loop& Exchange::loop() const {
  return connection_.loop_;
}
std::string& Exchange::body() {
  return connection_.parser_.body();
}
CancelToken Exchange::cancelled() const {
  return cancel_.token();
}
Headers& Exchange::response_headers() {
  return response_headers_;
}

void Exchange::release_memory() {
  std::string().swap(body());
  connection_.input_->release();
}

void Exchange::abort() {
  connection_.cancel();
}

Task<Result<void>> Exchange::read_body() {
  auto& connection = connection_;
  auto& parser = connection.parser_;
  auto& input = *connection.input_;
  if (parser.expects_continue() && !parser.done() && input.data().empty() && body().empty()) {
    const std::array<std::string_view, 1> pieces{"HTTP/1.1 100 Continue\r\n\r\n"};
    if (auto sent = co_await connection.write(pieces); !sent) co_return sent;
  }
  Result<void> outcome;
  while (outcome && !parser.done()) {
    if (!input.data().empty()) {
      const auto used = parser.feed(input.data());
      if (used) {
        input.consume(*used);
      } else {
        outcome = fail(used.error());
      }
      continue;
    }
    connection.wait_for(Connection::Waiting::kBody);
    if (!connection.cancelled_ && !input.ended() && co_await input.wait_more()) continue;
    if (connection.timed_out_) {
      outcome = fail(ErrorCode::kTimeout, "the request's body did not arrive in time");
    } else {
      outcome = fail(ErrorCode::kCancelled, "the client went away while sending its request");
      cancel_.cancel();
    }
  }
  connection.wait_for(Connection::Waiting::kNothing);
  if (!outcome) close_after_ = true;
  co_return outcome;
}

std::string& Exchange::head(int status, std::string_view content_type) {
  status_ = status;
  bodiless_ = method() == "HEAD" || status == 204 || status == 304;
  if (!connection_.parser_.done() || connection_.server_.stopping()) close_after_ = true;
  auto& out = connection_.start_head(status);
  if (!content_type.empty()) append_field(out, "Content-Type", content_type);
  for (std::size_t i = 0; i < response_headers_.size(); ++i) {
    const auto field = response_headers_.at(i);
    append_field(out, field.name, field.value);
  }
  out.append(fixed_fields);
  if (close_after_) {
    out.append("Connection: close\r\n");
  } else if (connection_.parser_.version() == 10) {
    out.append("Connection: keep-alive\r\n");
  }
  return out;
}

Task<Result<void>> Exchange::respond(int status, std::string_view content_type, std::string_view body) {
  if (started()) co_return answered_twice();
  auto& out = head(status, content_type);
  if (status != 204 && status != 304) {
    fmt::format_to(std::back_inserter(out), FMT_COMPILE("Content-Length: {}\r\n"), body.size());
  }
  out.append("\r\n");
  if (bodiless_) body = {};
  bytes_sent_ = body.size();
  std::array<std::string_view, 2> pieces{out, body};
  std::span<std::string_view> rest(pieces);
  co_await after_what_is_ready(connection_.loop_.executor());
  auto now = connection_.write_now(rest);
  auto written = now ? std::move(*now) : co_await connection_.write(rest);
  finished_ = written.has_value();
  co_return written;
}

Task<Result<void>> Exchange::begin_stream(int status, std::string_view content_type, std::string_view first) {
  if (started()) co_return answered_twice();
  chunked_ = connection_.parser_.version() == 11;
  if (!chunked_) close_after_ = true;  // HTTP/1.0 knows no chunks: the end of the connection ends the body
  auto& out = head(status, content_type);
  if (bodiless_ && method() != "HEAD") chunked_ = false;  // 204 and 304 have no framing (RFC 9112 section 6.1)
  if (chunked_) out.append("Transfer-Encoding: chunked\r\n");
  out.append("\r\n");
  co_return co_await send(out, first, {});
}

Task<Result<void>> Exchange::write(std::string_view data) {
  return send({}, data, {});
}

Task<Result<void>> Exchange::end_stream(std::string_view last) {
  if (!started() || finished_) co_return fail(ErrorCode::kInternal, "no answer is being streamed");
  auto written = co_await send({}, last, chunked_ && !bodiless_ ? "0\r\n\r\n" : std::string_view());
  finished_ = written.has_value() && !connection_.write_failed_;
  co_return written;
}

// One write of bytes that are framed already, data that becomes a chunk, and more framed bytes.
Task<Result<void>> Exchange::send(std::string_view before, std::string_view data, std::string_view after) {
  if (!started() || finished_) co_return fail(ErrorCode::kInternal, "no answer is being streamed");
  if (bodiless_) data = {};
  bytes_sent_ += data.size();
  std::array<char, 20> size{};
  std::array<std::string_view, 5> pieces{before, {}, data, {}, after};
  if (chunked_ && !data.empty()) {
    const auto end = fmt::format_to(size.begin(), FMT_COMPILE("{:x}\r\n"), data.size());
    pieces[1] = std::string_view(size.data(), static_cast<std::size_t>(end - size.begin()));
    pieces[3] = "\r\n";
  }
  std::span<std::string_view> rest(pieces);
  cut_front(rest, 0);
  if (rest.empty()) co_return Result<void>();
  if (auto now = connection_.write_now(rest)) co_return std::move(*now);
  co_return co_await connection_.write(rest);
}

Task<Result<Upgraded>> Exchange::upgrade(std::string_view protocol) {
  auto& connection = connection_;
  if (started()) co_return fail(answered_twice().error());
  if (!connection.input_->data().empty() || !connection.parser_.done()) {
    close_after_ = true;
    co_return fail(ErrorCode::kMalformed, "bytes were sent before the upgrade was accepted");
  }
  response_headers_.set("Upgrade", protocol);
  response_headers_.set("Connection", "Upgrade");
  auto& out = connection.out_;
  status_ = 101;
  out = "HTTP/1.1 101 Switching Protocols\r\n";
  for (std::size_t i = 0; i < response_headers_.size(); ++i) {
    const auto field = response_headers_.at(i);
    append_field(out, field.name, field.value);
  }
  out.append(fixed_fields).append("\r\n");
  const std::array<std::string_view, 1> pieces{out};
  if (auto written = co_await connection.write(pieces); !written) co_return fail(written.error());
  finished_ = true;
  connection.upgraded_ = true;
  connection.input_->on_end(nullptr);
  co_return Upgraded{std::move(connection.transport_), std::move(connection.input_)};
}

}  // namespace llm::net
