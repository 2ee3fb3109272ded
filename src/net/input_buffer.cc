#include "net/input_buffer.h"

#include <algorithm>

namespace llm::net {
namespace {
constexpr std::size_t kFirstRead = 4096;
constexpr std::size_t kLargestRead = 64 * 1024;
constexpr std::size_t kKeptWhenEmpty = 16 * 1024;
}  // namespace

struct InputBuffer::State {
  State(Transport& source, Executor executor, std::size_t limit) : transport(&source), arrived(executor), most(limit) {}
  Transport* transport;  // null once the owner is gone
  Event arrived;
  std::size_t most;
  std::string bytes;
  std::size_t begin = 0;  // consumed prefix of `bytes`
  std::size_t read_size = kFirstRead;
  bool pending = false;
  bool ended = false;
  bool failed = false;
  bool waiting = false;
  bool interrupted = false;
  std::size_t fresh = 0;  // bytes since the last wait_more
  std::function<void()> on_end;
};

InputBuffer::InputBuffer(Transport& transport, Executor executor, std::size_t most)
    : state_(std::make_shared<State>(transport, executor, most)) {
  pump(state_);
}

InputBuffer::~InputBuffer() {
  state_->transport = nullptr;
  state_->on_end = nullptr;
}

std::string_view InputBuffer::data() const {
  return std::string_view(state_->bytes).substr(state_->begin);
}

void InputBuffer::consume(std::size_t n) {
  auto& state = *state_;
  state.begin += n;
  if (state.begin == state.bytes.size()) {
    state.begin = 0;
    state.bytes.clear();
    if (state.bytes.capacity() > kKeptWhenEmpty) {
      state.bytes.shrink_to_fit();
      state.read_size = kFirstRead;
    }
  }
  pump(state_);
}

void InputBuffer::release() {
  if (state_->bytes.empty()) std::string().swap(state_->bytes);
}

Task<bool> InputBuffer::wait_more() {
  const auto state = state_;
  while (state->fresh == 0 && !state->ended && !state->interrupted) {
    state->waiting = true;
    co_await state->arrived.wait();
    state->waiting = false;
  }
  state->interrupted = false;
  const bool more = state->fresh > 0;
  state->fresh = 0;
  co_return more;
}

bool InputBuffer::ended() const {
  return state_->ended;
}
bool InputBuffer::failed() const {
  return state_->failed;
}

void InputBuffer::interrupt() {
  state_->interrupted = true;
  state_->arrived.notify();
}

void InputBuffer::on_end(std::function<void()> callback) {
  state_->on_end = std::move(callback);
  if (state_->ended && state_->on_end) std::exchange(state_->on_end, nullptr)();
}

void InputBuffer::pump(const std::shared_ptr<State>& state) {
  if (state->pending || state->ended || !state->transport) return;
  if (state->bytes.size() - state->begin >= state->most) return;
  state->pending = true;
  state->transport->async_readable([state](const Result<void>& ready) { on_readable(state, ready); });
}

void InputBuffer::on_readable(const std::shared_ptr<State>& state, const Result<void>& ready) {
  state->pending = false;
  if (!state->transport) return;
  bool end = !ready;
  state->failed = !ready;
  if (ready) {
    if (state->begin > 0 && state->begin >= state->bytes.size() / 2) {
      state->bytes.erase(0, state->begin);
      state->begin = 0;
    }
    const std::size_t old_size = state->bytes.size();
    Result<std::optional<std::size_t>> got;
    state->bytes.resize_and_overwrite(old_size + state->read_size, [&](char* data, std::size_t) {
      got = state->transport->try_read({data + old_size, state->read_size});
      return old_size + (got && *got ? **got : 0);
    });
    if (!got || (*got && **got == 0)) {
      end = true;
      state->failed = !got;
    } else if (*got) {
      state->fresh += **got;
      if (**got == state->read_size) state->read_size = std::min(state->read_size * 4, kLargestRead);
    }
  }
  state->ended = end;
  if (end && !state->waiting && state->on_end) std::exchange(state->on_end, nullptr)();
  pump(state);
  // Last, and without a detour through the loop's queue: what waits goes on inside.
  if (state->waiting && (state->fresh > 0 || end)) state->arrived.resume();
}

}  // namespace llm::net
