#include "mcp/stdio_transport.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "async/event.h"
#include "async/task_group.h"
#include "mcp/connection.h"
#include "mcp/line_reader.h"
#include "mcp/outbox.h"

namespace llm::mcp {
namespace {

namespace asio = boost::asio;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

constexpr std::size_t kKeepBytes = std::size_t{1} << 20;  // a queue that grew beyond this is given back when empty

// Remembers the file status flags of a descriptor that belongs to somebody else, and puts them back.
class FlagsGuard {
 public:
  explicit FlagsGuard(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {}
  ~FlagsGuard() {
    if (flags_ >= 0) ::fcntl(fd_, F_SETFL, flags_);
  }
  FlagsGuard(const FlagsGuard&) = delete;
  FlagsGuard& operator=(const FlagsGuard&) = delete;

 private:
  int fd_;
  int flags_;
};

// The two directions of one client. What is sent while a read is handled leaves in one write at its end, tried at once;
// what the pipe does not take then, and what is sent at other times, is the writing coroutine's.
class StdioSession final : public Outbox {
 public:
  StdioSession(const Server& server, Loop& loop, const StdioSettings& settings)
      : settings_(settings),
        in_(loop.executor()),
        out_(loop.executor()),
        work_(loop.executor()),
        room_(loop.executor()),
        flush_deadline_(loop.executor()),
        writers_(loop.executor()),
        lines_(settings.max_line_bytes),
        connection_(server, loop, *this) {}

  Result<void> open(int in, int out);
  Task<void> run(CancelToken stop);

  void send(std::string_view message, const Label&) override {
    if (broken_) return;
    pending_.append(message).push_back('\n');
    if (!corked_ && !writing_) work_.notify();
  }
  bool congested() const override { return queued() > settings_.max_queued_bytes / 2; }

 private:
  using Stream = asio::posix::basic_stream_descriptor<Executor>;

  static Result<void> adopt(Stream& stream, int fd, std::string_view name);
  std::size_t queued() const { return pending_.size() + in_write_.size(); }
  void stop();
  void break_off();
  void write_now();
  void handle(const LineReader::Line& line);
  Task<void> handle_lines();
  Task<void> write_loop();
  Task<void> flush();

  const StdioSettings settings_;
  Stream in_;
  Stream out_;
  Event work_;  // something to write, or the end
  Event room_;  // something was written
  Timer flush_deadline_;
  TaskGroup writers_;
  LineReader lines_;
  std::string pending_;   // not yet given to a write
  std::string in_write_;  // being written by write_loop
  bool corked_ = false;   // a read is being handled
  bool writing_ = false;  // write_loop is at it
  bool ended_ = false;    // read no more
  bool closing_ = false;  // write what there is, then end
  bool written_ = false;  // write_loop has ended
  bool broken_ = false;   // nobody reads our output
  Connection connection_;
};

Result<void> StdioSession::adopt(Stream& stream, int fd, std::string_view name) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return fail(errno_error(errno, name));
  boost::system::error_code error;
  stream.assign(copy, error);
  if (error) {
    ::close(copy);
    return fail(errno_error(error.value(), name));
  }
  stream.non_blocking(true, error);
  if (error) return fail(errno_error(error.value(), name));
  return {};
}

Result<void> StdioSession::open(int in, int out) {
  if (auto adopted = adopt(in_, in, "standard input"); !adopted) return adopted;
  return adopt(out_, out, "standard output");
}

void StdioSession::stop() {
  ended_ = true;
  boost::system::error_code ignored;
  in_.cancel(ignored);
  room_.notify();
}

void StdioSession::break_off() {
  broken_ = true;
  pending_ = {};
  stop();
}

void StdioSession::write_now() {
  if (writing_ || pending_.empty()) return;
  boost::system::error_code error;
  const std::size_t sent = out_.write_some(asio::buffer(pending_), error);
  if (error && error != asio::error::would_block && error != asio::error::interrupted) return break_off();
  pending_.erase(0, sent);
  if (!pending_.empty()) return work_.notify();
  if (pending_.capacity() > kKeepBytes) pending_ = {};
}

void StdioSession::handle(const LineReader::Line& line) {
  if (line.too_long) return connection_.on_overlong_line(lines_.max_line_bytes());
  connection_.on_line(line.text);
}

Task<void> StdioSession::handle_lines() {
  corked_ = true;
  while (!ended_) {
    const auto line = lines_.next();
    if (!line) break;
    handle(*line);
    if (queued() < settings_.max_queued_bytes) continue;
    corked_ = false;
    write_now();
    while (queued() >= settings_.max_queued_bytes && !ended_) co_await room_.wait();
    corked_ = true;
  }
  corked_ = false;
  write_now();
}

Task<void> StdioSession::write_loop() {
  for (;;) {
    while (pending_.empty() && !closing_ && !broken_) co_await work_.wait();
    if (pending_.empty() || broken_) break;
    writing_ = true;
    in_write_.swap(pending_);
    const auto result = co_await asio::async_write(out_, asio::buffer(in_write_), use_tuple);
    writing_ = false;
    in_write_.clear();
    if (in_write_.capacity() > kKeepBytes) in_write_ = {};
    if (std::get<0>(result)) break_off();
    room_.notify();
  }
  written_ = true;
  flush_deadline_.cancel();
}

// Ends write_loop after what is queued, or at the deadline.
Task<void> StdioSession::flush() {
  closing_ = true;
  work_.notify();
  if (!written_) {
    flush_deadline_.expires_after(settings_.flush_timeout);
    const auto result = co_await flush_deadline_.async_wait(use_tuple);
    boost::system::error_code ignored;
    if (!std::get<0>(result)) out_.cancel(ignored);
  }
  co_await writers_.join();
}

Task<void> StdioSession::run(CancelToken stop_token) {
  const auto stopping = stop_token.on_cancel([this] { stop(); });
  writers_.spawn(write_loop());
  while (!ended_) {
    const auto space = lines_.space(settings_.read_bytes);
    const auto result = co_await in_.async_read_some(asio::buffer(space.data(), space.size()), use_tuple);
    if (std::get<0>(result)) break;
    lines_.filled(std::get<1>(result));
    co_await handle_lines();
  }
  if (!ended_) {
    if (const auto line = lines_.last()) handle(*line);
  }
  connection_.close();
  co_await connection_.drained();
  co_await flush();
}

}  // namespace

Task<Result<void>> run_stdio(const Server& server, Loop& loop, int in, int out, StdioSettings settings,
                             CancelToken stop) {
  const FlagsGuard in_flags(in);
  const FlagsGuard out_flags(out);
  StdioSession session(server, loop, settings);
  auto opened = session.open(in, out);
  if (opened) co_await session.run(std::move(stop));
  co_return opened;
}

}  // namespace llm::mcp
