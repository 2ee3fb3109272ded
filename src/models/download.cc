#include "models/download.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "base/strings.h"
#include "json/json.h"
#include "models/http_get.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kReportStep = 512u << 10;
constexpr std::uint64_t kProgressWorthARetry = 1u << 20;
constexpr int kMaxBackoffMs = 30'000;
constexpr std::string_view kMagic = "GGUF";

// The entity tag if it is strong (RFC 9110, 8.8.3) and fit to be sent back, else nothing.
std::string_view strong_etag(std::string_view text) {
  const bool quoted = text.size() > 2 && text.size() < 1024 && text.front() == '"' && text.back() == '"';
  return quoted && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; }) ? text : std::string_view();
}

// What is on disk of one download.
class PartialFile final : public HttpSink {
 public:
  PartialFile(ModelStore& store, const DownloadPlan& plan, const ProgressCallback& progress)
      : store_(store), plan_(plan), progress_(progress), total_(plan.size), digest_(plan.digest) {
    const std::string key = sha256_of(plan.label + "\n" + (plan.digest ? plan.digest->hex() : "")).hex();
    file_ = store.partial_directory() / (key + ".part");
    notes_ = store.partial_directory() / (key + ".json");
  }

  // Nothing came: nothing is left behind.
  ~PartialFile() override {
    if (!fd_ || size_ > 0) return;
    ::unlink(notes_.c_str());
    ::unlink(file_.c_str());
  }

  Result<void> open();
  Result<void> start(const HttpHead& head) override;
  Result<void> data(std::span<const std::byte> bytes) override;

  // May the next attempt ask for the rest only? Else it starts over.
  bool resumable() const { return size_ > 0 && (!etag_.empty() || digest_.has_value()); }
  bool complete() const { return total_ && size_ == *total_; }
  bool ended() const { return !total_ || complete(); }
  Result<void> start_over();
  void add_headers(HttpGet& request) const;
  std::uint64_t size() const { return size_; }
  void report_now() const { report(progress_, Phase::kDownloading, size_, total_.value_or(0)); }
  Download take() { return {file_, notes_, std::move(fd_), digest_}; }
  const std::optional<Digest>& digest() const { return digest_; }

 private:
  // Throws away what is there and asks for another attempt.
  Result<void> start_over_because(std::string message);
  Result<void> start_whole(const HttpHead& head);
  Result<void> start_rest(const HttpHead& head);
  Result<void> set_total(std::uint64_t total);
  void read_notes();
  Result<void> write_notes();

  ModelStore& store_;
  const DownloadPlan& plan_;
  const ProgressCallback& progress_;
  fs::path file_;
  fs::path notes_;
  UniqueFd fd_;
  std::uint64_t size_ = 0;
  std::uint64_t reported_ = 0;
  std::optional<std::uint64_t> total_;
  std::optional<Digest> digest_;
  std::string etag_;  // strong, with its quotes; empty: none
  std::string head_;  // the first bytes, until they are enough to know the format
};

Result<void> PartialFile::open() {
  fd_.reset(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0644));
  if (!fd_) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot create {}", file_.string())));
  }
  struct stat opened{};
  struct stat named{};
  // The second look: whoever held the lock before us may have moved the file into the store.
  if (!try_lock(fd_.get()) || ::fstat(fd_.get(), &opened) != 0 || ::lstat(file_.c_str(), &named) != 0 ||
      opened.st_ino != named.st_ino) {
    fd_.reset();
    return fail(ErrorCode::kConflict,
                fmt::format("another process is downloading {}; wait for it and try again", plan_.file_name));
  }
  size_ = static_cast<std::uint64_t>(opened.st_size);
  read_notes();
  if (size_ > 0 && ((plan_.gguf && size_ < kMagic.size()) || !resumable() || (total_ && size_ > *total_)))
    return start_over();
  return {};
}

