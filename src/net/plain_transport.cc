#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <vector>

#include "net/transport.h"

namespace llm::net {
namespace {

Error socket_error(int errno_value, std::string_view what) {
  Error error = errno_error(errno_value, what);
  error.code = ErrorCode::kUnavailable;
  return error;
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {
    boost::system::error_code ignored;
    socket_.non_blocking(true, ignored);
    const int on = 1;  // fails harmlessly on Unix sockets; Nagle with delayed acknowledgements costs 40 ms
    setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  void async_readable(std::function<void(Result<void>)> handler) override {
    socket_.async_wait(Socket::wait_read, [handler = std::move(handler)](const boost::system::error_code& error) {
      if (error == boost::asio::error::operation_aborted) {
        handler(fail(ErrorCode::kCancelled, "connection closed on this side"));
      } else if (error) {
        handler(fail(ErrorCode::kUnavailable, "connection failed: " + error.message()));
      } else {
        handler({});
      }
    });
  }

  Result<std::optional<std::size_t>> try_read(std::span<char> buffer) override {
    while (true) {
      const ssize_t n = recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n >= 0) return std::optional(static_cast<std::size_t>(n));
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return std::optional<std::size_t>();
      return fail(socket_error(errno, "reading from the connection"));
    }
  }

  Result<std::size_t> try_write(std::span<const std::string_view> pieces) override {
    std::array<iovec, 16> vectors;
    std::size_t count = 0;
    for (std::size_t i = 0; i < pieces.size() && count < vectors.size(); ++i) {
      if (!pieces[i].empty()) vectors[count++] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    }
    if (count == 0) return std::size_t{0};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    while (true) {
      const ssize_t sent = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) return static_cast<std::size_t>(sent);
      if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
      if (errno != EINTR) return fail(socket_error(errno, "writing to the connection"));
    }
  }

  Task<Result<void>> write(std::span<const std::string_view> pieces) override {
    std::vector<std::string_view> copies(pieces.begin(), pieces.end());
    std::span<std::string_view> rest(copies);
    cut_front(rest, 0);
    while (!rest.empty()) {
      const auto sent = try_write(rest);
      if (!sent) co_return fail(sent.error());
      cut_front(rest, *sent);
      if (*sent > 0) continue;
      const auto waited = co_await socket_.async_wait(Socket::wait_write, use_tuple);
      if (std::get<0>(waited)) co_return fail(ErrorCode::kCancelled, "connection closed while writing");
    }
    co_return Result<void>();
  }

  void shutdown_write() override {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

}  // namespace

void cut_front(std::span<std::string_view>& pieces, std::size_t bytes) {
  while (!pieces.empty() && bytes >= pieces.front().size()) {
    bytes -= pieces.front().size();
    pieces = pieces.subspan(1);
  }
  if (!pieces.empty()) pieces.front().remove_prefix(bytes);
}

std::unique_ptr<Transport> make_plain_transport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

Result<std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>>> make_pipe(Executor executor) {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()) != 0) {
    return fail(errno_error(errno, "socketpair"));
  }
  const boost::asio::generic::stream_protocol protocol(AF_UNIX, 0);
  return std::pair(make_plain_transport(Socket(executor, protocol, fds[0])),
                   make_plain_transport(Socket(executor, protocol, fds[1])));
}

}  // namespace llm::net
