#include "net/address.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "async/run_task.h"

namespace llm::net {
namespace {

using namespace std::chrono_literals;

struct Good {
  std::string_view url;
  Endpoint endpoint;
  std::string_view text;
};

TEST(Address, EndpointsThatAreGood) {
  const std::vector<Good> rows = {
      {"http://a", {.host = "a", .port = 80}, "http://a"},
      {"https://a", {.host = "a", .port = 443, .tls = true}, "https://a"},
      {"HTTPS://a:443/", {.host = "a", .port = 443, .tls = true}, "https://a"},
      {"http://a:8080/v1/", {.host = "a", .port = 8080, .base_path = "/v1"}, "http://a:8080/v1"},
      {"http://127.0.0.1:1", {.host = "127.0.0.1", .port = 1}, "http://127.0.0.1:1"},
      {"http://[::1]:9/x", {.host = "::1", .port = 9, .base_path = "/x"}, "http://[::1]:9/x"},
      {"http://[::1]", {.host = "::1", .port = 80}, "http://[::1]"},
      {"https://a:80", {.host = "a", .port = 80, .tls = true}, "https://a:80"},
      {"unix:/run/a.sock", {.unix_path = "/run/a.sock"}, "unix:/run/a.sock"},
      {"unix:/run/a.sock:/v1/", {.unix_path = "/run/a.sock", .base_path = "/v1"}, "unix:/run/a.sock"},
  };
  for (const auto& row : rows) {
    const auto parsed = parse_endpoint(row.url);
    ASSERT_TRUE(parsed) << row.url << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, row.endpoint) << row.url;
    EXPECT_EQ(parsed->text(), row.text);
  }
  EXPECT_EQ(parse_endpoint("http://[::1]:9")->authority(), "[::1]:9");
  EXPECT_EQ(parse_endpoint("unix:/a")->authority(), "localhost");
}

TEST(Address, EndpointsThatAreBad) {
  for (const std::string_view url : {"",
                                     "a",
                                     "a:80",
                                     "ftp://a",
                                     "http:/a",
                                     "http://",
                                     "http://:80",
                                     "http:///x",
                                     "http://a:",
                                     "http://a:0",
                                     "http://a:65536",
                                     "http://a:+1",
                                     "http://a:1x",
                                     "http://a b",
                                     "http://a/b c",
                                     "http://a\r\nX: y",
                                     "http://a/\x80",
                                     "http://me:pw@a",
                                     "http://a?x",
                                     "http://a/?x",
                                     "http://a/#x",
                                     "http://a#x",
                                     "http://[::1",
                                     "http://[]",
                                     "http://[::1]x",
                                     "http://[::1]:",
                                     "http://a\"b",
                                     "http://a\\b",
                                     "unix:",
                                     "unix:a.sock",
                                     "unix:/a.sock:/v 1",
                                     "unix:/a.sock:/v?x"}) {
    const auto parsed = parse_endpoint(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find("expected http://host[:port]"), std::string::npos);
    EXPECT_EQ(parsed.error().message.find("pw"), std::string::npos) << "credentials stay out of messages";
  }
}

TEST(Address, Loopback) {
  for (const std::string_view yes :
       {"localhost", "LocalHost", "127.0.0.1", "127.255.1.2", "::1", "[::1]", "0:0:0:0:0:0:0:1"}) {
    EXPECT_TRUE(is_loopback(yes)) << yes;
  }
  for (const std::string_view no : {"", "0.0.0.0", "::", "128.0.0.1", "127.1", "localhost.", "localhost.evil",
                                    "127.0.0.1.evil", "2130706433", "0x7f.1", "::ffff:127.0.0.1", "192.168.0.1"}) {
    EXPECT_FALSE(is_loopback(no)) << no;
  }
}

class SocketFolder : public testing::Test {
 protected:
  SocketFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "llm-mcp-address-XXXXXX";
    folder = mkdtemp(pattern.data());
  }
  ~SocketFolder() override { std::filesystem::remove_all(folder); }
  std::string folder;
};

TEST_F(SocketFolder, AUnixSocketIsPrivate) {
  const std::string path = folder + "/a.sock";
  const int fd = listen_unix(path).value();
  struct stat info{};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  close(fd);
}

TEST_F(SocketFolder, AStaleUnixSocketIsReplacedALiveOneIsNot) {
  const std::string path = folder + "/a.sock";
  const int first = listen_unix(path).value();
  const auto second = listen_unix(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_NE(second.error().message.find(path), std::string::npos);
  close(first);
  const auto third = listen_unix(path);
  ASSERT_TRUE(third) << third.error().message;
  close(*third);
}

TEST_F(SocketFolder, ABusyUnixSocketIsAlive) {
  const std::string path = folder + "/a.sock";
  const int fd = listen_unix(path).value();
  ASSERT_EQ(listen(fd, 0), 0);  // room for one that nobody accepts
  std::vector<int> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    (void)connect(waiting.back(), reinterpret_cast<const sockaddr*>(&address), size);
  }
  EXPECT_EQ(listen_unix(path).error().code, ErrorCode::kConflict);
  for (const int one : waiting) close(one);
  close(fd);
}