void PartialFile::read_notes() {
  const auto text = read_small_file(notes_, 64u << 10);
  if (!text) return;
  const auto document = json::parse(*text);
  if (!document || !document->is_object()) return;
  etag_ = strong_etag(json::string_or(document->get_object(), "etag"));
  const auto total = json::int_or(document->get_object(), "total");
  if (!total_ && total > 0) total_ = static_cast<std::uint64_t>(total);
  if (!digest_) {
    if (auto digest = Digest::parse(json::string_or(document->get_object(), "digest"))) digest_ = *digest;
  }
}

Result<void> PartialFile::write_notes() {
  json::object document;
  document["source"] = plan_.label;
  document["etag"] = etag_;
  document["total"] = total_.value_or(0);
  if (digest_) document["digest"] = digest_->to_string();
  return write_file_atomic(store_.files(), notes_, json::write(document));
}

Result<void> PartialFile::start_over() {
  if (::ftruncate(fd_.get(), 0) != 0) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot empty {}", file_.string())));
  }
  size_ = reported_ = 0;
  head_.clear();
  etag_.clear();
  total_ = plan_.size;
  digest_ = plan_.digest;
  return {};
}

Result<void> PartialFile::start_over_because(std::string message) {
  if (auto ok = start_over(); !ok) return ok;
  return fail(ErrorCode::kUnavailable, std::move(message));
}

void PartialFile::add_headers(HttpGet& request) const {
  request.headers.emplace_back("Accept-Encoding: identity");
  if (size_ == 0) return;
  request.headers.push_back(fmt::format("Range: bytes={}-", size_));
  if (!etag_.empty()) request.headers.push_back("If-Range: " + etag_);
}

Result<void> PartialFile::set_total(std::uint64_t total) {
  if (plan_.size && *plan_.size != total) {
    return fail(ErrorCode::kConflict,
                fmt::format("{}: {} bytes announced, {} offered; the file changed on the way, pull again",
                            plan_.file_name, *plan_.size, total));
  }
  total_ = total;
  return require_space(store_.files(), store_.root(), total - std::min(total, size_), store_.settings().reserve_bytes);
}

Result<void> PartialFile::start_whole(const HttpHead& head) {
  if (size_ > 0) {  // it ignores ranges, or the file changed
    if (auto ok = start_over(); !ok) return ok;
  }
  etag_ = strong_etag(head.header("etag"));
  if (const auto length = parse_number<std::uint64_t>(head.header("content-length"))) {
    if (auto ok = set_total(*length); !ok) return ok;
  }
  // The hub names the SHA-256 of a large file on the redirect to where it lies.
  if (const auto linked = head.first_headers.find("x-linked-etag"); !digest_ && linked != head.first_headers.end()) {
    std::string_view text = linked->second;
    if (text.size() > 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    if (auto digest = Digest::parse_hex(text)) digest_ = *digest;
  }
  return write_notes();
}

Result<void> PartialFile::start_rest(const HttpHead& head) {
  // "bytes 100-999/1000" (RFC 9110, 14.4)
  std::string_view range = head.header("content-range");
  const auto dash = range.find('-');
  const auto slash = range.find('/');
  if (!range.starts_with("bytes ") || dash == std::string_view::npos || slash == std::string_view::npos ||
      parse_number<std::uint64_t>(range.substr(6, dash - 6)) != size_) {
    return start_over_because(fmt::format("{} answered with another part than it was asked for", origin_of(head.url)));
  }
  if (const auto total = parse_number<std::uint64_t>(range.substr(slash + 1))) {
    if (total_ && *total_ != *total) {
      return start_over_because(fmt::format("{} changed between two attempts", plan_.file_name));
    }
    return set_total(*total);
  }
  return {};
}

Result<void> PartialFile::start(const HttpHead& head) {
  if (head.status == 200) return start_whole(head);
  if (head.status == 206 && size_ > 0) return start_rest(head);
  if (head.status == 416 && size_ > 0) {
    // Nothing after what we have: either that is all, or what we have is of another file.
    if (complete()) return {};
    return start_over_because(fmt::format("{} has changed since the last attempt", plan_.file_name));
  }
  return fail(hub_error(head, plan_.file_name, !plan_.token.empty()));
}

Result<void> PartialFile::data(std::span<const std::byte> bytes) {
  if (complete()) return {};  // the body of a 416
  if (plan_.gguf && size_ < kMagic.size()) {
    head_.append(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kMagic.size() - head_.size()));
    if (!kMagic.starts_with(head_)) {
      return fail(ErrorCode::kMalformed, fmt::format("{} is not a GGUF file{}; check the address", plan_.file_name,
                                                     head_.starts_with('<') ? " but a web page" : ""));
    }
  }
  if (total_ && bytes.size() > *total_ - size_) {
    return fail(ErrorCode::kConflict,
                fmt::format("{}: more bytes came than the {} announced; pull again", plan_.file_name, *total_));
  }
  auto written = write_all(store_.files(), fd_.get(), bytes, file_);
  struct stat info{};
  if (::fstat(fd_.get(), &info) == 0) size_ = static_cast<std::uint64_t>(info.st_size);
  if (!written) {
    written.error().message += "; what was downloaded so far is kept: pull again to go on";
    return written;
  }
  if (size_ - reported_ >= kReportStep || complete()) {
    reported_ = size_;
    report_now();
  }
  return {};
}

