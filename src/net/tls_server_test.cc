// HTTP over TLS: what works without it works with it, and what goes wrong in or before a handshake ends well.
#include "net/tls_server.h"

#include <gtest/gtest.h>

#include "net/tls_under_test.h"

namespace llm::net {
namespace {

using namespace std::chrono_literals;

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::string post(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Task<void> keep_alive(TlsUnderTest& t, int highest) {
  auto peer = co_await t.open({.highest = highest});
  for (const std::string body : {"one", "two", "three"}) {
    co_await peer.send(post(body));
    EXPECT_EQ(body_of(co_await peer.read_until(body)), body);
  }
  EXPECT_TRUE(t.under.peer.tls);
  EXPECT_FALSE(t.under.peer.unix_socket);
  EXPECT_TRUE(t.under.peer.address.starts_with("127.0.0.1:")) << t.under.peer.address;
  EXPECT_EQ(t.under.peer.certificate, nullptr);
  std::string requests;
  for (int i = 0; i < 300; ++i) requests += post("<" + std::to_string(i) + std::string(500, 'x') + ">");
  co_await peer.send(requests);
  for (int i = 0; i < 300; ++i) {
    const auto answer = co_await peer.read_until(">");
    EXPECT_EQ(body_of(answer), "<" + std::to_string(i) + std::string(500, 'x') + ">");
  }
  co_await t.under.stop();
}

TEST(TlsServer, KeepAliveAndPipelining) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsUnderTest t;
    t.listen();
    run_task(t.loop, keep_alive(t, version));
  }
}

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2'654'435'761U >> 13U);
  return bytes;
}

// Sizes around a record, a batch of records, a slice of the connection's writes, and beyond what sockets hold.
Task<void> bodies(TlsUnderTest& t) {
  auto peer = co_await t.open();
  for (const std::size_t size :
       {0UL, 1UL, 16'383UL, 16'384UL, 16'385UL, 65'536UL, 65'537UL, 262'144UL, 300'001UL, 20'000'000UL}) {
    const auto body = pattern(size);
    const auto request = post(body);
    EXPECT_TRUE(co_await peer.send(request));
    const auto head = co_await peer.read_head();
    EXPECT_NE(head.find("\r\nContent-Length: " + std::to_string(size) + "\r\n"), std::string::npos) << head;
    EXPECT_TRUE(co_await peer.read_bytes(size) == body) << size;
  }
  co_await t.under.stop();
}

TEST(TlsServer, BodiesOfAllSizesBothWays) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, bodies(t));
}

Task<void> streams(TlsUnderTest& t) {
  auto whole = co_await t.dial_tls({});
  EXPECT_TRUE(co_await whole->handshake());
  co_await TlsUnderTest::write(*whole, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const auto text = co_await t.read_to_end(*whole);
  EXPECT_TRUE(text) << "an orderly end: " << text.error().message;
  EXPECT_TRUE(text && text->ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")) << *text;

  auto cut = co_await t.dial_tls({});
  EXPECT_TRUE(co_await cut->handshake());
  co_await TlsUnderTest::write(*cut, "GET /cut HTTP/1.0\r\n\r\n");
  const auto half = co_await t.read_to_end(*cut);
  EXPECT_FALSE(half) << "a stream without its end must not look whole, not even without chunks";
  co_await t.under.stop();
}

TEST(TlsServer, TheEndOfAStreamIsSaidAndACutOneIsSeen) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, streams(t));
}

Task<void> idle_ends(TlsUnderTest& t) {
  auto peer = co_await t.dial_tls({});
  EXPECT_TRUE(co_await peer->handshake());
  const auto rest = co_await t.read_to_end(*peer);
  EXPECT_TRUE(rest) << rest.error().message;
  co_await t.drained();
}

TEST(TlsServer, AnIdleConnectionIsClosedInOrder) {
  TlsUnderTest t(ClientCertificate::kNone, {.idle_timeout = 60ms});
  t.listen();
  run_task(t.loop, idle_ends(t));
}

Task<void> never_reads(TlsUnderTest& t) {
  auto peer = co_await t.open();
  co_await peer.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await t.under.until_write_failed();
  co_await t.drained();
  EXPECT_EQ(t.under.cancelled, 1);
  EXPECT_LT(t.under.sent, 16U * 1024 * 1024) << "what the kernel's buffers hold, not more";
}

