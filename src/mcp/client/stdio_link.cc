#include "mcp/client/stdio_link.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"

namespace llm::mcp {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr std::chrono::milliseconds kLastMoment{1000};
// What a server may write to our log: so many lines in that time, each so long.
constexpr std::uint32_t kLogLines = 100;
constexpr std::chrono::seconds kLogWindow{10};
constexpr std::size_t kLogLineBytes = 1024;

}  // namespace

StdioLink::StdioLink(Loop& loop, ProgramSettings settings, observe::Log& log)
    : StdioLink(loop, std::move(settings), log, {}) {}

StdioLink::StdioLink(Loop& loop, ProgramSettings settings, observe::Log& log, ChildPipes pipes)
    : loop_(loop),
      settings_(std::move(settings)),
      log_(log),
      pipes_(pipes),
      input_(loop.executor()),
      output_(loop.executor()),
      reader_(settings_.max_message_bytes),
      queued_(loop.executor()),
      exited_(loop.executor()),
      patience_([this] { exited_.notify(); }),
      last_moment_([this] { end_of_output(); }),
      tasks_(loop.executor()) {}

StdioLink::~StdioLink() {
  if (pipes_.input >= 0) ::close(pipes_.input);
  if (pipes_.output >= 0) ::close(pipes_.output);
}

Result<void> StdioLink::start(Listener& listener) {
  listener_ = &listener;
  if (!settings_.argv.empty()) {
    auto child = ChildProcess::start(
        loop_.executor(),
        {.argv = settings_.argv, .env = settings_.env, .working_directory = settings_.working_directory, .piped = true},
        [this](std::string_view line) { on_error_line(line); },
        [this](ExitStatus status) {
          exit_text_ = status.text();
          exited_.notify();
          if (output_ended_) return end_of_output();
          loop_.wheel().arm(last_moment_, kLastMoment);  // somebody else may hold its stdout
        });
    if (!child) return fail(std::move(child.error()));
    child_ = std::move(*child);
    pipes_ = child_->take_pipes();
  }
  input_.assign(std::exchange(pipes_.input, -1));
  output_.assign(std::exchange(pipes_.output, -1));
  tasks_.spawn(read(this));
  tasks_.spawn(write(this));
  return {};
}

void StdioLink::send(Outgoing message) {
  if (closed_ || stopping_) return;  // on_closed told it
  if (queue_.size() + writing_ + message.text.size() > settings_.max_queued_bytes) {
    if (!message.id) return;
    Error why{ErrorCode::kOverloaded,
              fmt::format("{} does not read: {} wait for it", settings_.label, format_bytes(queue_.size() + writing_)),
              {},
              {},
              0};
    tasks_.spawn(lose(this, std::move(*message.id), std::move(why)));
    return;
  }
  queue_.append(message.text).push_back('\n');
  queued_.notify();
}

Task<void> StdioLink::lose(StdioLink* self, RequestId id, Error why) {
  co_await after_what_is_ready(self->loop_.executor());
  if (!self->closed_ && !self->stopping_) self->listener_->on_lost(id, std::move(why));
}

Task<void> StdioLink::write(StdioLink* self) {
  while (true) {
    while (self->queue_.empty() && !self->closed_ && !self->stopping_) co_await self->queued_.wait();
    if (self->closed_ || self->stopping_) co_return;
    std::string batch;
    batch.swap(self->queue_);
    self->writing_ = batch.size();
    const auto [error, count] = co_await boost::asio::async_write(self->input_, boost::asio::buffer(batch), use_tuple);
    self->writing_ = 0;
    // The reader, or the exit, says why.
    if (error) co_return;
  }
}

Task<void> StdioLink::read(StdioLink* self) {
  while (!self->stopping_) {
    const auto space = self->reader_.space(kReadBytes);
    const auto [error, count] =
        co_await self->output_.async_read_some(boost::asio::buffer(space.data(), space.size()), use_tuple);
    if (error || self->stopping_) break;
    self->reader_.filled(count);
    while (const auto line = self->reader_.next()) {
      if (line->too_long) {
        self->listener_->on_overlong(self->settings_.max_message_bytes);
      } else {
        self->listener_->on_message(line->text, nullptr);
      }
      if (self->stopping_) co_return;
    }
  }
  self->output_ended_ = true;
  if (self->stopping_ || self->closed_) co_return;
  if (self->child_ && self->exit_text_.empty()) {
    self->loop_.wheel().arm(self->last_moment_, kLastMoment);  // its exit says more than the end of its output
  } else {
    self->end_of_output();
  }
}

void StdioLink::end_of_output() {
  last_moment_.clear();
  close(exit_text_.empty() ? "closed its output" : exit_text_);
}

void StdioLink::close(std::string why) {
  if (std::exchange(closed_, true) || stopping_) return;
  queued_.notify();
  listener_->on_closed({ErrorCode::kUnavailable, fmt::format("{} {}", settings_.label, why), {}, {}, 0});
}

void StdioLink::on_error_line(std::string_view line) {
  const auto now = std::chrono::steady_clock::now();
  if (now - window_ >= kLogWindow) {
    if (window_lines_ > kLogLines) {
      log_.warn("lines of a server's stderr were left out",
                {{"server", settings_.label}, {"lines", window_lines_ - kLogLines}});
    }
    window_ = now;
    window_lines_ = 0;
  }
  if (++window_lines_ > kLogLines) return;
  log_.info("server says", {{"server", settings_.label}, {"text", line.substr(0, kLogLineBytes)}});
}

Task<void> StdioLink::wait_for_exit() {
  loop_.wheel().arm(patience_, settings_.stop_patience);
  while (child_->running() && patience_.armed()) co_await exited_.wait();
  patience_.clear();
}

Task<void> StdioLink::stop() {
  stopping_ = true;
  last_moment_.clear();
  queued_.notify();
  boost::system::error_code ignored;
  input_.close(ignored);  // a server ends when its input does
  if (child_) {
    if (child_->running()) co_await wait_for_exit();
    if (child_->running()) {
      child_->terminate();
      co_await wait_for_exit();
    }
    child_.reset();  // kills what is left
  }
  output_.close(ignored);
  co_await tasks_.join();
}

}  // namespace llm::mcp
