#include "net/client_connection.h"

#include <algorithm>
#include <array>
#include <fmt/compile.h>
#include <fmt/format.h>

namespace llm::net {
namespace {

constexpr std::size_t kReadAhead = 256 * 1024;  // unread answer bytes before the engine feels back-pressure
constexpr int kMostInterim = 16;                // 1xx answers before the real one

std::string request_head(const ClientRequest& request, const Endpoint& endpoint) {
  std::string head;
  head.reserve(512);
  fmt::format_to(std::back_inserter(head), FMT_COMPILE("{} {}{} HTTP/1.1\r\nHost: {}\r\n"), request.method,
                 endpoint.base_path, request.target, endpoint.authority());
  if (!request.content_type.empty()) head.append("Content-Type: ").append(request.content_type).append("\r\n");
  for (const auto& [name, value] : request.headers) head.append(name).append(": ").append(value).append("\r\n");
  // RFC 9110 section 8.6: methods that expect a body announce an empty one.
  const bool expects = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (!request.body.empty() || expects) {
    fmt::format_to(std::back_inserter(head), FMT_COMPILE("Content-Length: {}\r\n"), request.body.size());
  }
  head.append("\r\n");
  return head;
}

// What a caller repeats from elsewhere must not start a line of its own.
Result<void> check_request_parts(const ClientRequest& request) {
  // Counting instead of stopping at the first lets the compiler take many bytes at once.
  const auto visible = [](std::string_view text) {
    return std::ranges::count_if(text, [](unsigned char c) { return c <= 0x20 || c >= 0x7F; }) == 0;
  };
  const auto printable = [](std::string_view text) {
    return std::ranges::count_if(text, [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; }) == 0;
  };
  const auto wrong = [](std::string_view what) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("the request to the engine has a malformed {}", what));
  };
  if (request.method.empty() || !visible(request.method)) return wrong("method");
  if (!visible(request.target)) return wrong("target");
  if (!printable(request.content_type)) return wrong("content type");
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || !visible(name) || name.find(':') != std::string_view::npos) return wrong("header name");
    if (!printable(value)) return wrong(fmt::format("header {}", name));
  }
  return {};
}

}  // namespace

ClientConnection::ClientConnection(Loop& loop, std::unique_ptr<Transport> transport, const MessageLimits& limits,
                                   std::string key)
    : loop_(loop),
      key_(std::move(key)),
      transport_(std::move(transport)),
      input_(*transport_, loop.executor(), std::max(kReadAhead, limits.max_header_bytes + 4096)),
      parser_(Role::kClient, limits),
      deadline_([this] {
        timed_out_ = true;
        if (writing_) transport_->close();
        input_.interrupt();
      }) {}

void ClientConnection::arm(std::chrono::milliseconds timeout) {
  timed_out_ = false;
  if (timeout.count() > 0) {
    loop_.wheel().arm(deadline_, timeout);
  } else {
    deadline_.clear();
  }
}

// Why a wait for input ended, if not because something came.
Result<void> ClientConnection::end_wait(const CancelToken& cancel) const {
  if (cancel.cancelled()) return fail(ErrorCode::kCancelled, "the request was cancelled");
  if (timed_out_) return fail(ErrorCode::kEngineTimeout, "the engine did not answer in time");
  return {};
}

// Parses what is buffered. Upstream malformation is the engine's failure, not our client's.
Result<void> ClientConnection::feed() {
  while (!input_.data().empty() && !parser_.done()) {
    const auto used = parser_.feed(input_.data());
    if (!used) return fail(ErrorCode::kEngineFailed, "the engine's answer is malformed: " + used.error().message);
    if (*used == 0) break;
    answered_ = true;
    input_.consume(*used);
    // RFC 9110 section 15.2: interim answers precede the real one. 101 was not asked for.
    if (!parser_.done() || parser_.status() / 100 != 1) continue;
    if (parser_.status() == 101 || ++interim_ > kMostInterim) {
      return fail(ErrorCode::kEngineFailed, fmt::format("the engine answers with status {}", parser_.status()));
    }
    parser_.reset(head_request_);
  }
  return {};
}

