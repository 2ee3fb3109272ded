// Certificate, key and authorities from files, and what happens when they change.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "net/tls_under_test.h"

namespace llm::net {
namespace {

std::string load_error(const TlsServerSettings& settings) {
  const auto loaded = TlsServer::load(settings);
  return loaded ? "" : loaded.error().message;
}

struct TlsFiles : testing::Test {
  TlsUnderTest t;
  std::string certificate = t.folder.path("cert.pem");
  std::string key = t.folder.path("key.pem");
};

TEST_F(TlsFiles, WhatIsInUse) {
  const auto loaded = TlsServer::load(t.tls_settings);
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto info = (*loaded)->info();
  EXPECT_EQ(info.certificate, read_certificate(*t.server.certificate()));
  EXPECT_EQ(info.certificate.dns_names, std::vector<std::string>{"localhost"});
  EXPECT_GT(info.expires_s, std::time(nullptr));
  EXPECT_LE(info.expires_s, std::time(nullptr) + 3600);
  EXPECT_TRUE(info.warnings.empty()) << info.warnings.front();
}

TEST_F(TlsFiles, BothInOneFile) {
  t.folder.write("cert.pem", t.server.key_pem() + t.server.certificate_pem() + t.authority.certificate_pem());
  t.tls_settings.key_file = "";
  EXPECT_EQ(load_error(t.tls_settings), "");
}

TEST_F(TlsFiles, AnEncryptedKey) {
  t.folder.write("key.pem", t.server.key_pem("secret"));
  EXPECT_EQ(load_error(t.tls_settings), "the key in " + key + " is encrypted, and no password is set");
  t.tls_settings.key_password = "wrong-one";
  EXPECT_EQ(load_error(t.tls_settings), "the key in " + key + " is encrypted, and the password that is set is wrong");
  t.tls_settings.key_password = "secret";
  EXPECT_EQ(load_error(t.tls_settings), "");
}

TEST_F(TlsFiles, WhatIsWrongIsSaidWithTheFile) {
  const auto with = [&](std::string_view name, const std::string& bytes) {
    t.folder.write("cert.pem", t.server.certificate_pem());
    t.folder.write("key.pem", t.server.key_pem());
    t.folder.write(name, bytes);
    return load_error(t.tls_settings);
  };
  EXPECT_EQ(with("cert.pem", "nothing"), "there is no certificate in " + certificate + " (PEM is expected)");
  EXPECT_EQ(with("key.pem", "nothing"), "there is no private key in " + key + " (PEM is expected)");
  auto broken = t.server.certificate_pem();
  broken[100] = '!';
  EXPECT_TRUE(with("cert.pem", broken).starts_with("certificate 1 in " + certificate + " is malformed: "));
  EXPECT_TRUE(with("cert.pem", t.server.certificate_pem() + broken)
                  .starts_with("certificate 2 in " + certificate + " is malformed: "));
  auto broken_key = t.server.key_pem();
  broken_key[60] = '!';
  EXPECT_TRUE(with("key.pem", broken_key).starts_with("the key in " + key + " is malformed: "));
  const TestIdentity other({.names = "DNS:localhost"}, &t.authority);
  EXPECT_EQ(with("key.pem", other.key_pem()),
            "the key in " + key + " does not belong to the certificate in " + certificate);
  const TestIdentity expired({.names = "DNS:localhost", .begins_s = -7200, .ends_s = -60}, &t.authority);
  EXPECT_TRUE(
      with("cert.pem", expired.certificate_pem()).starts_with("the certificate in " + certificate + " expired on 20"));
  const TestIdentity future({.names = "DNS:localhost", .begins_s = 60}, &t.authority);
  EXPECT_TRUE(with("cert.pem", future.certificate_pem())
                  .starts_with("the certificate in " + certificate + " is valid only from 20"));
  EXPECT_EQ(with("cert.pem", std::string(1024 * 1024 + 1, 'x')),
            "the certificate " + certificate + " is larger than 1 MiB");
}

TEST_F(TlsFiles, FilesThatCannotBeRead) {
  std::filesystem::remove(certificate);
  EXPECT_EQ(load_error(t.tls_settings), "cannot read the certificate " + certificate + ": No such file or directory");
  ASSERT_EQ(mkfifo(certificate.c_str(), 0600), 0);
  EXPECT_EQ(load_error(t.tls_settings), "the certificate " + certificate + " is not a regular file") << "and no wait";
  t.tls_settings.certificate_file = t.folder.path("");
  EXPECT_NE(load_error(t.tls_settings), "");
}

TEST_F(TlsFiles, SettingsThatContradict) {
  auto settings = t.tls_settings;
  settings.minimum_version = "1.1";
  EXPECT_EQ(load_error(settings), "the lowest TLS version can be \"1.2\" or \"1.3\", not \"1.1\"");
  settings = t.tls_settings;
  settings.client_certificate = ClientCertificate::kRequired;
  EXPECT_EQ(load_error(settings), "client certificates are asked for, but no file names their authorities");
  settings = t.tls_settings;
  settings.client_ca_file = t.folder.write("ca.pem", t.authority.certificate_pem());
  EXPECT_EQ(load_error(settings),
            settings.client_ca_file + " names authorities of client certificates, but none are asked for");
  settings.client_certificate = ClientCertificate::kOptional;
  EXPECT_EQ(load_error(settings), "");
  t.folder.write("ca.pem", "nothing");
  EXPECT_EQ(load_error(settings), "there is no certificate in " + settings.client_ca_file + " (PEM is expected)");
}

TEST_F(TlsFiles, Warnings) {
  const auto warnings = [&] { return TlsServer::load(t.tls_settings).value()->info().warnings; };
  chmod(key.c_str(), 0640);
  EXPECT_TRUE(warnings().empty()) << "a group may read it: that is how Debian does it";
  chmod(key.c_str(), 0644);
  EXPECT_EQ(warnings(), std::vector<std::string>{"the key file " + key +
                                                 " has mode 0644: others than its owner may read it. chmod 600 it"});
  chmod(key.c_str(), 0600);
  t.folder.write("cert.pem", t.server.certificate_pem() + t.server.certificate_pem());
  ASSERT_EQ(warnings().size(), 1U);
  EXPECT_TRUE(warnings()[0].starts_with("certificate 2 in " + certificate + " did not issue the one before it"));
  const TestIdentity nameless({}, &t.authority);
  t.folder.write("cert.pem", nameless.certificate_pem());
  t.folder.write("key.pem", nameless.key_pem());
  EXPECT_EQ(warnings(), std::vector<std::string>{"the certificate in " + certificate +
                                                 " has no subjectAltName: clients refuse it"});
}

TEST_F(TlsFiles, AReloadTakesWhatIsGoodAndKeepsTheOldElse) {
  const auto tls = TlsServer::load(t.tls_settings).value();
  const auto before = tls->info().certificate;
  EXPECT_FALSE(tls->reload_if_changed().value());
  const TestIdentity next({.common_name = "next", .names = "DNS:localhost"}, &t.authority);

  // The certificate comes first, and for a moment the key is another's.
  t.folder.write("cert.pem", next.certificate_pem());
  const auto mismatch = tls->reload_if_changed();
  ASSERT_FALSE(mismatch);
  EXPECT_EQ(mismatch.error().message, "the key in " + key + " does not belong to the certificate in " + certificate);
  EXPECT_FALSE(tls->reload_if_changed().value()) << "said once";
  EXPECT_EQ(tls->info().certificate, before);
  t.folder.write("cert.pem", "");
  EXPECT_FALSE(tls->reload_if_changed()) << "another error is said again";
  t.folder.write("cert.pem", next.certificate_pem());
  t.folder.write("key.pem", next.key_pem());
  EXPECT_TRUE(tls->reload_if_changed().value());
  EXPECT_EQ(tls->info().certificate, read_certificate(*next.certificate()));
  EXPECT_FALSE(tls->reload_if_changed().value());

  std::filesystem::remove(key);
  EXPECT_FALSE(tls->reload_if_changed());
  EXPECT_FALSE(tls->reload_if_changed().value()) << "said once";
  t.folder.write("key.pem", next.key_pem());
  EXPECT_FALSE(tls->reload_if_changed().value()) << "what is in use is there again";
  std::filesystem::remove(key);
  EXPECT_FALSE(tls->reload_if_changed()) << "and once more after it was right";
  const TestIdentity expired({.names = "DNS:localhost", .begins_s = -7200, .ends_s = -60}, &t.authority);
  t.folder.write("cert.pem", expired.certificate_pem());
  t.folder.write("key.pem", expired.key_pem());
  EXPECT_FALSE(tls->reload_if_changed());
  EXPECT_EQ(tls->info().certificate, read_certificate(*next.certificate()));
}

std::string server_name(const TlsTransport& client) {
  return read_certificate(*SSL_get0_peer_certificate(client.ssl())).common_name;
}

Task<void> reload_while_streaming(TlsUnderTest& t, const TestIdentity& next, const TestIdentity& client) {
  auto old = co_await t.dial_tls({});
  EXPECT_TRUE(co_await old->handshake());
  EXPECT_EQ(server_name(*old), "gateway");
  auto streaming = co_await t.open();
  co_await streaming.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await streaming.read_bytes(100'000);

  t.folder.write("cert.pem", next.certificate_pem());
  t.folder.write("key.pem", next.key_pem());
  EXPECT_TRUE(t.tls->reload_if_changed().value());
  auto fresh = co_await t.dial_tls({});
  EXPECT_TRUE(co_await fresh->handshake());
  EXPECT_EQ(server_name(*fresh), "next");
  EXPECT_EQ((co_await streaming.read_bytes(5'000'000)).size(), 5'000'000U);
  RawPeer kept(t.loop, std::move(old));
  co_await kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE((co_await kept.read_head()).starts_with("HTTP/1.1 200 "));

  // The clients' authorities change too.
  EXPECT_FALSE(co_await t.ask({.identity = &client}));
  t.folder.write("ca.pem", t.authority.certificate_pem() + client.certificate_pem());
  EXPECT_TRUE(t.tls->reload_if_changed().value());
  EXPECT_TRUE(co_await t.ask({.identity = &client}));
  EXPECT_EQ((co_await streaming.read_bytes(1'000'000)).size(), 1'000'000U);
  co_await t.under.stop();
}

TEST(TlsReload, OpenConnectionsGoOn) {
  TlsUnderTest t(ClientCertificate::kOptional);
  const TestIdentity next({.common_name = "next", .names = "DNS:localhost"}, &t.authority);
  const TestIdentity client({.common_name = "own authority", .authority = true});
  t.listen();
  run_task(t.loop, reload_while_streaming(t, next, client));
}

}  // namespace
}  // namespace llm::net
