#pragma once

#include <array>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "async/loop.h"
#include "net/input_buffer.h"
#include "net/transport.h"

namespace llm::net {

// For tests: the other end of a connection, which says what bytes it likes and looks at those it gets.
class RawPeer {
 public:
  RawPeer(Loop& loop, std::unique_ptr<Transport> transport) : loop_(&loop), transport_(std::move(transport)) {}

  Task<bool> send(std::string bytes) {
    const std::array<std::string_view, 1> pieces{bytes};
    const auto sent = co_await transport_->write(pieces);
    co_return sent.has_value();
  }
  // What comes until `mark` has come (with it) or the stream ends.
  Task<std::string> read_until(std::string mark) {
    while (true) {
      const auto at = input().data().find(mark);
      if (at != std::string_view::npos) co_return take(at + mark.size());
      if (!co_await input().wait_more() && input().ended()) co_return take(input().data().size());
    }
  }
  Task<std::string> read_head() { return read_until("\r\n\r\n"); }
  Task<std::string> read_bytes(std::size_t count) {
    while (input().data().size() < count && !input().ended()) co_await input().wait_more();
    co_return take(std::min(count, input().data().size()));
  }
  // Everything until the end of the stream.
  Task<std::string> read_to_end() {
    std::string all;
    while (true) {
      all += take(input().data().size());
      if (input().ended()) co_return all;
      co_await input().wait_more();
    }
  }
  bool ended() { return input().ended(); }
  void shutdown_write() { transport_->shutdown_write(); }
  void close() { transport_->close(); }
  Transport& transport() { return *transport_; }

 private:
  // Reading starts with the first wish to read: until then this is a peer that takes nothing.
  InputBuffer& input() {
    if (!input_) input_ = std::make_unique<InputBuffer>(*transport_, loop_->executor(), 64 * 1024 * 1024);
    return *input_;
  }
  std::string take(std::size_t count) {
    std::string bytes(input().data().substr(0, count));
    input().consume(count);
    return bytes;
  }

  Loop* loop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<InputBuffer> input_;
};

// For tests: accepts the connections of a listening socket one by one.
class RawListener {
 public:
  RawListener(Loop& loop, int fd) : loop_(loop), descriptor_(loop.executor(), fd) {}

  Task<RawPeer> accept() { co_return RawPeer(loop_, make_plain_transport(co_await accept_socket())); }

  Task<Socket> accept_socket() {
    while (true) {
      co_await descriptor_.async_wait(Descriptor::wait_read, use_tuple);
      const int fd = accept4(descriptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) continue;
      int family = 0;
      socklen_t size = sizeof family;
      getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
      co_return Socket(loop_.executor(), boost::asio::generic::stream_protocol(family, 0), fd);
    }
  }

 private:
  using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;
  Loop& loop_;
  Descriptor descriptor_;
};

}  // namespace llm::net
