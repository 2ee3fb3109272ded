#include "net/tls_client.h"

#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>  // this is the only user
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "async/run_task.h"
#include "async/task_group.h"
#include "net/http_client.h"
#include "net/raw_peer.h"
#include "net/test_certificates.h"

namespace llm::net {
namespace {

using namespace std::chrono_literals;
namespace ssl = boost::asio::ssl;

// A certificate for `names` (subjectAltName's syntax), or an authority's when there are none.
TestIdentity make_identity(const char* common_name, const char* names, const TestIdentity* issuer) {
  return TestIdentity({.common_name = common_name, .names = names ? names : "", .authority = names == nullptr}, issuer);
}

class TlsClientTest : public testing::Test {
 protected:
  TlsClientTest() : listening(listen_tcp("127.0.0.1", 0).value()), engine(loop, listening) {
    const std::string file = folder.write("ca.pem", authority.certificate_pem());
    if (const char* old = getenv("SSL_CERT_FILE")) before = old;
    setenv("SSL_CERT_FILE", file.c_str(), 1);
  }
  ~TlsClientTest() override { before.empty() ? unsetenv("SSL_CERT_FILE") : setenv("SSL_CERT_FILE", before.c_str(), 1); }
  Result<std::string> ask(const TestIdentity& server, const std::string& host, const std::string& answer,
                          bool notify = true);

  Loop loop{"test"};
  TestIdentity authority = make_identity("Test Authority", nullptr, nullptr);
  int listening;
  RawListener engine;
  TestFolder folder;
  std::string before;
};

// A TLS server for one connection; `notify`: says goodbye as RFC 8446 section 6.1 wants it.
Task<void> serve_tls(RawListener& engine, ssl::context& context, std::string answer, bool notify) {
  ssl::stream<Socket> stream(co_await engine.accept_socket(), context);
  const auto greeted = co_await stream.async_handshake(ssl::stream_base::server, use_tuple);
  if (std::get<0>(greeted)) co_return;
  std::array<char, 4096> request;
  co_await stream.async_read_some(boost::asio::buffer(request), use_tuple);
  co_await boost::asio::async_write(stream, boost::asio::buffer(answer), use_tuple);
  if (notify) co_await stream.async_shutdown(use_tuple);
}

Task<void> get(HttpClient& client, Endpoint endpoint, Result<std::string>& body) {
  auto response = co_await client.send(endpoint, {}, {});
  if (response) {
    body = co_await response->read_all();
  } else {
    body = fail(response.error());
  }
}

Result<std::string> TlsClientTest::ask(const TestIdentity& server, const std::string& host, const std::string& answer,
                                       bool notify) {
  ssl::context context(ssl::context::tls_server);
  SSL_CTX_use_certificate(context.native_handle(), server.certificate());
  SSL_CTX_use_PrivateKey(context.native_handle(), server.key());
  HttpClient client(loop, {.connect_timeout = 10s, .idle_per_endpoint = 0});
  const Endpoint endpoint{.host = host, .port = local_port(listening), .tls = true};
  Result<std::string> body = fail(ErrorCode::kInternal, "not asked");
  TaskGroup group(loop.executor());
  group.spawn(serve_tls(engine, context, answer, notify));
  run_task(loop, get(client, endpoint, body));
  run_task(loop, group.join());
  return body;
}

constexpr const char* kHello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

TEST_F(TlsClientTest, AGoodCertificate) {
  const auto by_name = ask(make_identity("x", "DNS:localhost", &authority), "localhost", kHello);
  ASSERT_TRUE(by_name) << by_name.error().message;
  EXPECT_EQ(*by_name, "hello");
  const auto by_address = ask(make_identity("x", "IP:127.0.0.1", &authority), "127.0.0.1", kHello);
  ASSERT_TRUE(by_address) << by_address.error().message;
}

TEST_F(TlsClientTest, ALargeAnswer) {
  const std::string large(3'000'000, 'x');
  const auto body = ask(make_identity("x", "DNS:localhost", &authority), "localhost",
                        "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + large);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, large);
}

TEST_F(TlsClientTest, ACertificateForAnotherName) {
  for (const char* names : {"DNS:example.org", "DNS:localhost.example.org", "IP:127.0.0.1"}) {
    const auto body = ask(make_identity("localhost", names, &authority), "localhost", kHello);
    ASSERT_FALSE(body) << names;
    EXPECT_EQ(body.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(body.error().message.find("hostname mismatch"), std::string::npos) << body.error().message;
  }
  const auto body = ask(make_identity("x", "IP:127.0.0.2", &authority), "127.0.0.1", kHello);
  ASSERT_FALSE(body);
  EXPECT_NE(body.error().message.find("IP address mismatch"), std::string::npos) << body.error().message;
}

TEST_F(TlsClientTest, ACertificateThatNobodyVouchesFor) {
  const auto self_signed = ask(make_identity("localhost", "DNS:localhost", nullptr), "localhost", kHello);
  ASSERT_FALSE(self_signed);
  EXPECT_EQ(self_signed.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(self_signed.error().message.find("self-signed certificate"), std::string::npos)
      << self_signed.error().message;
  EXPECT_NE(self_signed.error().message.find("SSL_CERT_FILE"), std::string::npos) << "says the way out";
  const TestIdentity stranger = make_identity("Test Authority", nullptr, nullptr);
  EXPECT_FALSE(ask(make_identity("x", "DNS:localhost", &stranger), "localhost", kHello));
}

TEST_F(TlsClientTest, ABodyThatLastsUntilTheEndNeedsAnOrderlyEnd) {
  const auto server = make_identity("x", "DNS:localhost", &authority);
  const auto orderly = ask(server, "localhost", "HTTP/1.1 200 OK\r\n\r\nhello", true);
  ASSERT_TRUE(orderly) << orderly.error().message;
  EXPECT_EQ(*orderly, "hello");
  const auto cut = ask(server, "localhost", "HTTP/1.1 200 OK\r\n\r\nhello", false);
  ASSERT_FALSE(cut) << "anybody on the way could have cut it";
  EXPECT_EQ(cut.error().code, ErrorCode::kEngineFailed);
}

Task<void> serve_silence(RawListener& engine, const CancelSource* cancel) {
  auto peer = co_await engine.accept();
  if (cancel) cancel->cancel();
  co_await peer.read_to_end();
}

Task<void> connect_tls(Loop& loop, Endpoint endpoint, std::chrono::milliseconds timeout, CancelToken cancel,
                       ErrorCode code) {
  const auto transport = co_await connect(loop, endpoint, timeout, cancel);
  EXPECT_EQ(transport.error().code, code) << transport.error().message;
}

TEST_F(TlsClientTest, AHandshakeThatDoesNotEnd) {
  const Endpoint endpoint{.host = "127.0.0.1", .port = local_port(listening), .tls = true};
  TaskGroup group(loop.executor());
  group.spawn(serve_silence(engine, nullptr));
  run_task(loop, connect_tls(loop, endpoint, 60ms, {}, ErrorCode::kUnavailable));
  run_task(loop, group.join());
  CancelSource source;
  group.spawn(serve_silence(engine, &source));
  run_task(loop, connect_tls(loop, endpoint, 1h, source.token(), ErrorCode::kCancelled));
  run_task(loop, group.join());
}

}  // namespace
}  // namespace llm::net
