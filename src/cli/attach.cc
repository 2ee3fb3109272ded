#include "cli/attach.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "async/loop.h"
#include "base/paths.h"
#include "base/strings.h"
#include "cli/detached_process.h"

namespace llm::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kProbeTimeout{2'000};
constexpr std::chrono::milliseconds kFirstPause{10};  // doubles up to the longest
constexpr std::chrono::milliseconds kLongestPause{100};
constexpr std::uintmax_t kMaxLogBytes = 8UL << 20;  // a longer log is put aside before a gateway is started
constexpr std::streamoff kTailBytes = 2'048;
constexpr std::size_t kTailLines = 12;

// The right to start a gateway. Given back when destroyed, also by the death of this process.
class StartLock {
 public:
  explicit StartLock(int fd) : fd_(fd) {}
  StartLock(StartLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  StartLock& operator=(StartLock&&) = delete;
  ~StartLock() {
    if (fd_ >= 0) ::close(fd_);
  }

  static Result<StartLock> open(const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd < 0) return fail(errno_error(errno, fmt::format("cannot open {}", path.string())));
    return StartLock(fd);
  }
  bool try_lock() {
    held_ = held_ || ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
    return held_;
  }

 private:
  int fd_;
  bool held_ = false;
};

// The log of the gateway we start: makes its folder, keeps it from growing for ever, shows what was written since.
class StartLog {
 public:
  explicit StartLog(std::filesystem::path path) : path_(std::move(path)) {}

  Result<void> prepare() {
    std::error_code error;
    std::filesystem::create_directories(path_.parent_path(), error);
    if (error) return fail(errno_error(error.value(), fmt::format("cannot make {}", path_.parent_path().string())));
    const auto size = std::filesystem::file_size(path_, error);
    start_ = error ? 0 : static_cast<std::streamoff>(size);
    if (!error && size > kMaxLogBytes) {
      std::filesystem::rename(path_, path_.string() + ".old", error);
      if (!error) start_ = 0;
    }
    return {};
  }

  // " Its last words: …", or where to look.
  std::string last_words() const {
    std::ifstream in(path_, std::ios::binary);
    in.seekg(0, std::ios::end);
    const auto end = static_cast<std::streamoff>(in.tellg());
    const auto begin = std::max(start_, end - kTailBytes);
    std::string text;
    if (in && end > begin) {
      text.resize(static_cast<std::size_t>(end - begin));
      in.seekg(begin);
      in.read(text.data(), static_cast<std::streamsize>(text.size()));
      text.resize(static_cast<std::size_t>(in.gcount()));
    }
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (begin > start_) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);  // the rest of a cut line
    const auto lines = split(text, '\n');
    if (lines.size() > kTailLines) {
      text = text.substr(static_cast<std::size_t>(lines[lines.size() - kTailLines].data() - lines.front().data()));
    }
    if (text.empty()) return fmt::format(" It left nothing in its log {}.", path_.string());
    return fmt::format(" The end of its log {}:\n{}", path_.string(), text);
  }

 private:
  std::filesystem::path path_;
  std::streamoff start_ = 0;  // where this start's part begins
};

// One attempt to get a gateway, step by step.
class Attachment {
 public:
  Attachment(AttachSettings settings, StartLock lock)
      : settings_(std::move(settings)), log_(settings_.log_file), lock_(std::move(lock)) {}

  // To be called whenever nobody answered. Starts the gateway if that is ours to do; fails if the one we started ended.
  Result<void> step() {
    if (gateway_) {
      // It may have ended because somebody else's gateway has come up meanwhile: the next probe finds that one.
      if (gateway_->running() || std::exchange(last_chance_, false)) return {};
      return fail(ErrorCode::kUnavailable,
                  fmt::format("The gateway ended while it was starting.{}", log_.last_words()));
    }
    if (!lock_.try_lock()) return {};                        // another process is at it
    if (std::exchange(probe_under_lock_, false)) return {};  // it may have finished since we last asked
    if (auto prepared = log_.prepare(); !prepared) return prepared;
    auto started = DetachedProcess::start({settings_.program, settings_.arguments, settings_.log_file});
    if (!started) return fail(std::move(started.error()));
    gateway_ = std::move(*started);
    return {};
  }

  Error too_late() const {
    const auto seconds = std::chrono::duration<double>(settings_.timeout).count();
    std::string message =
        fmt::format("No gateway answered on {} within {:.1f} s. ", settings_.endpoint().text(), seconds);
    message += gateway_ ? fmt::format("The one that was started (process {}) still runs.{}", gateway_->pid(),
                                      log_.last_words())
                        : fmt::format("Another process is starting one; its log is {}.", settings_.log_file.string());
    return {ErrorCode::kUnavailable, std::move(message), {}, {}, 0};
  }

 private:
  AttachSettings settings_;
  StartLog log_;
  StartLock lock_;
  std::optional<DetachedProcess> gateway_;
  bool probe_under_lock_ = true;
  bool last_chance_ = true;
};

}  // namespace

net::Endpoint AttachSettings::endpoint() const {
  net::Endpoint endpoint;
  endpoint.unix_path = (socket.empty() ? runtime_dir / "gateway.sock" : socket).string();
  return endpoint;
}

std::vector<std::string> background_arguments(std::vector<std::string> global) {
  std::vector<std::string> arguments{"serve", "--tcp", "optional", "--set", "server.idle_exit=10m"};
  // Of the same kind as the flags below: among those the last one wins, while --idle-exit would win over all of them.
  arguments.insert(arguments.end(), std::make_move_iterator(global.begin()), std::make_move_iterator(global.end()));
  return arguments;
}

Task<bool> gateway_answers(net::HttpClient& http, net::Endpoint endpoint, CancelToken cancel) {
  net::ClientRequest request;
  request.target = "/livez";
  request.head_timeout = kProbeTimeout;
  request.stall_timeout = kProbeTimeout;
  auto response = co_await http.send(endpoint, request, cancel);
  if (!response) co_return false;
  const auto body = co_await response->read_all(64UL << 10);
  co_return body.has_value() && response->status() == 200;
}

Task<Result<net::Endpoint>> ensure_gateway(net::HttpClient& http, AttachSettings settings, CancelToken cancel) {
  const net::Endpoint endpoint = settings.endpoint();
  if (co_await gateway_answers(http, endpoint, cancel)) co_return endpoint;
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while looking for the gateway");
  if (auto made = ensure_private_dir(settings.runtime_dir); !made) co_return fail(std::move(made.error()));
  auto lock = StartLock::open(settings.runtime_dir / "gateway.start.lock");
  if (!lock) co_return fail(std::move(lock.error()));

  const auto deadline = Clock::now() + settings.timeout;
  Attachment attachment(std::move(settings), std::move(*lock));
  auto pause = kFirstPause;
  while (true) {
    if (auto stepped = attachment.step(); !stepped) co_return fail(std::move(stepped.error()));
    if (co_await gateway_answers(http, endpoint, cancel)) co_return endpoint;
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "cancelled while waiting for the gateway");
    if (Clock::now() >= deadline) co_return fail(attachment.too_late());
    co_await sleep_for(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
}

}  // namespace llm::cli
