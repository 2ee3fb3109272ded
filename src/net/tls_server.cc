#include "net/tls_server.h"

#include <algorithm>
#include <cctype>
#include <openssl/ssl.h>
#include <optional>
#include <sys/socket.h>
#include <utility>

#include "net/tls_transport.h"

namespace llm::net {
namespace {

constexpr std::chrono::milliseconds kAlertLinger{2'000};  // for a refused client to take the alert

// Ends the handshake's waits: a time-out, or a cancel.
class Guard {
 public:
  Guard(Loop& loop, Socket& socket, std::chrono::milliseconds timeout, const CancelToken& cancel)
      : loop_(loop),
        socket_(socket),
        deadline_([this] {
          timed_out_ = true;
          end();
        }),
        registration_(cancel.on_cancel([this] { end(); })) {
    loop_.wheel().arm(deadline_, timeout);
  }
  void guard(TlsTransport& transport) { transport_ = &transport; }
  void at_most(std::chrono::milliseconds timeout) { loop_.wheel().arm(deadline_, timeout); }
  bool timed_out() const { return timed_out_; }

 private:
  void end() {
    boost::system::error_code ignored;
    transport_ ? transport_->close() : (void)socket_.close(ignored);
  }
  Loop& loop_;
  Socket& socket_;
  TlsTransport* transport_ = nullptr;  // once it has taken the socket
  bool timed_out_ = false;
  Deadline deadline_;
  CancelRegistration registration_;
};

// The first byte that the client sends, left where it is; nothing if none comes.
Task<std::optional<char>> peek(Socket& socket) {
  while (true) {
    const auto waited = co_await socket.async_wait(Socket::wait_read, use_tuple);
    if (std::get<0>(waited)) co_return std::nullopt;
    char first = 0;
    const ssize_t n = recv(socket.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 1) co_return first;
    if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) co_return std::nullopt;
  }
}

}  // namespace

TlsServer::TlsServer(TlsServerSettings settings, TlsServerContext context, std::string digest)
    : settings_(std::move(settings)),
      current_(std::make_shared<const TlsServerContext>(std::move(context))),
      digest_(std::move(digest)) {}

Result<std::shared_ptr<TlsServer>> TlsServer::load(TlsServerSettings settings) {
  auto files = read_tls_server_files(settings);
  if (!files) return fail(files.error());
  auto context = make_tls_server_context(settings, *files);
  if (!context) return fail(context.error());
  return std::shared_ptr<TlsServer>(new TlsServer(std::move(settings), std::move(*context), files->digest()));
}

Result<bool> TlsServer::reload_if_changed() {
  const std::lock_guard lock(reload_);
  const auto files = read_tls_server_files(settings_);
  const auto digest = files ? files->digest() : "";
  if (digest == digest_) {
    reported_.clear();
    return false;
  }
  auto context = files ? make_tls_server_context(settings_, *files) : Result<TlsServerContext>(fail(files.error()));
  if (context) {
    auto shared = std::make_shared<const TlsServerContext>(std::move(*context));
    digest_ = digest;
    reported_.clear();
    const std::lock_guard swap(mutex_);
    current_ = std::move(shared);
    return true;
  }
  // Until the files are right again the same words would come at every look.
  if (auto wrong = digest + context.error().message; wrong != reported_) {
    reported_ = std::move(wrong);
    return fail(context.error());
  }
  return false;
}

std::shared_ptr<const TlsServerContext> TlsServer::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

TlsServerInfo TlsServer::info() const {
  return current()->info;
}

Task<Result<TlsServer::Accepted>> TlsServer::accept(Loop& loop, Socket socket, std::chrono::milliseconds timeout,
                                                    CancelToken cancel) const {
  Guard guard(loop, socket, timeout, cancel);
  const auto ended = [&](ErrorCode code, std::string message) {
    if (cancel.cancelled()) return fail(ErrorCode::kCancelled, "stopped during the TLS handshake");
    if (guard.timed_out()) return fail(ErrorCode::kTimeout, "the client did not complete the TLS handshake in time");
    return fail(code, std::move(message));
  };
  const auto first = cancel.cancelled() ? std::nullopt : co_await peek(socket);
  if (!first || cancel.cancelled() || guard.timed_out()) {
    co_return ended(ErrorCode::kUnavailable, "the client left before the TLS handshake");
  }
  // Every TLS client begins with a byte of 22 or more than 127, every HTTP method with a letter.
  if (std::isalpha(static_cast<unsigned char>(*first)) != 0) {
    co_return Accepted{make_plain_transport(std::move(socket)), nullptr, false};
  }
  // `transport` outlives the guard's use of it: both end with this frame, the guard without another look.
  auto transport = std::make_unique<TlsTransport>(std::move(socket), *current()->context, TlsTransport::Side::kServer);
  guard.guard(*transport);
  const auto greeted = co_await transport->handshake();
  if (!greeted) {
    auto error = ended(ErrorCode::kUnavailable, "the TLS handshake failed: " + greeted.error().message);
    if (error.error().code == ErrorCode::kUnavailable) {
      guard.at_most(std::min(timeout, kAlertLinger));
      co_await transport->discard_input();
    }
    co_return error;
  }
  Accepted accepted;
  if (const X509* shown = SSL_get0_peer_certificate(transport->ssl())) {
    accepted.certificate = std::make_shared<const PeerCertificate>(read_certificate(*shown));
  }
  accepted.transport = std::move(transport);
  co_return accepted;
}

}  // namespace llm::net
