#include "models/http_get.h"

#include <algorithm>
#include <curl/curl.h>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace llm::models {

namespace {

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxHeaders = 200;
constexpr int kPollMs = 150;

struct FreeEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeMulti {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct FreeUrl {
  void operator()(CURLU* handle) const { curl_url_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
using Multi = std::unique_ptr<CURLM, FreeMulti>;
using Url = std::unique_ptr<CURLU, FreeUrl>;
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

std::string url_part(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string result(text);
  curl_free(text);
  return result;
}

bool is_loopback(std::string_view host) {
  if (iequals(host, "localhost") || host == "[::1]" || host == "::1") return true;
  const auto parts = split(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  for (const auto part : parts) {
    if (!parse_number<std::uint8_t>(part)) return false;
  }
  return true;
}

Result<void> check(CURLU* url) {
  const std::string scheme = url_part(url, CURLUPART_SCHEME);
  const std::string host = url_part(url, CURLUPART_HOST);
  if (host.empty()) return fail(ErrorCode::kInvalidArgument, "the address has no host; write https://HOST/PATH");
  if (!url_part(url, CURLUPART_USER).empty() || !url_part(url, CURLUPART_PASSWORD).empty()) {
    return fail(ErrorCode::kInvalidArgument, "the address contains a user name or password; give a token instead");
  }
  if (scheme == "https" || (scheme == "http" && is_loopback(host))) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("{}://{} is not allowed: use https (plain http only to this machine)", scheme, host));
}

Url parse_url(std::string_view text) {
  Url url(curl_url());
  // No control characters or spaces, which curl would otherwise fold away.
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7F) return nullptr;
  }
  // "https:///x" has no host; curl would take "x" for it.
  if (text.find(":///") != std::string_view::npos) return nullptr;
  if (!url || curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0) != CURLUE_OK) return nullptr;
  return url;
}

// The state of one hop, filled by curl's callbacks.
struct Hop {
  HttpSink& sink;
  bool first;
  HttpHead head;
  bool started = false;
  std::optional<Error> error;

  bool redirected() const {
    const int s = head.status;
    return (s == 301 || s == 302 || s == 303 || s == 307 || s == 308) && !head.header("location").empty();
  }
  bool start() {
    if (started || redirected()) return true;
    started = true;
    if (first) head.first_headers = head.headers;
    if (auto ok = sink.start(head); !ok) error = std::move(ok.error());
    return !error;
  }
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& hop = *static_cast<Hop*>(user);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // also after "100 Continue" and a proxy's answer: start anew
    hop.head.headers.clear();
    const auto space = line.find(' ');
    hop.head.status = space == std::string_view::npos ? 0 : parse_number<int>(line.substr(space + 1, 3)).value_or(0);
    return line.size();
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || hop.head.headers.size() >= kMaxHeaders) return line.size();
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.remove_suffix(1);
  hop.head.headers[to_lower(line.substr(0, colon))] = trim(value);
  return line.size();
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& hop = *static_cast<Hop*>(user);
  const std::size_t bytes = size * count;
  if (hop.redirected()) return bytes;
  if (!hop.start()) return CURL_WRITEFUNC_ERROR;
  if (auto ok = hop.sink.data(std::as_bytes(std::span(data, bytes))); !ok) {
    hop.error = std::move(ok.error());
    return CURL_WRITEFUNC_ERROR;
  }
  return bytes;
}

void configure(CURL* easy, const HttpGet& request, const std::string& url, Hop& hop, curl_slist* headers) {
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "llm-mcp/" LLM_MCP_VERSION);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout_ms));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout_s));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &hop);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &hop);
  if (const Url parsed = parse_url(url); parsed && is_loopback(url_part(parsed.get(), CURLUPART_HOST))) {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  }
}

// Drives one transfer to its end.
Result<void> transfer(CURLM* multi, CURL* easy, Hop& hop, const std::string& url, const std::atomic<bool>& cancelled) {
  curl_multi_add_handle(multi, easy);
  CURLcode code = CURLE_OK;
  int running = 1;
  bool stopped = false;
  while (running > 0 && !stopped) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) break;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg == CURLMSG_DONE) code = message->data.result;
    }
    stopped = cancelled.load(std::memory_order_relaxed);
    if (running > 0 && !stopped) curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr);
  }
  curl_multi_remove_handle(multi, easy);
  if (hop.error) return fail(std::move(*hop.error));
  if (stopped && running > 0) return fail(ErrorCode::kCancelled, "cancelled");
  if (code == CURLE_OK && running == 0) return {};
  return fail(ErrorCode::kUnavailable, fmt::format("cannot get {}: {}", origin_of(url), curl_easy_strerror(code)));
}