Error connect_error(Endpoint endpoint, std::chrono::milliseconds timeout = 5s, bool cancel = false);

TEST_F(SocketFolder, AnEngineWithAFullBacklogIsUnavailable) {
  const std::string path = folder + "/a.sock";
  const int fd = listen_unix(path).value();
  ASSERT_EQ(listen(fd, 0), 0);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  const int first = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  ASSERT_EQ(connect(first, reinterpret_cast<const sockaddr*>(&address), size), 0);
  const auto error = connect_error({.unix_path = path});
  EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.message;
  close(first);
  close(fd);
}

TEST_F(SocketFolder, WhatIsNotASocketIsLeftAlone) {
  const std::string path = folder + "/file";
  std::ofstream(path) << "precious";
  const auto listening = listen_unix(path);
  ASSERT_FALSE(listening);
  EXPECT_NE(listening.error().message.find("is not a socket"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(SocketFolder, APathThatIsTooLongSaysSo) {
  const auto listening = listen_unix(folder + "/" + std::string(200, 'x'));
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(listening.error().message.find("the system allows 107"), std::string::npos) << listening.error().message;
  EXPECT_EQ(listen_unix("").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(listen_unix(folder + "/none/a.sock").error().code, ErrorCode::kNotFound);
}

TEST(Address, APortInUseNamesItsHolder) {
  const int fd = listen_tcp("127.0.0.1", 0).value();
  const auto second = listen_tcp("127.0.0.1", local_port(fd));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_EQ(second.error().pointer, "/server/port");
  EXPECT_NE(second.error().message.find("is in use by net_test (process " + std::to_string(getpid()) + ")"),
            std::string::npos)
      << second.error().message;
  close(fd);
}

TEST(Address, AHostThatDoesNotExist) {
  const auto listening = listen_tcp("no host", 0);
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().pointer, "/server/host");
}

Task<void> connect_with(Loop& loop, Endpoint endpoint, std::chrono::milliseconds timeout, CancelToken cancel,
                        Error& error) {
  auto transport = co_await connect(loop, std::move(endpoint), timeout, cancel);
  if (!transport) error = transport.error();
}

Error connect_error(Endpoint endpoint, std::chrono::milliseconds timeout, bool cancel) {
  Loop loop("test");
  Error error{ErrorCode::kInternal, "connected", {}, {}, 0};
  CancelSource source;
  // Behind the start of the connect, which is posted after the outer one.
  if (cancel) loop.post([&] { loop.post([&] { source.cancel(); }); });
  run_task(loop, connect_with(loop, std::move(endpoint), timeout, source.token(), error));
  return error;
}

TEST(Address, ConnectSaysWhyItFailed) {
  const int fd = listen_tcp("127.0.0.1", 0).value();
  const std::uint16_t port = local_port(fd);
  close(fd);
  const auto refused = connect_error({.host = "127.0.0.1", .port = port});
  EXPECT_EQ(refused.code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.message, "cannot connect to http://127.0.0.1:" + std::to_string(port) + ": Connection refused");
  EXPECT_EQ(connect_error({.unix_path = "/nonexistent/a.sock"}).code, ErrorCode::kUnavailable);
  EXPECT_EQ(connect_error({.unix_path = "/" + std::string(200, 'x')}).code, ErrorCode::kInvalidArgument);
}

// A listener whose backlog is full: the kernel drops further attempts, so that connecting hangs.
class DeafListener {
 public:
  DeafListener() : fd_(listen_tcp("127.0.0.1", 0).value()) {
    EXPECT_EQ(listen(fd_, 0), 0);
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    for (int& one : waiting_) {
      one = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      (void)connect(one, reinterpret_cast<const sockaddr*>(&address), size);
    }
  }
  ~DeafListener() {
    for (const int one : waiting_) close(one);
    close(fd_);
  }
  Endpoint endpoint() const { return {.host = "127.0.0.1", .port = local_port(fd_)}; }

 private:
  int fd_;
  std::array<int, 4> waiting_{};
};

TEST(Address, ConnectingHasATimeout) {
  const DeafListener deaf;
  const auto error = connect_error(deaf.endpoint(), 60ms);
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_NE(error.message.find("took too long"), std::string::npos) << error.message;
}

TEST(Address, NamesAreLookedUp) {
  const int fd = listen_tcp("127.0.0.1", 0).value();
  EXPECT_EQ(connect_error({.host = "localhost", .port = local_port(fd)}).message, "connected");
  close(fd);
  // Given up while the look-up goes on.
  EXPECT_EQ(connect_error({.host = "localhost", .port = 1}, 1h, true).code, ErrorCode::kCancelled);
}

TEST(Address, ConnectingCanBeCancelled) {
  const DeafListener deaf;
  EXPECT_EQ(connect_error(deaf.endpoint(), 1h, true).code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace llm::net
