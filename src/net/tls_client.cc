#include "net/tls_client.h"

#include <boost/asio/ip/address.hpp>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/tls_transport.h"

namespace llm::net {

class TlsTrust {
 public:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context{SSL_CTX_new(TLS_client_method())};
};

namespace {

// The name the certificate must carry; for addresses an IP entry. Also says it to the server (SNI, RFC 6066).
bool expect_name(SSL* ssl, const std::string& host) {
  boost::system::error_code not_an_address;
  boost::asio::ip::make_address(host, not_an_address);
  if (!not_an_address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  // RFC 9525: names stand in subjectAltName, never in the subject.
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

std::string handshake_error(const SSL* ssl, const std::string& host, const Error& error) {
  if (SSL_get_verify_result(ssl) == X509_V_OK) return "the TLS handshake with " + host + " failed: " + error.message;
  return "the TLS certificate of " + host + " is refused: " + error.message +
         ". If the server is yours, name its authority's certificate in SSL_CERT_FILE";
}

}  // namespace

std::shared_ptr<TlsTrust> load_tls_trust() {
  auto trust = std::make_shared<TlsTrust>();
  SSL_CTX* context = trust->context.get();
  SSL_CTX_set_default_verify_paths(context);  // without authorities every server is refused, with a reason
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  return trust;
}

Task<Result<std::unique_ptr<Transport>>> make_tls_client(Loop& loop, Socket socket, std::string host,
                                                         std::chrono::milliseconds timeout, CancelToken cancel,
                                                         std::shared_ptr<TlsTrust> trust) {
  auto transport = std::make_unique<TlsTransport>(std::move(socket), *trust->context, TlsTransport::Side::kClient);
  if (!expect_name(transport->ssl(), host)) {
    co_return fail(ErrorCode::kUnavailable, "cannot check a TLS certificate for \"" + host + "\"");
  }
  bool timed_out = false;
  Deadline deadline([&] {
    timed_out = true;
    transport->close();
  });
  loop.wheel().arm(deadline, timeout);
  const auto registration = cancel.on_cancel([&] { transport->close(); });
  const auto greeted = co_await transport->handshake();
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled during the TLS handshake");
  if (timed_out) co_return fail(ErrorCode::kUnavailable, "the TLS handshake with " + host + " took too long");
  if (!greeted) {
    co_return fail(ErrorCode::kUnavailable, handshake_error(transport->ssl(), host, greeted.error()));
  }
  co_return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace llm::net