TEST(TlsServer, AClientThatDoesNotReadIsCutAndCostsNoMemory) {
  TlsUnderTest t(ClientCertificate::kNone, {.write_timeout = 60ms});
  t.listen();
  run_task(t.loop, never_reads(t));
}

enum class Leave { kClose, kGoodbye };

Task<void> goes_away(TlsUnderTest& t, std::string target, Leave how) {
  auto peer = co_await t.open();
  co_await peer.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
  co_await t.under.until_seen(1);
  if (target == "/endless") co_await peer.read_until("xxx");
  if (how == Leave::kGoodbye) peer.shutdown_write();
  if (how == Leave::kClose || target == "/endless") peer.close();
  co_await t.under.until_cancelled(1);
  peer.close();
  co_await t.drained();
}

TEST(TlsServer, AClientThatGoesAwayCancelsItsRequest) {
  for (const std::string target : {"/wait", "/endless"}) {
    for (const auto how : {Leave::kClose, Leave::kGoodbye}) {
      TlsUnderTest t;
      t.listen();
      run_task(t.loop, goes_away(t, target, how));
      EXPECT_EQ(t.under.cancelled, 1) << target;
    }
  }
}

// close_notify ends one direction; what the handler answers nevertheless is still sent.
Task<void> half_close(TlsUnderTest& t) {
  auto peer = co_await t.dial_tls({});
  EXPECT_TRUE(co_await peer->handshake());
  co_await TlsUnderTest::write(*peer, "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
  peer->shutdown_write();
  co_await t.under.until_seen(1);
  t.under.open_gate();
  const auto answer = co_await t.read_to_end(*peer);
  EXPECT_TRUE(answer && answer->starts_with("HTTP/1.1 200 ")) << (answer ? *answer : answer.error().message);
  co_await t.drained();
}

TEST(TlsServer, AHalfClosedConnectionGetsItsAnswer) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, half_close(t));
}

Task<void> upgrade(TlsUnderTest& t) {
  auto peer = co_await t.open();
  co_await peer.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_TRUE((co_await peer.read_head()).starts_with("HTTP/1.1 101 "));
  const auto bytes = pattern(3'000'000);
  for (std::size_t at = 0; at < bytes.size(); at += 100'000) {
    co_await peer.send(bytes.substr(at, 100'000));
    EXPECT_TRUE(co_await peer.read_bytes(100'000) == bytes.substr(at, 100'000)) << at;
  }
  peer.close();
  co_await t.drained();
}

TEST(TlsServer, AConnectionTakenOverStaysInTls) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, upgrade(t));
}

// New keys in the middle (RFC 8446 section 4.6.3), also asked of the server, which has to answer with its own.
Task<void> key_updates(TlsUnderTest& t) {
  auto transport = co_await t.dial_tls({});
  EXPECT_TRUE(co_await transport->handshake());
  SSL* ssl = transport->ssl();
  RawPeer peer(t.loop, std::move(transport));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(SSL_key_update(ssl, i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    const auto body = "body " + std::to_string(i) + ";";
    co_await peer.send(post(body));
    EXPECT_EQ(body_of(co_await peer.read_until(";")), body);
  }
  co_await t.under.stop();
}

TEST(TlsServer, KeysMayBeRenewed) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, key_updates(t));
}

Task<void> renegotiate(TlsUnderTest& t) {
  auto peer = co_await t.dial_tls({.highest = TLS1_2_VERSION});
  EXPECT_TRUE(co_await peer->handshake());
  EXPECT_EQ(SSL_renegotiate(peer->ssl()), 1);
  const auto again = co_await peer->handshake();
  EXPECT_FALSE(again);
  EXPECT_NE(again.error().message.find("no renegotiation"), std::string::npos) << again.error().message;
  co_await t.under.stop();
}

TEST(TlsServer, NoRenegotiation) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, renegotiate(t));
}

Task<void> speak_plain(TlsUnderTest& t) {
  const std::vector<std::string> requests{kGet, post(std::string(200'000, 'x')), "DELETE /x HTTP/1.1\r\n", "hello\n",
                                          "P"};
  for (const auto& request : requests) {
    auto peer = co_await t.dial_plain();
    co_await peer.send(request);
    const auto answer = co_await peer.read_to_end();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
    EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("TLS"), std::string::npos) << answer;
    peer.close();
  }
  co_await t.drained();
  EXPECT_TRUE(t.under.seen.empty());
}

TEST(TlsServer, PlainHttpIsToldSo) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, speak_plain(t));
}

