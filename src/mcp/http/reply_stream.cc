#include "mcp/http/reply_stream.h"

#include <utility>

#include "net/sse.h"

namespace llm::mcp {
namespace {

// A short string needs no memory of its own.
bool has_memory(const std::string& text) {
  return text.capacity() >= sizeof(std::string);
}

}  // namespace

ReplyStream::ReplyStream(net::Exchange& exchange, const HttpSettings& settings)
    : exchange_(exchange),
      settings_(settings),
      changed_(exchange.loop().executor()),
      silence_([this] { on_silence(); }) {}

void ReplyStream::begin() {
  if (gone_ || std::exchange(streaming_, true)) return;
  if (answer_) net::append_sse_data(queue_, *std::exchange(answer_, std::nullopt));
  changed_.notify();
}

void ReplyStream::event(std::string_view message, std::string_view id) {
  if (gone_) return;
  if (queued() > settings_.max_queued_bytes) return cut();
  begin();
  if (!id.empty()) queue_.append("id: ").append(id).push_back('\n');
  net::append_sse_data(queue_, message);
  note_queued();
  changed_.notify();
}

void ReplyStream::answer(std::string_view message, int status) {
  if (gone_) return;
  if (streaming_ || answer_) return event(message);
  answer_ = message;
  answer_status_ = status;
}

void ReplyStream::finish() {
  finished_ = true;
  changed_.notify();
}

// Whoever sends may be in the middle of a list of listeners: on_gone has to wait.
void ReplyStream::cut() {
  if (std::exchange(gone_, true)) return;
  changed_.notify();
  exchange_.abort();
}

void ReplyStream::leave() {
  if (std::exchange(gone_, true)) return;
  if (on_gone) on_gone();
  changed_.notify();
}

void ReplyStream::on_silence() {
  if (gone_ || finished_) return;
  if (streaming_) {
    release_buffers();
    if (queue_.empty()) net::append_sse_comment(queue_, "alive");
  } else {
    begin();
    if (on_slow_answer) on_slow_answer();
  }
  changed_.notify();
}

Task<void> ReplyStream::run() {
  const auto registration = exchange_.cancelled().on_cancel([this] { leave(); });
  while (!gone_) {
    Result<void> written;
    if (finished_) {
      written = co_await finish_answer();
      if (written) co_return;
    } else if (!queue_.empty() || (streaming_ && !exchange_.started())) {
      written = co_await write_queue();
    } else {
      exchange_.loop().wheel().arm(silence_, settings_.keep_alive);
      co_await changed_.wait();
      silence_.clear();
    }
    if (!written) leave();
  }
}

Task<Result<void>> ReplyStream::write_queue() {
  in_write_.clear();
  in_write_.swap(queue_);
  Result<void> written;
  if (exchange_.started()) {
    written = co_await exchange_.write(in_write_);
  } else {
    exchange_.response_headers().set("Cache-Control", "no-cache");
    exchange_.response_headers().set("X-Accel-Buffering", "no");  // nginx in front would hold events back
    in_write_.insert(0, preamble_);
    written = co_await exchange_.begin_stream(200, "text/event-stream", in_write_);
    exchange_.release_memory();
  }
  in_write_.clear();
  note_queued();
  co_return written;
}

// A request that its client cancelled has no answer, but its POST needs one: 202, nothing follows.
Task<Result<void>> ReplyStream::finish_answer() {
  if (!streaming_) {
    if (answer_) co_return co_await exchange_.respond(answer_status_, "application/json", *answer_);
    co_return co_await exchange_.respond(202, {}, {});
  }
  if (!exchange_.started()) {
    if (auto written = co_await write_queue(); !written) co_return written;
  }
  in_write_.clear();
  in_write_.swap(queue_);
  co_return co_await exchange_.end_stream(in_write_);
}

// There may be thousands of silent streams.
void ReplyStream::release_buffers() {
  if (queue_.empty() && has_memory(queue_)) std::string().swap(queue_);
  if (in_write_.empty() && has_memory(in_write_)) std::string().swap(in_write_);
  if (has_memory(preamble_)) std::string().swap(preamble_);  // it was sent with the head
}

}  // namespace llm::mcp
