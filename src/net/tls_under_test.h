#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <openssl/ssl.h>
#include <string>
#include <vector>

#include "async/run_task.h"
#include "net/address.h"
#include "net/server_under_test.h"
#include "net/test_certificates.h"
#include "net/tls_server.h"
#include "net/tls_transport.h"

namespace llm::net {

// For tests: what a TLS client offers and shows.
struct TlsClientOptions {
  const TestIdentity* identity = nullptr;
  std::vector<std::string> protocols = {};  // ALPN
  int lowest = TLS1_2_VERSION;
  int highest = TLS1_3_VERSION;
  std::string ciphers = {};  // of TLS 1.2
};

// For tests: a ServerUnderTest behind TLS on a loopback port, and clients for it.
class TlsUnderTest {
 public:
  explicit TlsUnderTest(ClientCertificate clients = ClientCertificate::kNone, ServerSettings settings = {},
                        std::string minimum_version = "1.2")
      : under(loop, settings) {
    folder.write("cert.pem", server.certificate_pem());
    folder.write("key.pem", server.key_pem());
    tls_settings = {.certificate_file = folder.path("cert.pem"),
                    .key_file = folder.path("key.pem"),
                    .client_certificate = clients,
                    .minimum_version = std::move(minimum_version)};
    if (clients != ClientCertificate::kNone) {
      tls_settings.client_ca_file = folder.write("ca.pem", authority.certificate_pem());
    }
    under.server.on_handshake_failed([this](const Peer&, const Error& error) {
      failures.push_back(error);
      failed.notify();
    });
  }

  void listen() {
    tls = TlsServer::load(tls_settings).value();
    const int fd = listen_tcp("127.0.0.1", 0).value();
    port = local_port(fd);
    under.server.accept_on(fd, tls);
  }
  Task<void> until_failed(std::size_t count) {
    while (failures.size() < count) co_await failed.wait();
  }

  // Until all connections have ended by themselves; then no more are taken.
  Task<void> drained() {
    while (under.server.connections() > 0) co_await boost::asio::post(loop.executor(), use_task);
    co_await under.stop();
  }

  // A TCP connection without a handshake.
  Task<Socket> dial() {
    Socket socket(loop.executor());
    const boost::asio::ip::tcp::endpoint address(boost::asio::ip::address_v4::loopback(), port);
    co_await socket.async_connect(address, use_tuple);
    co_return socket;
  }
  Task<RawPeer> dial_plain() { co_return RawPeer(loop, make_plain_transport(co_await dial())); }

  // Before its handshake.
  Task<std::unique_ptr<TlsTransport>> dial_tls(TlsClientOptions options) {
    const std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(context.get(), 0);  // also what the server has to refuse
    SSL_CTX_set_min_proto_version(context.get(), options.lowest);
    SSL_CTX_set_max_proto_version(context.get(), options.highest);
    if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(context.get(), options.ciphers.c_str());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.certificate());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (options.identity) {
      SSL_CTX_use_certificate(context.get(), options.identity->certificate());
      SSL_CTX_use_PrivateKey(context.get(), options.identity->key());
    }
    std::string offered;
    for (const auto& one : options.protocols) offered += static_cast<char>(one.size()) + one;
    if (!offered.empty()) {
      SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(offered.data()),
                              static_cast<unsigned int>(offered.size()));
    }
    co_return std::make_unique<TlsTransport>(co_await dial(), *context, TlsTransport::Side::kClient);
  }
  Task<RawPeer> open(TlsClientOptions options = {}) {
    auto transport = co_await dial_tls(options);
    const auto greeted = co_await transport->handshake();
    EXPECT_TRUE(greeted) << greeted.error().message;
    co_return RawPeer(loop, std::move(transport));
  }
  // The handshake and a request: the answer, or why there is none. (In TLS 1.3 a client learns only after its own part
  // of the handshake that the server does not like its certificate.)
  Task<Result<std::string>> ask(TlsClientOptions options = {}) {
    auto transport = co_await dial_tls(options);
    if (const auto greeted = co_await transport->handshake(); !greeted) co_return fail(greeted.error());
    co_await write(*transport, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    co_return co_await read_to_end(*transport);
  }

  static Task<bool> write(Transport& transport, std::string bytes) {
    const std::array<std::string_view, 1> pieces{bytes};
    const auto written = co_await transport.write(pieces);
    co_return written.has_value();
  }
  // Everything up to an orderly end; an error if the stream is cut.
  Task<Result<std::string>> read_to_end(Transport& transport) {
    std::string all;
    std::array<char, 16 * 1024> bytes;
    while (true) {
      Event ready(loop.executor());
      Result<void> outcome;
      transport.async_readable([&](Result<void> result) {
        outcome = std::move(result);
        ready.notify();
      });
      co_await ready.wait();
      if (!outcome) co_return fail(outcome.error());
      const auto got = transport.try_read(bytes);
      if (!got) co_return fail(got.error());
      if (!*got) continue;
      if (**got == 0) co_return all;
      all.append(bytes.data(), **got);
    }
  }

  Loop loop{"test"};
  TestIdentity authority{{.common_name = "Test Authority", .authority = true}};
  TestIdentity server{{.common_name = "gateway", .names = "DNS:localhost,IP:127.0.0.1"}, &authority};
  TestFolder folder;
  TlsServerSettings tls_settings;
  ServerUnderTest under;
  std::shared_ptr<TlsServer> tls;
  std::uint16_t port = 0;
  std::vector<Error> failures;  // of handshakes, as the server sees them
  Event failed{loop.executor()};
};

}  // namespace llm::net