Task<void> garbage(TlsUnderTest& t) {
  // Nonsense, a record of an unknown version, one too long, an alert, a truncated hello, a zero-length record.
  const std::vector<std::string> attempts{std::string("\x16garbage garbage garbage"),
                                          std::string("\x16\x09\x09\x00\x05hello", 10),
                                          std::string("\x16\x03\x01\xff\xff\x01\x00", 7),
                                          std::string("\x15\x03\x01\x00\x02\x02\x00", 7),
                                          std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", 10),
                                          std::string("\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00", 10),
                                          std::string("\x80\x2e\x01\x03\x01", 5),
                                          std::string("\x00\x00\x00\x00", 4)};
  for (const auto& bytes : attempts) {
    auto peer = co_await t.dial_plain();
    co_await peer.send(bytes);
    peer.shutdown_write();
    const auto answer = co_await peer.read_to_end();
    EXPECT_TRUE(answer.empty() || answer.starts_with('\x15')) << "an alert or nothing: " << answer;
    peer.close();
  }
  co_await t.until_failed(attempts.size());
  for (const auto& error : t.failures) EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.message;
  EXPECT_TRUE(co_await t.ask()) << "and it still serves";
  co_await t.under.stop();
}

TEST(TlsServer, GarbageEndsTheConnectionOnly) {
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, garbage(t));
}

Task<void> stalled(TlsUnderTest& t) {
  auto silent = co_await t.dial_plain();
  auto half = co_await t.dial_plain();
  co_await half.send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_EQ(co_await silent.read_to_end(), "");
  EXPECT_EQ(co_await half.read_to_end(), "");
  co_await t.until_failed(2);
  for (const auto& error : t.failures) EXPECT_EQ(error.code, ErrorCode::kTimeout) << error.message;
  co_await t.drained();
}

TEST(TlsServer, AStalledHandshakeIsCut) {
  TlsUnderTest t(ClientCertificate::kNone, {.header_timeout = 60ms});
  t.listen();
  run_task(t.loop, stalled(t));
}

// A handshake under way holds a place and holds nobody up.
Task<void> handshakes_count(TlsUnderTest& t) {
  auto stuck = co_await t.dial_plain();
  co_await stuck.send("\x16");
  while (t.under.server.connections() < 1) co_await boost::asio::post(t.loop.executor(), use_task);
  EXPECT_TRUE(co_await t.ask()) << "another one is served meanwhile";
  while (t.under.server.connections() > 1) co_await boost::asio::post(t.loop.executor(), use_task);
  auto second = co_await t.dial_plain();
  co_await second.send("\x16");
  while (t.under.server.connections() < 2) co_await boost::asio::post(t.loop.executor(), use_task);
  const auto third = co_await t.ask();
  EXPECT_FALSE(third);
  EXPECT_NE(third.error().message.find("alert internal error"), std::string::npos) << third.error().message;
  t.under.server.stop_accepting();
  EXPECT_EQ(co_await stuck.read_to_end(), "") << "stopping does not wait for handshakes";
  co_await t.under.server.drained();
  EXPECT_TRUE(t.failures.empty()) << t.failures.front().message;
}

TEST(TlsServer, HandshakesCountAsConnectionsAndEndWithTheServer) {
  TlsUnderTest t(ClientCertificate::kNone, {.max_connections = 2, .header_timeout = 1h});
  t.listen();
  run_task(t.loop, handshakes_count(t));
}

Task<void> leave_open(TlsUnderTest& t, std::vector<RawPeer>& peers) {
  peers.push_back(co_await t.dial_plain());
  peers.push_back(co_await t.dial_plain());
  co_await peers.back().send("\x16");
  for (const std::string target : {"/wait", "/endless", "/upgrade"}) {
    peers.push_back(co_await t.open());
    co_await peers.back().send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  co_await t.under.until_seen(3);
}

TEST(TlsServer, ALoopMayEndWithConnectionsOpen) {
  std::vector<RawPeer> peers;
  TlsUnderTest t;
  t.listen();
  run_task(t.loop, leave_open(t, peers));
  peers.clear();  // the leak checker looks on
}

}  // namespace
}  // namespace llm::net
