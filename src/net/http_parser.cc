#include "net/http_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <limits>
#include <optional>

#include "base/strings.h"
#include "net/http_body.h"
#include "net/http_policy.h"

namespace llm::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::string_view;
using ErrorRef = boost::beast::error_code&;

constexpr std::size_t kKeptBody = 64 * 1024;  // capacity a connection keeps from message to message

std::string_view sv(string_view text) {
  return {text.data(), text.size()};
}

struct Message {
  std::string method;
  std::string target;
  int status = 0;
  int version = 11;
  Headers headers;
  std::string body;
  std::optional<PolicyViolation> violation;
};

// Beast's grammar for the start line and the fields. What they mean is the policy's and the body reader's business.
template <bool kRequest>
class Grammar final : public http::basic_parser<kRequest> {
 public:
  Grammar(Message& message, const MessageLimits& limits) : message_(message), limits_(limits) {
    this->skip(true);
    this->header_limit(std::numeric_limits<std::uint32_t>::max());  // scan_head() has judged the size
  }

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int version, ErrorRef) override {
    message_.method = sv(method);
    message_.target = sv(target);
    message_.version = version;
  }
  void on_response_impl(int status, string_view, int version, ErrorRef) override {
    message_.status = status;
    message_.version = version;
  }
  void on_field_impl(http::field, string_view name, string_view value, ErrorRef error) override {
    if (message_.headers.size() == limits_.max_header_count) {
      message_.violation =
          PolicyViolation{431, "more than " + std::to_string(limits_.max_header_count) + " header fields"};
      error = http::error::header_limit;
      return;
    }
    message_.headers.add(sv(name), sv(value));
  }
  void on_header_impl(ErrorRef error) override {
    if constexpr (kRequest) {
      message_.violation = check_request(message_.method, message_.target, message_.version, message_.headers);
    } else {
      message_.violation = check_response(message_.version, message_.headers);
    }
    if (message_.violation) error = http::error::bad_field;
  }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, ErrorRef) override {}
  std::size_t on_body_impl(string_view, ErrorRef) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, string_view, ErrorRef) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view, ErrorRef) override { return 0; }
  void on_finish_impl(ErrorRef) override {}

  Message& message_;
  const MessageLimits& limits_;
};

template <bool kRequest>
boost::system::error_code parse_head(Message& message, const MessageLimits& limits, std::string_view head) {
  Grammar<kRequest> grammar(message, limits);
  boost::system::error_code error;
  const std::size_t used = grammar.put(boost::asio::const_buffer(head.data(), head.size()), error);
  if (!error && used != head.size()) error = http::error::bad_line_ending;
  return error;
}

// RFC 9112 section 6.3, for heads that the policy let pass.
BodyKind body_kind(Role role, const Message& message, bool head_request) {
  const bool bodiless = message.status / 100 == 1 || message.status == 204 || message.status == 304;
  if (role == Role::kClient && (head_request || bodiless)) return BodyKind::kNone;
  if (message.headers.get("transfer-encoding")) return BodyKind::kChunked;
  if (message.headers.get("content-length")) return BodyKind::kLength;
  return role == Role::kServer ? BodyKind::kNone : BodyKind::kUntilClose;
}

}  // namespace

struct HttpParser::Impl {
  Impl(Role parser_role, MessageLimits message_limits) : role(parser_role), limits(message_limits) {}

  std::unexpected<Error> refuse(int status, Error error) {
    error_status = status;
    failure = std::move(error);
    return fail(*failure);
  }
  std::unexpected<Error> refuse(int status, std::string reason) {
    return refuse(status, Error{ErrorCode::kMalformed, std::move(reason), {}, {}, 0});
  }
  std::unexpected<Error> refuse_body(Error error) {
    return refuse(error.code == ErrorCode::kPayloadTooLarge ? 413 : 400, std::move(error));
  }
  Result<std::size_t> feed_head(std::string_view bytes);
  Result<void> start_body();

  Role role;
  MessageLimits limits;
  Message message;
  BodyReader reader;
  bool head_request = false;
  bool begun = false;  // a byte of the head was seen
  bool head_done = false;
  bool has_body = false;
  std::size_t scanned = 0;  // bytes of the head already judged
  int error_status = 400;
  std::optional<Error> failure;
};

