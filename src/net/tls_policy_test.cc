// What is negotiated, and whose certificates are taken.
#include <gtest/gtest.h>

#include "net/tls_under_test.h"

namespace llm::net {
namespace {

bool mentions(const Result<std::string>& result, std::string_view text) {
  return !result && result.error().message.find(text) != std::string::npos;
}
std::string shown(const Result<std::string>& result) {
  return result ? *result : result.error().message;
}

Task<void> versions(TlsUnderTest& t, bool newest) {
  for (const int old : {TLS1_VERSION, TLS1_1_VERSION}) {
    const auto refused = co_await t.ask({.lowest = old, .highest = old});
    EXPECT_TRUE(mentions(refused, "alert protocol version")) << shown(refused);
  }
  const auto old = co_await t.ask({.highest = TLS1_2_VERSION});
  EXPECT_EQ(old.has_value(), !newest) << shown(old);
  const auto good = co_await t.ask({.lowest = TLS1_3_VERSION});
  EXPECT_TRUE(good) << shown(good);
  co_await t.under.stop();
}

TEST(TlsPolicy, VersionsBefore12AreRefused) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, versions(t, false));
}

TEST(TlsPolicy, TheLowestVersionMayBe13) {
  TlsUnderTest t(ClientCertificate::kNone, {}, "1.3");
  t.listen();
  run_task(t.loop, versions(t, true));
}

Task<void> ciphers(TlsUnderTest& t) {
  for (const char* weak : {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "aNULL",
                           "DHE-RSA-AES256-GCM-SHA384", "PSK"}) {
    const auto refused = co_await t.ask({.highest = TLS1_2_VERSION, .ciphers = weak});
    EXPECT_FALSE(refused) << weak;
  }
  const std::string preferred = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384";
  auto client = co_await t.dial_tls({.highest = TLS1_2_VERSION, .ciphers = preferred});
  EXPECT_TRUE(co_await client->handshake());
  EXPECT_STREQ(SSL_get_cipher_name(client->ssl()), "ECDHE-ECDSA-AES256-GCM-SHA384") << "the server's choice";
  EXPECT_EQ(SSL_get_current_compression(client->ssl()), nullptr);
  co_await t.under.stop();
}

TEST(TlsPolicy, OnlyCiphersWithForwardSecrecyAndAuthenticatedEncryption) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, ciphers(t));
}

Task<void> no_resumption(TlsUnderTest& t, int version) {
  auto client = co_await t.dial_tls({.lowest = version, .highest = version});
  EXPECT_TRUE(co_await client->handshake());
  SSL* ssl = client->ssl();
  RawPeer peer(t.loop, std::move(client));
  co_await peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await peer.read_head();
  EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get_session(ssl)), 0);
  co_await t.under.stop();
}

TEST(TlsPolicy, SessionsAreNotResumed) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsUnderTest t;
    t.listen();
    run_task(t.loop, no_resumption(t, version));
  }
}

Task<void> alpn(TlsUnderTest& t) {
  for (const auto& offered : {std::vector<std::string>{"http/1.1"}, {"h2", "http/1.1"}}) {
    auto client = co_await t.dial_tls({.protocols = offered});
    EXPECT_TRUE(co_await client->handshake());
    const unsigned char* chosen = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(client->ssl(), &chosen, &size);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
  }
  const auto refused = co_await t.ask({.protocols = {"h2"}});
  EXPECT_TRUE(mentions(refused, "no application protocol")) << shown(refused);
  EXPECT_TRUE(co_await t.ask()) << "who offers nothing gets HTTP/1.1";
  co_await t.under.stop();
}

TEST(TlsPolicy, TheProtocolIsHttp11) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, alpn(t));
}

struct Clients {
  explicit Clients(const TlsUnderTest& t)
      : good({.common_name = "ci-7",
              .names = "DNS:ci.example.org,URI:spiffe://example.org/ci,email:ci@example.org,IP:10.0.0.7"},
             &t.authority),
        expired({.common_name = "ci-7", .begins_s = -7200, .ends_s = -60}, &t.authority),
        future({.common_name = "ci-7", .begins_s = 3600, .ends_s = 7200}, &t.authority),
        stranger({.common_name = "ci-7"}, &other),
        self_signed({.common_name = "ci-7"}),
        server_only({.common_name = "ci-7", .purpose = "serverAuth"}, &t.authority) {}
  TestIdentity other{{.common_name = "Test Authority", .authority = true}};  // the same name, another key
  TestIdentity good;
  TestIdentity expired;
  TestIdentity future;
  TestIdentity stranger;
  TestIdentity self_signed;
  TestIdentity server_only;
};

