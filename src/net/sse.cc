#include "net/sse.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::net {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::uint8_t kMarkDone = 255;

// The next `wanted` at or behind `from`, or `end`.
const char* find_byte(const char* from, const char* end, char wanted) {
  if (from == end) return end;
  const void* hit = std::memchr(from, wanted, static_cast<std::size_t>(end - from));
  return hit != nullptr ? static_cast<const char*>(hit) : end;
}

// Calls `take` with each line of `text`; a text without line end is one line.
template <class Take>
void each_line(std::string_view text, Take take) {
  // Usually there is none, and two passes of memchr are ten times faster than one of find_first_of.
  const bool single = text.find('\n') == std::string_view::npos && text.find('\r') == std::string_view::npos;
  while (true) {
    const auto end = single ? std::string_view::npos : text.find_first_of("\r\n");
    take(text.substr(0, end));
    if (end == std::string_view::npos) return;
    const bool crlf = text[end] == '\r' && end + 1 < text.size() && text[end + 1] == '\n';
    text.remove_prefix(end + (crlf ? 2 : 1));
  }
}

}  // namespace

void SseParser::Text::set(std::string_view text, bool copy) {
  owned = copy;
  if (copy) {
    own.assign(text);
  } else {
    view = text;
  }
}

void SseParser::Text::hold() {
  if (owned) return;
  own.assign(view);
  owned = true;
}

void SseParser::Text::clear() {
  own.clear();
  owned = true;
}

void SseParser::reset() {
  partial_.clear();
  data_.clear();
  event_.clear();
  id_ = last_id_;
  event_retry_ms_.reset();
  event_bytes_ = 0;
  mark_bytes_ = 0;
  has_data_ = has_fields_ = id_changed_ = skip_lf_ = failed_ = false;
}

bool SseParser::skip_byte_order_mark(std::string_view& bytes) {
  while (mark_bytes_ < kByteOrderMark.size()) {
    if (bytes.empty()) return false;
    if (bytes.front() != kByteOrderMark[mark_bytes_]) {
      // No mark after all: what was held back belongs to the first line.
      partial_.assign(kByteOrderMark.substr(0, mark_bytes_));
      break;
    }
    bytes.remove_prefix(1);
    ++mark_bytes_;
  }
  mark_bytes_ = kMarkDone;
  return true;
}

Result<void> SseParser::feed_to(std::string_view bytes, Callback callback) {
  if (mark_bytes_ != kMarkDone && !failed_ && !skip_byte_order_mark(bytes)) return {};
  Result<void> result;
  if (!failed_) result = feed_lines(bytes, callback);
  if (failed_) {
    return fail(ErrorCode::kPayloadTooLarge,
                fmt::format("An event of the event stream is over the limit of {}. Send smaller events or raise the "
                            "limit.",
                            format_bytes(limits_.max_event_bytes)));
  }
  return result;
}

Result<void> SseParser::feed_lines(std::string_view bytes, Callback callback) {
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  if (skip_lf_ && at != end) {
    if (*at == '\n') ++at;
    skip_lf_ = false;
  }
  // The next CR and LF; each is looked for again only when passed, so the whole slice is scanned once for each.
  const char* lf = find_byte(at, end, '\n');
  const char* cr = find_byte(at, end, '\r');
  while (at != end) {
    if (lf < at) lf = find_byte(at, end, '\n');
    if (cr < at) cr = find_byte(at, end, '\r');
    const char* const line_end = std::min(lf, cr);
    std::string_view line(at, static_cast<std::size_t>(line_end - at));
    if (line_end == end) {
      if (event_bytes_ + partial_.size() + line.size() > limits_.max_event_bytes) {
        failed_ = true;
      } else {
        partial_.append(line);
      }
      break;
    }
    bool taken = false;
    if (partial_.empty()) {
      taken = take_line(line, false, callback);
    } else {
      partial_.append(line);
      taken = take_line(partial_, true, callback);
      partial_.clear();
    }
    if (!taken) {
      failed_ = true;
      break;
    }
    at = line_end + 1;
    if (line_end == cr) {
      if (at == end) {
        skip_lf_ = true;
      } else if (*at == '\n') {
        ++at;
      }
    }
  }
  data_.hold();
  event_.hold();
  return {};
}

bool SseParser::take_line(std::string_view line, bool copy, Callback callback) {
  if (line.empty()) {
    dispatch(callback);
    return true;
  }
  if (event_bytes_ + line.size() > limits_.max_event_bytes) return false;
  // The line nearly every stream consists of, first.
  if (line.starts_with("data:")) {
    take_field("data", line.substr(5), copy);
    return true;
  }
  const auto colon = line.find(':');
  if (colon == 0) return true;  // a comment
  take_field(line.substr(0, colon), colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1),
             copy);
  return true;
}

void SseParser::take_field(std::string_view name, std::string_view value, bool copy) {
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    if (has_data_) {
      data_.hold();
      data_.own.push_back('\n');
      data_.own.append(value);
    } else {
      data_.set(value, copy);
      has_data_ = true;
    }
  } else if (name == "event") {
    event_.set(value, copy);
  } else if (name == "id") {
    if (value.find('\0') != std::string_view::npos) return;
    id_.assign(value);
    id_changed_ = true;
  } else if (name == "retry") {
    if (const auto ms = parse_number<std::uint32_t>(value)) retry_ms_ = event_retry_ms_ = *ms;
    return;  // holds no memory: not counted
  } else {
    return;
  }
  has_fields_ = true;
  event_bytes_ += name.size() + 1 + value.size();
}

void SseParser::dispatch(Callback callback) {
  if (id_changed_) {
    last_id_ = id_;
    id_changed_ = false;
  }
  // "If the data buffer is an empty string" counts the LF after each data line: a lone empty `data` line is an event.
  if (has_data_) callback.call(callback.target, SseEvent{event_.get(), data_.get(), last_id_, event_retry_ms_});
  data_.clear();
  event_.clear();
  event_retry_ms_.reset();
  event_bytes_ = 0;
  has_data_ = has_fields_ = false;
}

void append_sse_data(std::string& out, std::string_view data) {
  each_line(data, [&out](std::string_view line) {
    out.append("data: ");
    out.append(line);
    out.push_back('\n');
  });
  out.push_back('\n');
}

void append_sse_event(std::string& out, std::string_view event, std::string_view data) {
  out.append("event: ");
  each_line(event, [&out](std::string_view part) { out.append(part); });
  out.push_back('\n');
  append_sse_data(out, data);
}

void append_sse_comment(std::string& out, std::string_view text) {
  each_line(text, [&out](std::string_view line) {
    out.append(": ");
    out.append(line);
    out.push_back('\n');
  });
  out.push_back('\n');
}

}  // namespace llm::net