Task<Result<void>> ClientConnection::write(std::string head, std::string_view body, const CancelToken& cancel) {
  // A peer that takes no bytes must not hold the caller past a cancel.
  const auto registration = cancel.on_cancel([this] { transport_->close(); });
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
  const std::array<std::string_view, 2> pieces{head, body};
  writing_ = true;
  co_await after_what_is_ready(loop_.executor());
  const auto written = co_await transport_->write(pieces);
  writing_ = false;
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the request was cancelled");
  if (timed_out_) co_return fail(ErrorCode::kEngineTimeout, "the engine did not take the request in time");
  // A server may refuse before it has read everything: its answer, if one comes, counts more than the failed write.
  if (!written && input_.data().empty() && input_.ended()) {
    co_return fail(ErrorCode::kEngineFailed, "the engine closed the connection");
  }
  co_return Result<void>();
}

Task<Result<void>> ClientConnection::exchange(const ClientRequest& request, const Endpoint& endpoint,
                                              CancelToken cancel) {
  if (auto checked = check_request_parts(request); !checked) co_return checked;
  ++requests_;
  answered_ = false;
  interim_ = 0;
  head_request_ = request.method == "HEAD";
  parser_.reset(head_request_);
  arm(request.head_timeout);
  auto outcome = co_await write(request_head(request, endpoint), request.body, cancel);
  while (outcome) {
    outcome = feed();
    if (!outcome || parser_.head_done()) break;
    if (input_.ended()) {
      outcome =
          fail(ErrorCode::kEngineFailed, silent() ? "the engine closed the connection without an answer"
                                                  : "the engine closed the connection in the middle of its answer");
      break;
    }
    const auto registration = cancel.on_cancel([this] { input_.interrupt(); });
    if (!cancel.cancelled()) co_await input_.wait_more();
    outcome = end_wait(cancel);
  }
  deadline_.clear();
  co_return outcome;
}

Task<Result<std::string_view>> ClientConnection::read(std::string& chunk, const CancelToken& cancel,
                                                      std::chrono::milliseconds stall) {
  chunk.clear();
  while (true) {
    if (auto fed = feed(); !fed) co_return fail(fed.error());
    if (!parser_.body().empty()) chunk.swap(parser_.body());
    if (!chunk.empty() || parser_.done()) co_return std::string_view(chunk);
    if (input_.ended()) {
      // A reset is never the end of a body, not even of one that lasts until the connection closes.
      if (input_.failed() || !parser_.feed_eof()) {
        co_return fail(ErrorCode::kEngineFailed, "the engine closed the connection in the middle of its answer");
      }
      continue;
    }
    arm(stall);
    const auto registration = cancel.on_cancel([this] { input_.interrupt(); });
    if (!cancel.cancelled()) co_await input_.wait_more();
    deadline_.clear();
    if (auto ended = end_wait(cancel); !ended) co_return fail(ended.error());
  }
}

std::unique_ptr<ClientConnection> ClientPool::take(const std::string& key) {
  const auto pool = idle_.find(key);
  if (pool == idle_.end()) return nullptr;
  std::unique_ptr<ClientConnection> connection;
  while (!connection && !pool->second.empty()) {
    connection = std::move(pool->second.back().connection);
    pool->second.pop_back();
    connection->input().on_end(nullptr);
    if (!connection->reusable()) connection.reset();
  }
  if (pool->second.empty()) idle_.erase(pool);
  return connection;
}

void ClientPool::put(std::unique_ptr<ClientConnection> connection) {
  if (closed_ || settings_.idle_per_endpoint == 0 || !connection->reusable()) return;
  auto& pool = idle_[connection->key()];
  if (pool.size() >= settings_.idle_per_endpoint) pool.pop_front();
  // Both callbacks belong to what the pool owns, and go with it. (Two pointers fit into the function object itself.)
  const auto drop = [this, address = connection.get()] { drop_later(address); };
  connection->input().on_end(drop);
  auto& idle = pool.emplace_back(std::move(connection), drop);
  loop_.wheel().arm(idle.expiry, settings_.idle_timeout);
}

// From the loop, not from inside the callbacks of the object that goes. Should its place have been taken by another by
// then, a good idle connection goes instead, which costs a reconnect.
void ClientPool::drop_later(const ClientConnection* connection) {
  loop_.post([weak = weak_from_this(), connection] {
    const auto self = weak.lock();
    if (!self) return;
    for (auto& [key, pool] : self->idle_) {
      std::erase_if(pool, [&](const Idle& idle) { return idle.connection.get() == connection; });
    }
    std::erase_if(self->idle_, [](const auto& pool) { return pool.second.empty(); });
  });
}

void ClientPool::close() {
  closed_ = true;
  idle_.clear();
}

std::size_t ClientPool::size() const {
  std::size_t total = 0;
  for (const auto& [key, pool] : idle_) total += pool.size();
  return total;
}

}  // namespace llm::net
