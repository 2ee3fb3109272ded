#include "net/tls_transport.h"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <limits>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <vector>

namespace llm::net {
namespace {

constexpr std::size_t kRecord = 16 * 1024;       // payload of the largest record (RFC 8446 section 5.1)
constexpr std::size_t kBatch = 4 * kRecord;      // payload per system call
constexpr std::size_t kMostUnsent = 2 * kBatch;  // of records on their way, when it is not for the writer to wait
constexpr std::size_t kKeptWhenSent = 4 * 1024;  // of the outgoing buffer, on an idle connection

// What went wrong in the last call, in OpenSSL's words; for refused certificates the verifier's.
std::string reason(const SSL* ssl) {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict != X509_V_OK) return X509_verify_cert_error_string(verdict);
  if (code == 0 || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return "the other end ended the connection without close_notify";
  }
  const char* text = ERR_reason_error_string(code);
  return text ? text : "error " + std::to_string(code);
}

std::unexpected<Error> closed_here() {
  return fail(ErrorCode::kCancelled, "connection closed on this side");
}

}  // namespace

void TlsTransport::FreeSsl::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

// Reads from the socket, writes into `out_`. Not OpenSSL's socket BIO, which writes with write(2) and so raises
// SIGPIPE.
const bio_method_st* TlsTransport::bio_method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    BIO_meth_set_read(method, [](BIO* bio, char* data, int size) {
      auto& self = *static_cast<TlsTransport*>(BIO_get_data(bio));
      BIO_clear_retry_flags(bio);
      while (true) {
        const ssize_t n = recv(self.socket_.native_handle(), data, static_cast<std::size_t>(size), MSG_DONTWAIT);
        if (n >= 0) return static_cast<int>(n);
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_read(bio);
        return -1;
      }
    });
    BIO_meth_set_write(method, [](BIO* bio, const char* data, int size) {
      static_cast<TlsTransport*>(BIO_get_data(bio))->out_.append(data, static_cast<std::size_t>(size));
      return size;
    });
    BIO_meth_set_ctrl(method, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    return method;
  }();
  return kMethod;
}

TlsTransport::TlsTransport(Socket socket, ssl_ctx_st& context, Side side)
    : socket_(std::move(socket)), ssl_(SSL_new(&context)) {
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  const int on = 1;  // fails harmlessly on Unix sockets
  setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!ssl_) throw std::bad_alloc();
  BIO* bio = BIO_new(bio_method());
  if (!bio) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_read_ahead(ssl_.get(), 1);                   // one system call for a record instead of two
  SSL_set_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);  // 34 KiB less on an idle connection
  side == Side::kServer ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
}

TlsTransport::~TlsTransport() = default;

Task<Result<void>> TlsTransport::handshake() {
  while (!closed_) {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    const bool wants_more = done != 1 && SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ;
    Result<void> outcome;
    if (done != 1 && !wants_more) outcome = fail(ErrorCode::kUnavailable, reason(ssl_.get()));
    while (true) {
      // What the peer is to know comes first: its part of the handshake, or the alert that says why not.
      const auto sent = flush();
      if (!sent) co_return outcome ? sent : outcome;
      if (flushed()) break;
      const auto waited = co_await socket_.async_wait(Socket::wait_write, use_tuple);
      if (std::get<0>(waited)) co_return closed_here();
    }
    if (!wants_more) co_return outcome;
    const auto waited = co_await socket_.async_wait(Socket::wait_read, use_tuple);
    if (std::get<0>(waited)) co_return closed_here();
  }
  co_return closed_here();
}

Task<void> TlsTransport::discard_input() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  std::array<char, 4096> bytes;
  while (!closed_) {
    const ssize_t n = recv(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) co_return;
    const auto waited = co_await socket_.async_wait(Socket::wait_read, use_tuple);
    if (std::get<0>(waited)) co_return;
  }
}

void TlsTransport::async_readable(std::function<void(Result<void>)> handler) {
  // Whole records may wait inside OpenSSL, of which the socket knows nothing.
  if (ended_ || (!drained_ && SSL_has_pending(ssl_.get()) == 1)) {
    boost::asio::post(socket_.get_executor(), [handler = std::move(handler)] { handler({}); });
    return;
  }
  socket_.async_wait(Socket::wait_read, [handler = std::move(handler)](const boost::system::error_code& error) {
    if (error == boost::asio::error::operation_aborted) {
      handler(closed_here());
    } else if (error) {
      handler(fail(ErrorCode::kUnavailable, "connection failed: " + error.message()));
    } else {
      handler({});
    }
  });
}

