#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "async/task.h"
#include "base/error.h"

namespace llm::net {

using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor>;

// A connected byte stream: TCP, Unix socket, or TLS over either. Belongs to one loop.
class Transport {
 public:
  virtual ~Transport() = default;

  // Runs `handler` (posted, never inline) once bytes or the end of the stream can be read, or with an error; kCancelled
  // after close(). At most one may be pending.
  virtual void async_readable(std::function<void(Result<void>)> handler) = 0;
  // Takes what is there without waiting: nullopt if nothing is, 0 at the end of the stream.
  virtual Result<std::optional<std::size_t>> try_read(std::span<char> buffer) = 0;
  // Hands over what the connection takes without waiting: how many bytes of the pieces, 0 if none now. Those that it
  // did not take must be the next that are offered, here or to write(): TLS may have encrypted them already. A
  // transport that cannot do that takes none.
  virtual Result<std::size_t> try_write(std::span<const std::string_view>) { return std::size_t{0}; }
  // All pieces as one write, in order. One writer at a time. A slow reader at the other end suspends the caller.
  virtual Task<Result<void>> write(std::span<const std::string_view> pieces) = 0;
  // Ends the sending side only: the peer reads what was written and then the end of the stream. Reading goes on. Over
  // TLS, what ends without this looks cut to the peer.
  virtual void shutdown_write() {}
  // Ends everything that is pending with kCancelled. Idempotent.
  virtual void close() = 0;
};

// Cuts the first `bytes` off the pieces; those that are used up go.
void cut_front(std::span<std::string_view>& pieces, std::size_t bytes);

// Takes over a connected, non-blocking socket. TCP sockets get TCP_NODELAY.
std::unique_ptr<Transport> make_plain_transport(Socket socket);

// A connected pair of transports over socketpair(2), for tests: bytes written to one are read from the other.
Result<std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>>> make_pipe(Executor executor);

}  // namespace llm::net