class TextSink final : public HttpSink {
 public:
  explicit TextSink(std::size_t limit) : limit_(limit) {}
  Result<void> start(const HttpHead&) override { return {}; }
  Result<void> data(std::span<const std::byte> bytes) override {
    if (text_.size() + bytes.size() > limit_) {
      return fail(ErrorCode::kPayloadTooLarge, fmt::format("the answer is larger than {}", format_bytes(limit_)));
    }
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  std::string take() { return std::move(text_); }

 private:
  std::size_t limit_;
  std::string text_;
};

}  // namespace

std::string_view HttpHead::header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Result<void> check_url(std::string_view url) {
  const Url parsed = parse_url(url);
  if (!parsed) return fail(ErrorCode::kInvalidArgument, "not a valid address; write https://HOST/PATH");
  return check(parsed.get());
}

std::string origin_of(std::string_view url) {
  const Url parsed = parse_url(url);
  if (!parsed || !check(parsed.get())) return {};
  return fmt::format("{}://{}:{}", url_part(parsed.get(), CURLUPART_SCHEME),
                     to_lower(url_part(parsed.get(), CURLUPART_HOST)),
                     url_part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

Result<std::string> redirect_target(const std::string& base, const std::string& reference) {
  const Url url = parse_url(base);
  if (!url || curl_url_set(url.get(), CURLUPART_URL, reference.c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::kUnavailable, fmt::format("{} redirects to an invalid address", origin_of(base)));
  }
  auto allowed = check(url.get());
  const bool downgrade = base.starts_with("https:") && url_part(url.get(), CURLUPART_SCHEME) != "https";
  if (!allowed || downgrade) {
    return fail(ErrorCode::kPermissionDenied,
                fmt::format("{} redirects to an address that is not allowed{}{}", origin_of(base),
                            downgrade ? " (from https to http)" : ": ", downgrade ? "" : allowed.error().message));
  }
  return url_part(url.get(), CURLUPART_URL);
}

std::string encode_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~' || c == '/';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Result<HttpHead> http_get(const HttpGet& request, HttpSink& sink, const std::atomic<bool>& cancelled) {
  if (auto ok = check_url(request.url); !ok) return fail(std::move(ok.error()));
  const auto printable = [](char c) { return c > ' ' && c < 0x7F; };
  if (!std::ranges::all_of(request.bearer_token, printable)) {
    return fail(ErrorCode::kInvalidArgument, "the token contains a character that no token has (a line end?)");
  }
  const Multi multi(curl_multi_init());
  if (!multi) return fail(ErrorCode::kInternal, "libcurl cannot start");
  const std::string home = origin_of(request.url);
  std::string url = request.url;
  std::map<std::string, std::string> first_headers;
  for (int hops = 0; hops <= kMaxRedirects; ++hops) {
    const Easy easy(curl_easy_init());
    if (!easy) return fail(ErrorCode::kInternal, "libcurl cannot start");
    HeaderList headers;
    const auto add = [&headers](const std::string& line) {
      if (curl_slist* longer = curl_slist_append(headers.get(), line.c_str())) {
        (void)headers.release();  // the list's head is `longer` now
        headers.reset(longer);
      }
    };
    for (const auto& line : request.headers) add(line);
    if (!request.bearer_token.empty() && origin_of(url) == home) add("Authorization: Bearer " + request.bearer_token);
    Hop hop{sink, hops == 0, {}, false, {}};
    hop.head.url = url;
    hop.head.first_headers = first_headers;
    configure(easy.get(), request, url, hop, headers.get());
    if (auto ok = transfer(multi.get(), easy.get(), hop, url, cancelled); !ok) return fail(std::move(ok.error()));
    if (hops == 0) first_headers = hop.head.headers;
    if (!hop.redirected()) {
      if (!hop.start()) return fail(std::move(*hop.error));  // an answer without a body
      return hop.head;
    }
    auto next = redirect_target(url, std::string(hop.head.header("location")));
    if (!next) return fail(std::move(next.error()));
    url = std::move(*next);
  }
  return fail(ErrorCode::kPermissionDenied, fmt::format("{} redirects more than {} times", home, kMaxRedirects));
}

Result<HttpText> http_get_text(const HttpGet& request, std::size_t limit, const std::atomic<bool>& cancelled) {
  TextSink sink(limit);
  auto head = http_get(request, sink, cancelled);
  if (!head) return fail(std::move(head.error()));
  return HttpText{std::move(*head), sink.take()};
}

}  // namespace llm::models