Result<std::optional<std::size_t>> TlsTransport::try_read(std::span<char> buffer) {
  if (closed_) return closed_here();
  if (ended_) return std::optional<std::size_t>(0);
  ERR_clear_error();
  const auto most = static_cast<int>(std::min<std::size_t>(buffer.size(), std::numeric_limits<int>::max()));
  const int n = SSL_read(ssl_.get(), buffer.data(), most);
  drained_ = n <= 0;
  const int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), n);
  // What reading makes TLS say, such as the refusal of a renegotiation. A peer that makes it say much and reads nothing
  // is not served at the price of memory.
  if (!out_.empty()) (void)flush();  // a failure is the writer's to see: there may still be an answer to read
  if (out_.size() - sent_ > kMostUnsent) {
    failed_ = true;
    return fail(ErrorCode::kUnavailable, "TLS connection failed: the other end does not read");
  }
  if (n > 0) return std::optional(static_cast<std::size_t>(n));
  if (error == SSL_ERROR_WANT_READ) return std::optional<std::size_t>();
  if (error == SSL_ERROR_ZERO_RETURN) {
    ended_ = true;
    return std::optional<std::size_t>(0);
  }
  // Also an end without close_notify: anybody on the way could have cut the stream (RFC 9112 section 9.8).
  failed_ = true;
  return fail(ErrorCode::kUnavailable, "TLS connection failed: " + reason(ssl_.get()));
}

Result<void> TlsTransport::flush() {
  while (sent_ < out_.size()) {
    const ssize_t n =
        send(socket_.native_handle(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent_ += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return {};
    } else if (errno != EINTR) {
      Error error = errno_error(errno, "writing to the connection");
      error.code = ErrorCode::kUnavailable;
      return fail(std::move(error));
    }
  }
  sent_ = 0;
  out_.clear();
  if (out_.capacity() > kKeptWhenSent) out_.shrink_to_fit();
  return {};
}

Result<void> TlsTransport::encrypt(std::string_view bytes) {
  ERR_clear_error();
  const int n = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (n == static_cast<int>(bytes.size())) return {};
  // Our BIO takes all, so this is no full socket; renegotiation, which could want to read first, is off.
  failed_ = true;
  return fail(ErrorCode::kUnavailable, "TLS write failed: " + reason(ssl_.get()));
}

// Encrypts up to kBatch bytes of the pieces behind their first `skip` ones; small pieces share a record.
std::size_t TlsTransport::encrypt_some(std::span<const std::string_view> pieces, std::size_t skip,
                                       Result<void>& outcome) {
  std::size_t done = 0;
  std::string joined;
  for (std::size_t i = 0; i < pieces.size() && done < kBatch && outcome; ++i) {
    std::string_view piece = pieces[i];
    const std::size_t skipped = std::min(skip, piece.size());
    piece.remove_prefix(skipped);
    skip -= skipped;
    while (!piece.empty() && done < kBatch && outcome) {
      const bool last = i + 1 == pieces.size();
      const auto part = piece.substr(0, kRecord - joined.size());
      piece.remove_prefix(part.size());
      done += part.size();
      if (joined.empty() && (last || part.size() == kRecord)) {
        outcome = encrypt(part);
        continue;
      }
      joined.append(part);
      if (joined.size() < kRecord) continue;
      outcome = encrypt(joined);
      joined.clear();
    }
  }
  if (outcome && !joined.empty()) outcome = encrypt(joined);
  return done;
}

Result<std::size_t> TlsTransport::try_write(std::span<const std::string_view> pieces) {
  if (closed_) return closed_here();
  std::size_t total = 0;
  for (const auto piece : pieces) total += piece.size();
  std::size_t taken = 0;
  while (true) {
    if (auto sent = flush(); !sent) return fail(sent.error());
    if (!flushed()) return taken;
    const std::size_t counted = std::min(owed_, total - taken);
    owed_ -= counted;
    taken += counted;
    if (taken == total) return taken;
    Result<void> outcome;
    owed_ = encrypt_some(pieces, taken, outcome);
    if (!outcome) return fail(outcome.error());
  }
}

Task<Result<void>> TlsTransport::write(std::span<const std::string_view> pieces) {
  std::vector<std::string_view> copies(pieces.begin(), pieces.end());
  std::span<std::string_view> rest(copies);
  cut_front(rest, 0);
  while (!rest.empty()) {
    const auto taken = try_write(rest);
    if (!taken) co_return fail(taken.error());
    cut_front(rest, *taken);
    if (rest.empty()) break;
    const auto waited = co_await socket_.async_wait(Socket::wait_write, use_tuple);
    if (std::get<0>(waited)) co_return fail(ErrorCode::kCancelled, "connection closed while writing");
  }
  co_return Result<void>();
}

void TlsTransport::shutdown_write() {
  if (closed_) return;
  ERR_clear_error();
  if (!failed_ && SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
  (void)flush();
  boost::system::error_code ignored;
  if (flushed()) socket_.shutdown(Socket::shutdown_send, ignored);
}

void TlsTransport::close() {
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace llm::net