// Waits before the next attempt; false if cancelled meanwhile.
bool pause(std::int64_t milliseconds, const std::atomic<bool>& cancelled) {
  constexpr std::int64_t kStep = 100;
  for (; milliseconds > 0 && !cancelled; milliseconds -= kStep) {
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(kStep, milliseconds)));
  }
  return !cancelled;
}

bool worth_retrying(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kRateLimited;
}

}  // namespace

Result<Download> download(ModelStore& store, const PullSettings& settings, const DownloadPlan& plan,
                          const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  PartialFile part(store, plan, progress);
  if (auto ok = part.open(); !ok) return fail(std::move(ok.error()));
  if (plan.size) {
    const std::uint64_t rest = *plan.size - std::min(*plan.size, part.size());
    if (auto ok = require_space(store.files(), store.root(), rest, store.settings().reserve_bytes); !ok) {
      return fail(std::move(ok.error()));
    }
  }
  int failures = 0;
  std::int64_t wait = settings.backoff_ms;
  // A whole file that its digest will prove needs no question to the server.
  while (!(part.complete() && part.digest())) {
    if (auto go = check_cancelled(cancelled); !go) return fail(std::move(go.error()));
    part.report_now();
    if (!part.resumable() && part.size() > 0) {
      if (auto ok = part.start_over(); !ok) return fail(std::move(ok.error()));
    }
    HttpGet request;
    request.url = plan.url;
    request.bearer_token = plan.token;
    request.connect_timeout_ms = settings.connect_timeout_ms;
    request.stall_timeout_s = settings.stall_timeout_s;
    part.add_headers(request);
    const std::uint64_t before = part.size();
    auto head = http_get(request, part, cancelled);
    if (head && part.ended()) break;
    Error error = head ? Error{ErrorCode::kUnavailable, plan.file_name + ": the transfer ended too early", {}, {}, 0}
                       : std::move(head.error());
    if (!worth_retrying(error)) return fail(std::move(error));
    if (part.size() >= before + kProgressWorthARetry) failures = 0, wait = settings.backoff_ms;
    if (++failures >= settings.retries) {
      error.message += "; what was downloaded so far is kept: pull again to go on";
      return fail(std::move(error));
    }
    // A server that asks for patience gets it, up to the longest pause.
    const std::int64_t pause_ms = std::max<std::int64_t>(wait, error.retry_after_s * 1000LL);
    if (!pause(std::min<std::int64_t>(pause_ms, kMaxBackoffMs), cancelled))
      return fail(ErrorCode::kCancelled, "cancelled");
    wait = std::min<std::int64_t>(wait * 2, kMaxBackoffMs);
  }
  part.report_now();
  return part.take();
}

}  // namespace llm::models
