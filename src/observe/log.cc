#include "observe/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <mutex>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "base/strings.h"
#include "observe/log_format.h"

namespace llm::observe {
namespace {

constexpr int kFullPipeWaitMs = 50;
constexpr std::size_t kKeepBufferBytes = 64 * 1024;

constexpr std::array<std::string_view, 6> kLevelNames{"trace", "debug", "info", "warn", "error", "off"};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

// Writes lines to a descriptor, one write() each, so that processes which append to the same file do not mix lines.
// spdlog's own stream sinks buffer, do not report errors of standard error, and block on a pipe that nobody reads: a
// desktop client that never drains our standard error would stop the gateway.
class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  DescriptorSink(int fd, bool owned) : fd_(fd), owned_(owned) {
    struct stat info{};
    is_pipe_ = fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
  }
  ~DescriptorSink() override {
    if (owned_) ::close(fd_);
  }
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;

  // Takes the place of the old descriptor in one step; nobody has to stop writing.
  bool replace(int fd) {
#ifdef __linux__
    return ::dup3(fd, fd_, O_CLOEXEC) >= 0;
#else
    return ::dup2(fd, fd_) >= 0 && ::fcntl(fd_, F_SETFD, FD_CLOEXEC) == 0;
#endif
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view line(message.payload.data(), message.payload.size());
    if (broken_line_) {
      if (!put("\n")) throw std::runtime_error("log target full");
      broken_line_ = false;
    }
    while (!line.empty()) {
      // A pipe that polls writable takes PIPE_BUF bytes without blocking.
      const std::size_t chunk = is_pipe_ ? std::min<std::size_t>(line.size(), PIPE_BUF) : line.size();
      const std::size_t written = put(line.substr(0, chunk));
      if (written == 0) throw std::runtime_error("log target full or failing");  // counted by the logger's handler
      line.remove_prefix(written);
      broken_line_ = !line.empty();
    }
  }
  void flush_() override {}

  // Bytes written; 0 when the target takes nothing.
  std::size_t put(std::string_view bytes) {
    if (is_pipe_ && !wait_writable()) return 0;
    ssize_t written = 0;
    do {
      written = ::write(fd_, bytes.data(), bytes.size());
    } while (written < 0 && errno == EINTR);
    return written > 0 ? static_cast<std::size_t>(written) : 0;
  }

  bool wait_writable() const {
    pollfd poll_fd{fd_, POLLOUT, 0};
    int ready = 0;
    do {
      ready = ::poll(&poll_fd, 1, kFullPipeWaitMs);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 && (poll_fd.revents & POLLOUT) != 0;
  }

  int fd_;
  bool owned_;
  bool is_pipe_ = false;
  bool broken_line_ = false;  // the last line was cut: the next one starts on a line of its own
};

class TargetSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit TargetSink(LogTarget target) : target_(std::move(target)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    LogLevel level = LogLevel::kError;
    for (const auto candidate : {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn}) {
      if (spdlog_level(candidate) == message.level) level = candidate;
    }
    target_(level, {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

  LogTarget target_;
};

Result<int> open_file(const std::string& path) {
  std::error_code ignored;  // open() below says what is wrong
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0) {
    Error error = errno_error(errno, fmt::format("Cannot open the log file \"{}\"", path));
    error.message += ". Name a file that this user may write, or none to log to standard error.";
    return fail(std::move(error));
  }
  return fd;
}

bool use_color(const LogSettings& settings, bool terminal) {
  if (settings.color != LogColor::kAuto) return settings.color == LogColor::kAlways;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return terminal && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

}  // namespace

std::string_view to_string(LogLevel level) {
  return kLevelNames[static_cast<std::size_t>(level)];
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
    if (iequals(text, kLevelNames[i])) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

struct Log::Impl {
  Impl(spdlog::sink_ptr sink, bool as_json, bool with_color)
      : logger("llm-mcp", std::move(sink)), json(as_json), color(with_color) {
    logger.set_level(spdlog::level::trace);  // Log::enabled() decides
    logger.flush_on(spdlog::level::off);     // the sinks do not buffer
    logger.set_error_handler([this](const std::string&) { errors.fetch_add(1, std::memory_order_relaxed); });
  }

  spdlog::logger logger;
  std::shared_ptr<DescriptorSink> file_sink;  // shared with the logger; null unless a file is written
  std::string file;
  const bool json;
  const bool color;
  std::atomic<std::uint64_t> errors{0};
};

Log::Log() = default;
Log::~Log() = default;
Log::Log(std::unique_ptr<Impl> impl, LogLevel level) : level_(level), impl_(std::move(impl)) {}

Result<std::unique_ptr<Log>> Log::open(const LogSettings& settings) {
  int fd = STDERR_FILENO;
  if (!settings.file.empty()) {
    const auto opened = open_file(settings.file);
    if (!opened) return fail(opened.error());
    fd = *opened;
  }
  const bool terminal = settings.file.empty() && ::isatty(fd) == 1;
  const bool json = settings.format == LogFormat::kJson || (settings.format == LogFormat::kAuto && !terminal);
  auto sink = std::make_shared<DescriptorSink>(fd, !settings.file.empty());
  auto impl = std::make_unique<Impl>(sink, json, use_color(settings, terminal));
  if (!settings.file.empty()) {
    impl->file_sink = std::move(sink);
    impl->file = settings.file;
  }
  return std::unique_ptr<Log>(new Log(std::move(impl), settings.level));
}

std::unique_ptr<Log> Log::to_target(LogTarget target, LogLevel level, LogFormat format) {
  auto impl =
      std::make_unique<Impl>(std::make_shared<TargetSink>(std::move(target)), format != LogFormat::kText, false);
  return std::unique_ptr<Log>(new Log(std::move(impl), level));
}

void Log::set_level(LogLevel level) {
  if (impl_) level_.store(level, std::memory_order_relaxed);
}

void Log::write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  if (!impl_ || level >= LogLevel::kOff) return;
  thread_local std::string line;
  line.clear();
  const auto now = std::chrono::system_clock::now();
  if (impl_->json) {
    append_json_line(line, now, level, message, fields);
  } else {
    append_text_line(line, now, level, message, fields, impl_->color);
  }
  impl_->logger.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
  if (line.capacity() > kKeepBufferBytes) std::string().swap(line);
}

Result<void> Log::reopen() {
  if (!impl_ || !impl_->file_sink) return {};
  const auto fd = open_file(impl_->file);
  if (!fd) return fail(fd.error());
  const bool replaced = impl_->file_sink->replace(*fd);
  const int error = errno;
  ::close(*fd);
  if (!replaced) return fail(errno_error(error, fmt::format("Cannot reopen the log file \"{}\"", impl_->file)));
  return {};
}

std::uint64_t Log::write_errors() const {
  return impl_ ? impl_->errors.load(std::memory_order_relaxed) : 0;
}

std::string redact(std::string_view secret) {
  return secret.empty() ? std::string("<empty>") : fmt::format("<redacted {} bytes>", secret.size());
}

}  // namespace llm::observe