HttpParser::HttpParser(Role role, MessageLimits limits) : impl_(std::make_unique<Impl>(role, limits)) {
  reset();
}
HttpParser::~HttpParser() = default;
HttpParser::HttpParser(HttpParser&&) noexcept = default;
HttpParser& HttpParser::operator=(HttpParser&&) noexcept = default;

void HttpParser::reset(bool head_request) {
  auto& impl = *impl_;
  auto& message = impl.message;
  message.method.clear();
  message.target.clear();
  message.status = 0;
  message.version = 11;
  message.headers.clear();
  message.body.clear();
  if (message.body.capacity() > kKeptBody) message.body.shrink_to_fit();
  message.violation.reset();
  impl.head_request = head_request;
  impl.begun = false;
  impl.head_done = false;
  impl.has_body = false;
  impl.scanned = 0;
  impl.error_status = 400;
  impl.failure.reset();
}

Result<std::size_t> HttpParser::Impl::feed_head(std::string_view bytes) {
  std::size_t skipped = 0;
  if (role == Role::kServer && !begun) {
    // RFC 9112 section 2.2: one empty line before a request line is ignored.
    if (bytes == "\r") return 0;
    if (bytes.starts_with("\r\n")) skipped = 2;
  }
  if (!bytes.empty()) begun = true;
  bytes.remove_prefix(skipped);
  auto scan = scan_head(bytes, scanned, limits.max_header_bytes);
  if (scan.violation) return refuse(scan.violation->status, std::move(scan.violation->reason));
  if (scan.size == 0) {
    scanned = bytes.size();
    return skipped;
  }
  const auto head = bytes.substr(0, scan.size);
  const auto error =
      role == Role::kServer ? parse_head<true>(message, limits, head) : parse_head<false>(message, limits, head);
  if (message.violation) return refuse(message.violation->status, message.violation->reason);
  if (error) {
    return refuse(error == http::error::bad_version ? 505 : 400, "malformed HTTP message: " + error.message());
  }
  if (auto started = start_body(); !started) return fail(started.error());
  head_done = true;
  return skipped + scan.size;
}

Result<void> HttpParser::Impl::start_body() {
  const auto length = parse_number<std::uint64_t>(message.headers.get("content-length").value_or("0"));
  auto started = reader.start(body_kind(role, message, head_request), length.value_or(0), limits.max_body_bytes);
  if (!started) return refuse_body(started.error());
  has_body = !reader.done();
  return {};
}

Result<std::size_t> HttpParser::feed(std::string_view bytes) {
  auto& impl = *impl_;
  if (impl.failure) return fail(*impl.failure);
  std::size_t used = 0;
  if (!impl.head_done) {
    const auto head = impl.feed_head(bytes);
    if (!head || !impl.head_done) return head;
    used = *head;
  }
  const auto body = impl.reader.feed(bytes.substr(used), impl.message.body);
  if (!body) return impl.refuse_body(body.error());
  return used + *body;
}

Result<void> HttpParser::feed_eof() {
  auto& impl = *impl_;
  if (impl.failure) return fail(*impl.failure);
  if (!impl.head_done) return impl.refuse(400, "the connection closed before the message was complete");
  if (auto ended = impl.reader.feed_eof(); !ended) return impl.refuse_body(ended.error());
  return {};
}

bool HttpParser::head_done() const {
  return impl_->head_done;
}
bool HttpParser::done() const {
  return impl_->head_done && !impl_->failure && impl_->reader.done();
}
int HttpParser::error_status() const {
  return impl_->error_status;
}
std::string_view HttpParser::method() const {
  return impl_->message.method;
}
std::string_view HttpParser::target() const {
  return impl_->message.target;
}
int HttpParser::status() const {
  return impl_->message.status;
}
int HttpParser::version() const {
  return impl_->message.version;
}
const Headers& HttpParser::headers() const {
  return impl_->message.headers;
}

// RFC 9112 section 9.3.
bool HttpParser::keep_alive() const {
  const auto& message = impl_->message;
  if (impl_->failure || impl_->reader.kind() == BodyKind::kUntilClose) return false;
  if (message.headers.has_token("connection", "close")) return false;
  return message.version == 11 || message.headers.has_token("connection", "keep-alive");
}

bool HttpParser::expects_continue() const {
  return impl_->message.version == 11 && impl_->message.headers.get("expect").has_value();
}
bool HttpParser::has_body() const {
  return impl_->has_body;
}
std::string& HttpParser::body() {
  return impl_->message.body;
}

}  // namespace llm::net
