#include "net/tls_client.h"

#include <array>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/asio/write.hpp>

namespace llm::net {

namespace ssl = boost::asio::ssl;

class TlsTrust {
 public:
  ssl::context context{ssl::context::tls_client};
};

namespace {

// OpenSSL pulls whole records, so bytes land in `pending` first and try_read hands them out. Pending operations keep
// this alive past their transport: Asio's TLS operations touch the stream until they end.
struct TlsState {
  TlsState(Socket socket, std::shared_ptr<TlsTrust> tls_trust)
      : trust(std::move(tls_trust)), stream(std::move(socket), trust->context) {}
  std::shared_ptr<TlsTrust> trust;  // shared by all connections of a client
  ssl::stream<Socket> stream;
  std::array<char, 17 * 1024> pending;  // one record
  std::size_t begin = 0;
  std::size_t end = 0;
  bool ended = false;
};

class TlsTransport final : public Transport {
 public:
  explicit TlsTransport(std::shared_ptr<TlsState> state) : state_(std::move(state)) {}
  ~TlsTransport() override { shut(); }

  void async_readable(std::function<void(Result<void>)> handler) override {
    auto& state = *state_;
    if (state.begin < state.end || state.ended) {
      boost::asio::post(state.stream.get_executor(), [handler = std::move(handler)] { handler({}); });
      return;
    }
    state.stream.async_read_some(
        boost::asio::buffer(state.pending),
        [shared = state_, handler = std::move(handler)](const boost::system::error_code& error, std::size_t n) {
          if (error == boost::asio::error::operation_aborted) {
            handler(fail(ErrorCode::kCancelled, "connection closed on this side"));
            return;
          }
          shared->begin = 0;
          shared->end = n;
          if (error == boost::asio::error::eof) {
            shared->ended = true;
          } else if (error) {
            // Also an end without close_notify: anybody on the way could have cut the stream (RFC 9112 section 9.8).
            handler(fail(ErrorCode::kUnavailable, "TLS connection failed: " + error.message()));
            return;
          }
          handler({});
        });
  }

  Result<std::optional<std::size_t>> try_read(std::span<char> buffer) override {
    auto& state = *state_;
    if (state.begin == state.end) return state.ended ? std::optional<std::size_t>(0) : std::nullopt;
    const std::size_t n = std::min(buffer.size(), state.end - state.begin);
    std::copy_n(state.pending.data() + state.begin, n, buffer.data());
    state.begin += n;
    return n;
  }

  Task<Result<void>> write(std::span<const std::string_view> pieces) override {
    const auto state = state_;
    std::string joined;
    for (const auto piece : pieces) joined.append(piece);
    auto result = co_await boost::asio::async_write(state->stream, boost::asio::buffer(joined), use_tuple);
    if (std::get<0>(result)) {
      co_return fail(ErrorCode::kUnavailable, "TLS write failed: " + std::get<0>(result).message());
    }
    co_return Result<void>();
  }

  void close() override { shut(); }

 private:
  void shut() {
    boost::system::error_code ignored;
    state_->stream.next_layer().close(ignored);
  }
  std::shared_ptr<TlsState> state_;
};

// The name the certificate must carry; for addresses an IP entry. Also says it to the server (SNI, RFC 6066).
bool expect_name(SSL* ssl, const std::string& host) {
  boost::system::error_code not_an_address;
  boost::asio::ip::make_address(host, not_an_address);
  if (!not_an_address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  // RFC 9525: names stand in subjectAltName, never in the subject.
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

std::string handshake_error(const SSL* ssl, const std::string& host, const boost::system::error_code& error) {
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict == X509_V_OK) return "the TLS handshake with " + host + " failed: " + error.message();
  return "the TLS certificate of " + host + " is refused: " + X509_verify_cert_error_string(verdict) +
         ". If the server is yours, name its authority's certificate in SSL_CERT_FILE";
}

}  // namespace

std::shared_ptr<TlsTrust> load_tls_trust() {
  auto trust = std::make_shared<TlsTrust>();
  boost::system::error_code ignored;  // without authorities every server is refused, with a reason
  trust->context.set_default_verify_paths(ignored);
  trust->context.set_verify_mode(ssl::verify_peer, ignored);
  SSL_CTX_set_min_proto_version(trust->context.native_handle(), TLS1_2_VERSION);
  return trust;
}

Task<Result<std::unique_ptr<Transport>>> make_tls_client(Loop& loop, Socket socket, std::string host,
                                                         std::chrono::milliseconds timeout, CancelToken cancel,
                                                         std::shared_ptr<TlsTrust> trust) {
  const auto state = std::make_shared<TlsState>(std::move(socket), std::move(trust));
  auto transport = std::make_unique<TlsTransport>(state);
  auto& stream = state->stream;
  if (!expect_name(stream.native_handle(), host)) {
    co_return fail(ErrorCode::kUnavailable, "cannot check a TLS certificate for \"" + host + "\"");
  }
  bool timed_out = false;
  Deadline deadline([&] {
    timed_out = true;
    transport->close();
  });
  loop.wheel().arm(deadline, timeout);
  const auto registration = cancel.on_cancel([&] { transport->close(); });
  const auto result = co_await stream.async_handshake(ssl::stream_base::client, use_tuple);
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled during the TLS handshake");
  if (timed_out) co_return fail(ErrorCode::kUnavailable, "the TLS handshake with " + host + " took too long");
  if (std::get<0>(result)) {
    co_return fail(ErrorCode::kUnavailable, handshake_error(stream.native_handle(), host, std::get<0>(result)));
  }
  co_return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace llm::net