Task<void> bad_clients(TlsUnderTest& t, const Clients& clients, int version) {
  const auto ask = [&](const TestIdentity* identity) {
    return t.ask({.identity = identity, .lowest = version, .highest = version});
  };
  t.under.seen.clear();
  const auto expired = co_await ask(&clients.expired);
  EXPECT_TRUE(mentions(expired, "alert certificate expired")) << shown(expired);
  const auto future = co_await ask(&clients.future);
  EXPECT_TRUE(mentions(future, "alert bad certificate")) << shown(future);
  // By name its issuer is known, by signature it is not; a certificate that signs itself has an unknown one.
  const auto stranger = co_await ask(&clients.stranger);
  EXPECT_TRUE(mentions(stranger, "alert")) << shown(stranger);
  const auto self_signed = co_await ask(&clients.self_signed);
  EXPECT_TRUE(mentions(self_signed, "alert unknown ca")) << shown(self_signed);
  const auto server_only = co_await ask(&clients.server_only);
  EXPECT_TRUE(mentions(server_only, "alert unsupported certificate")) << shown(server_only);
  EXPECT_TRUE(t.under.seen.empty()) << "no request of theirs is served";
}

Task<void> client_certificates(TlsUnderTest& t, const Clients& clients, bool required) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto none = co_await t.ask({.lowest = version, .highest = version});
    if (required) {
      const auto* alert = version == TLS1_3_VERSION ? "alert certificate required" : "alert handshake failure";
      EXPECT_TRUE(mentions(none, alert)) << shown(none);
    } else {
      EXPECT_TRUE(none) << shown(none);
      EXPECT_EQ(t.under.peer.certificate, nullptr);
    }
    const auto good = co_await t.ask({.identity = &clients.good, .lowest = version, .highest = version});
    EXPECT_TRUE(good) << shown(good);
    const auto certificate = t.under.peer.certificate;
    EXPECT_TRUE(certificate);
    if (!certificate) co_return;
    EXPECT_EQ(certificate->subject, "CN=ci-7,O=Example\\, Inc.");
    EXPECT_EQ(certificate->common_name, "ci-7");
    EXPECT_EQ(certificate->dns_names, std::vector<std::string>{"ci.example.org"});
    EXPECT_EQ(certificate->uris, std::vector<std::string>{"spiffe://example.org/ci"});
    EXPECT_EQ(certificate->emails, std::vector<std::string>{"ci@example.org"});
    EXPECT_EQ(certificate->sha256.size(), 64U);
    co_await bad_clients(t, clients, version);
  }
  co_await t.drained();
}

TEST(TlsPolicy, OptionalClientCertificates) {
  TlsUnderTest t(ClientCertificate::kOptional);
  const Clients clients(t);
  t.listen();
  run_task(t.loop, client_certificates(t, clients, false));
}

TEST(TlsPolicy, RequiredClientCertificates) {
  TlsUnderTest t(ClientCertificate::kRequired);
  const Clients clients(t);
  t.listen();
  run_task(t.loop, client_certificates(t, clients, true));
  EXPECT_FALSE(t.failures.empty());
}

Task<void> not_asked(TlsUnderTest& t, const Clients& clients) {
  for (const auto* identity : {&clients.good, &clients.expired}) {
    const auto answer = co_await t.ask({.identity = identity});
    EXPECT_TRUE(answer) << shown(answer);
    EXPECT_EQ(t.under.peer.certificate, nullptr);
  }
  co_await t.under.stop();
}

TEST(TlsPolicy, WithoutAuthoritiesNobodyIsAsked) {
  TlsUnderTest t;
  const Clients clients(t);
  t.listen();
  run_task(t.loop, not_asked(t, clients));
}

Task<void> revoked(TlsUnderTest& t, const TestIdentity& gone, const TestIdentity& good) {
  const auto refused = co_await t.ask({.identity = &gone});
  EXPECT_TRUE(mentions(refused, "alert certificate revoked")) << shown(refused);
  const auto answer = co_await t.ask({.identity = &good});
  EXPECT_TRUE(answer) << shown(answer);
  co_await t.drained();
}

TEST(TlsPolicy, ARevokedClientCertificate) {
  TlsUnderTest t(ClientCertificate::kRequired);
  const TestIdentity gone({.common_name = "gone"}, &t.authority);
  const TestIdentity good({.common_name = "good"}, &t.authority);
  t.folder.write("ca.pem", t.authority.certificate_pem() + t.authority.revocation_pem(gone));
  t.listen();
  run_task(t.loop, revoked(t, gone, good));
}

TEST(TlsPolicy, NamesThatDeceive) {
  const TestIdentity odd({.common_name = std::string("admin\0.evil", 11), .names = "DNS:good.example.org"});
  const auto read = read_certificate(*odd.certificate());
  EXPECT_EQ(read.common_name, "") << "a NUL inside is a trick";
  EXPECT_EQ(read.subject.find('\0'), std::string::npos) << read.subject;
  const TestIdentity broken({.common_name = "a\r\nCN=admin,O=\"x\"+<\xC3\xA4>"});
  const auto escaped = read_certificate(*broken.certificate());
  EXPECT_EQ(escaped.common_name, "");
  EXPECT_EQ(escaped.subject, "CN=a\\0D\\0ACN=admin\\,O=\\\"x\\\"\\+\\<\xC3\xA4\\>,O=Example\\, Inc.");
}

}  // namespace
}  // namespace llm::net
