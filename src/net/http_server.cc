#include "net/http_server.h"

#include <arpa/inet.h>
#include <array>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cerrno>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_set>

#include "net/address.h"
#include "net/http_connection.h"
#include "net/tls_server.h"

namespace llm::net {
namespace {

using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;

Peer peer_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {.address = fmt::format("{}:{}", text.data(), ntohs(v4.sin_port))};
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return {.address = fmt::format("[{}]:{}", text.data(), ntohs(v6.sin6_port))};
  }
  return {.unix_socket = true, .address = "unix"};
}

// Answers 503 on a connection that there is no room for, or in TLS, where nothing can be said without a handshake, the
// alert internal_error. What the client has already sent is read first: closing over unread bytes resets the
// connection, and the answer could be lost with it.
void refuse_busy(int fd, bool tls) {
  constexpr std::string_view kAlert("\x15\x03\x03\x00\x02\x02\x50", 7);
  constexpr std::string_view kBody =
      R"({"error":{"message":"too many open connections","type":"overloaded_error","code":"overloaded"}})";
  const std::string answer =
      tls ? std::string(kAlert)
          : fmt::format(
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
                "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
                kBody.size(), kBody);
  (void)send(fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(fd, SHUT_WR);
  std::array<char, 4096> ignored;
  for (int i = 0; i < 4 && recv(fd, ignored.data(), ignored.size(), MSG_DONTWAIT) > 0; ++i) {
  }
  ::close(fd);
}

}  // namespace

struct HttpServer::Listener {
  Listener(Loop& loop, int fd, std::shared_ptr<TlsServer> with_tls)
      : descriptor(loop.executor(), fd), tls(std::move(with_tls)) {}
  Descriptor descriptor;
  std::shared_ptr<TlsServer> tls;  // null: plain; shared with handshakes that still run
};

// What one loop owns of the server. Touched on that loop only, but for `loop`.
struct HttpServer::Shard {
  explicit Shard(Loop& owner) : loop(owner), group(owner.executor()) {}
  Loop& loop;
  TaskGroup group;
  std::unordered_set<Connection*> open;
  std::unordered_set<const CancelSource*> handshakes;
  std::vector<std::unique_ptr<Listener>> listeners;  // loop 0 only
};

HttpServer::HttpServer(std::vector<Loop*> loops, ServerSettings settings, Handler handler)
    : settings_(settings), handler_(std::move(handler)) {
  for (Loop* loop : loops) shards_.push_back(std::make_shared<Shard>(*loop));
  ended_ = std::make_shared<Event>(loops.front()->executor());
}

HttpServer::~HttpServer() = default;

void HttpServer::accept_on(int listening_fd, std::shared_ptr<TlsServer> tls) {
  auto& shard = *shards_.front();
  shard.listeners.push_back(std::make_unique<Listener>(shard.loop, listening_fd, std::move(tls)));
  shard.group.spawn(accept_loop(*shard.listeners.back()));
}

Task<void> HttpServer::accept_loop(Listener& listener) {
  while (!stopping()) {
    const auto ready = co_await listener.descriptor.async_wait(Descriptor::wait_read, use_tuple);
    if (std::get<0>(ready)) co_return;  // closed by stop_accepting
    while (!stopping() && accept_one(listener)) {
    }
    // Out of descriptors or memory: the backlog waits a moment instead of this loop spinning.
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      co_await sleep_for(std::chrono::milliseconds(100));
    }
  }
}

bool HttpServer::accept_one(Listener& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const int fd = accept4(listener.descriptor.native_handle(), reinterpret_cast<sockaddr*>(&address), &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return errno == EINTR || errno == ECONNABORTED;
  if (connections() >= settings_.max_connections) {
    refuse_busy(fd, listener.tls != nullptr);
    return true;
  }
  const auto& shard = shards_[next_shard_++ % shards_.size()];
  connections_.fetch_add(1, std::memory_order_relaxed);
  // Shared because std::function copies; the socket closes itself should the loop end before it takes it over.
  auto socket =
      std::make_shared<Socket>(shard->loop.executor(), boost::asio::generic::stream_protocol(address.ss_family, 0), fd);
  auto start = [this, shard, socket = std::move(socket), peer = peer_of(address), tls = listener.tls] {
    shard->group.spawn(tls ? run_tls_connection(shard, std::move(*socket), peer, tls)
                           : run_connection(shard, make_plain_transport(std::move(*socket)), peer));
  };
  if (shard->loop.is_current()) {
    start();
  } else {
    shard->loop.post(std::move(start));
  }
  return true;
}

void HttpServer::serve(std::unique_ptr<Transport> transport, Peer peer) {
  connections_.fetch_add(1, std::memory_order_relaxed);
  const auto& shard = shards_.front();
  shard->group.spawn(run_connection(shard, std::move(transport), std::move(peer)));
}

Task<void> HttpServer::run_connection(std::shared_ptr<Shard> shard, std::unique_ptr<Transport> transport, Peer peer) {
  co_await run(*shard, std::move(transport), std::move(peer), {});
  connection_ended();
}

Task<void> HttpServer::run_tls_connection(std::shared_ptr<Shard> shard, Socket socket, Peer peer,
                                          std::shared_ptr<TlsServer> tls) {
  constexpr std::string_view kPlain =
      "this port speaks TLS, and the request came without it: use a URL that begins with https";
  if (!stopping()) {
    const CancelSource stop;
    shard->handshakes.insert(&stop);
    auto accepted = co_await tls->accept(shard->loop, std::move(socket), settings_.header_timeout, stop.token());
    shard->handshakes.erase(&stop);
    if (accepted) {
      peer.tls = accepted->tls;
      peer.certificate = std::move(accepted->certificate);
      co_await run(*shard, std::move(accepted->transport), std::move(peer),
                   accepted->tls ? std::string_view() : kPlain);
    } else if (handshake_failed_ && accepted.error().code != ErrorCode::kCancelled) {
      handshake_failed_(peer, accepted.error());
    }
  }
  connection_ended();
}

Task<void> HttpServer::run(Shard& shard, std::unique_ptr<Transport> transport, Peer peer, std::string_view refusal) {
  Connection connection(*this, shard.loop, std::move(transport), std::move(peer));
  shard.open.insert(&connection);
  co_await (refusal.empty() ? connection.run() : connection.run_refusal(refusal));
  shard.open.erase(&connection);
}

void HttpServer::connection_ended() {
  Loop& loop = shards_.front()->loop;
  // Once the count is down the server may be gone: nothing of it is touched after that.
  const auto notice = [ended = ended_] { ended->notify(); };
  const bool here = loop.is_current();
  if (connections_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (here) {
    notice();
  } else {
    loop.post(notice);
  }
}

void HttpServer::stop_accepting() {
  if (stopping_.exchange(true)) return;
  for (const auto& shard : shards_) {
    shard->loop.post([shard] {
      boost::system::error_code ignored;
      for (auto& listener : shard->listeners) listener->descriptor.close(ignored);
      for (Connection* connection : shard->open) connection->stop_when_idle();
      for (const CancelSource* handshake : shard->handshakes) handshake->cancel();
    });
  }
}

void HttpServer::cancel() {
  for (const auto& shard : shards_) {
    shard->loop.post([shard] {
      const std::vector<Connection*> open(shard->open.begin(), shard->open.end());
      for (Connection* connection : open) connection->cancel();
    });
  }
}

Task<void> HttpServer::drained() {
  while (connections_.load(std::memory_order_acquire) > 0) co_await ended_->wait();
  co_await shards_.front()->group.join();
}

}  // namespace llm::net
