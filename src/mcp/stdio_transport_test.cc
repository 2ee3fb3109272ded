#include "mcp/stdio_transport.h"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <signal.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "async/cancel.h"
#include "base/strings.h"
#include "mcp/example_tools.h"

namespace llm::mcp {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using namespace std::chrono_literals;

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

std::pair<Fd, Fd> pipe_pair() {  // read, write
  std::array<int, 2> fds{};
  EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

std::pair<Fd, Fd> socket_pair(int type) {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

void unblock(const Fd& fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

std::string ping(int id) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":"ping"})" + "\n";
}
std::string call(int id, std::string_view tool) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":"tools/call","params":{"name":")" +
         std::string(tool) + "\"}}\n";
}
std::string pong(int id) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"result":{}})" + "\n";
}

// The server runs on `in_` and `out_`; the test holds the other ends.
class Stdio : public testing::Test {
 protected:
  Stdio() {
    ::signal(SIGPIPE, SIG_IGN);
    example::add_tools(server_.tools());
    std::tie(in_, to_server_) = pipe_pair();
    std::tie(from_server_, out_) = pipe_pair();
    unblock(from_server_);
  }

  void start(StdioSettings settings = {}) {
    boost::asio::co_spawn(context_, run_stdio(server_, loop_, in_.get(), out_.get(), settings, stop_.token()),
                          [this](std::exception_ptr error, Result<void> result) {
                            EXPECT_FALSE(error);
                            result_ = std::move(result);
                          });
    turn();
  }
  void write(std::string_view text) {
    ASSERT_EQ(::write(to_server_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Runs what is ready.
  void turn() {
    context_.restart();
    while (context_.poll() > 0) {
    }
  }
  // Runs until the server returns; the time only bounds a failing test.
  void finish() {
    context_.restart();
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!result_ && std::chrono::steady_clock::now() < deadline) context_.run_one_until(deadline);
    ASSERT_TRUE(result_) << "the server did not return";
    EXPECT_TRUE(*result_) << result_->error().message;
  }
  // What there is to read now.
  std::string read() {
    std::string text;
    std::array<char, 65536> buffer{};
    for (;;) {
      const ssize_t got = ::read(from_server_.get(), buffer.data(), buffer.size());
      if (got <= 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

  Server server_{example::server_info()};
  CancelSource stop_;
  Fd in_, to_server_, from_server_, out_;
  std::optional<Result<void>> result_;
  Loop loop_{"test"};
  boost::asio::io_context& context_ = loop_.context();
};

TEST_F(Stdio, AnswersAndReturnsWhenTheInputEnds) {
  start();
  write(ping(1));
  turn();
  EXPECT_EQ(read(), pong(1));
  EXPECT_FALSE(result_);
  write(ping(2) + R"({"jsonrpc":"2.0","id":3,"method":"ping"})");  // the last line needs no newline
  to_server_.close();
  finish();
  EXPECT_EQ(read(), pong(2) + pong(3));
}

TEST_F(Stdio, OneReadIsAnsweredByOneWrite) {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);  // keeps writes apart
  out_ = std::move(theirs);
  std::string requests;
  std::string answers;
  for (int i = 0; i < 100; ++i) {
    requests += i % 2 == 0 ? ping(i) : call(i, "nothing");
    answers +=
        i % 2 == 0 ? pong(i) : R"({"jsonrpc":"2.0","id":)" + std::to_string(i) + R"(,"result":{"content":[]}})" + "\n";
  }
  write(requests);
  to_server_.close();
  start();
  finish();
  std::array<char, 65536> packet{};
  const ssize_t got = ::recv(ours.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  EXPECT_EQ(std::string_view(packet.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))), answers);
  EXPECT_LT(::recv(ours.get(), packet.data(), packet.size(), MSG_DONTWAIT), 0);
}

TEST_F(Stdio, GivesTheFlagsBack) {
  std::tie(in_, to_server_) = socket_pair(SOCK_STREAM);
  out_ = Fd(::dup(in_.get()));  // one open description for both directions
  const int before = ::fcntl(in_.get(), F_GETFL);
  start();
  EXPECT_NE(::fcntl(in_.get(), F_GETFL), before);
  to_server_.close();
  finish();
  EXPECT_EQ(::fcntl(in_.get(), F_GETFL), before);
}

TEST_F(Stdio, TheEndOfTheInputCancelsCalls) {
  start();
  write(call(1, "wait"));
  turn();
  EXPECT_EQ(read(), "");
  to_server_.close();
  finish();
  EXPECT_THAT(read(), HasSubstr("The call was stopped."));
}

TEST_F(Stdio, StopEndsItToo) {
  start();
  write(call(1, "wait"));
  turn();
  stop_.cancel();
  finish();
  EXPECT_THAT(read(), HasSubstr("The call was stopped."));
}

TEST_F(Stdio, StoppedBeforeItStarts) {
  stop_.cancel();
  write(ping(1));
  start();
  finish();
  EXPECT_EQ(read(), "");
}

TEST_F(Stdio, ABrokenOutputEndsIt) {
  start();
  write(call(1, "wait"));
  turn();
  from_server_.close();
  write(ping(2));
  finish();
}

TEST_F(Stdio, AnOverlongLineIsAnsweredOnce) {
  start({.max_line_bytes = 100, .read_bytes = 64});
  write(std::string(5000, 'x') + "\n" + ping(1));
  turn();
  const std::string text = read();
  EXPECT_EQ(std::ranges::count(text, '\n'), 2);
  EXPECT_THAT(text, HasSubstr("-32600"));
  EXPECT_THAT(text, EndsWith(pong(1)));
  to_server_.close();
  finish();
}

TEST_F(Stdio, ReadsAFile) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  for (int i = 0; i < 3; ++i) std::fputs(ping(i).c_str(), file);
  std::rewind(file);
  in_ = Fd(::dup(::fileno(file)));
  std::fclose(file);
  start();
  finish();
  EXPECT_EQ(read(), pong(0) + pong(1) + pong(2));
}

TEST_F(Stdio, BadDescriptorsAreAnError) {
  in_.close();
  start();
  ASSERT_TRUE(result_);
  ASSERT_FALSE(*result_);
  EXPECT_THAT(result_->error().message, HasSubstr("standard input"));
}

// A client that sends and does not read must not make us store its answers without end.
TEST_F(Stdio, SlowReadersAreNotReadFrom) {
  unblock(to_server_);
  start({.max_queued_bytes = 10'000, .read_bytes = 4096});
  const std::string request = R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})"
                              "\n";
  std::string rest;  // of a request that the pipe took in part
  int sent = 0;
  const auto offer = [&] {
    if (rest.empty()) return false;
    const ssize_t took = ::write(to_server_.get(), rest.data(), rest.size());
    if (took > 0) rest.erase(0, static_cast<std::size_t>(took));
    return took > 0;
  };
  for (bool taken = true; taken && sent < 10'000;) {
    if (rest.empty()) {
      rest = request;
      ++sent;
    }
    taken = offer();
    turn();
  }
  // What fills the pipe to the server, and some that were read: far from all that a greedy reader would take.
  EXPECT_LT(static_cast<std::size_t>(sent), 2 * 65536 / request.size());

  // It reads at last: everything is answered.
  std::ptrdiff_t answered = 0;
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (std::chrono::steady_clock::now() < deadline && answered < sent) {
    offer();
    answered += std::ranges::count(read(), '\n');
    turn();
  }
  EXPECT_EQ(answered, sent);
  to_server_.close();
  finish();
}

TEST_F(Stdio, ProgressIsNotSentToSlowReaders) {
  start({.max_queued_bytes = 300'000});
  std::string request = call(2, "steps");
  request.insert(request.find("\"name\""), R"("_meta":{"progressToken":1},)");
  write(call(1, "huge") + request);  // 200,000 bytes, more than a pipe takes
  write(request);
  turn();
  write(ping(3));
  std::string answers;
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (std::chrono::steady_clock::now() < deadline && !answers.ends_with(pong(3))) {
    answers += read();
    turn();
  }
  EXPECT_THAT(answers, HasSubstr("in three steps"));
  EXPECT_EQ(answers.find("notifications/progress"), std::string::npos);
  to_server_.close();
  finish();
}

TEST_F(Stdio, AClientThatNeverReadsDoesNotKeepUs) {
  start({.flush_timeout = 1ms});
  write(call(1, "huge"));
  turn();
  to_server_.close();
  finish();
}

}  // namespace
}  // namespace llm::mcp
