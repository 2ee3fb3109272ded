#include "cli/client_config_jsonc.h"

#include <algorithm>
#include <fmt/format.h>

namespace llm::cli {
namespace {

constexpr std::size_t kMaxDepth = 60;  // less than json::parse takes, which reads the values

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<JsoncDocument> read() {
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
    if (auto done = skip(); !done) return fail(done.error());
    if (at_ < text_.size()) {
      auto root = value(0);
      if (!root) return fail(root.error());
      document_.root = std::move(*root);
      if (auto done = skip(); !done) return fail(done.error());
      if (at_ < text_.size()) return wrong("expected the end of the file");
    }
    return std::move(document_);
  }

 private:
  std::unexpected<Error> wrong(std::string message) const {
    return fail(error_at(ErrorCode::kMalformed, text_, at_, std::move(message)));
  }

  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  // Space and comments.
  Result<void> skip() {
    for (;;) {
      while (at_ < text_.size() && is_space(text_[at_])) ++at_;
      const std::string_view rest = text_.substr(at_);
      std::size_t length = 0;
      if (rest.starts_with("//")) {
        length = std::min(rest.find_first_of("\r\n"), rest.size());
      } else if (rest.starts_with("/*")) {
        const std::size_t end = rest.find("*/", 2);
        if (end == std::string_view::npos) return wrong("this comment has no end");
        length = end + 2;
      } else {
        return {};
      }
      document_.noise.push_back({at_, at_ + length, true});
      at_ += length;
    }
  }

  Result<JsoncValue> value(std::size_t depth) {
    if (depth > kMaxDepth) return wrong(fmt::format("more than {} levels", kMaxDepth));
    if (at_ == text_.size()) return wrong("expected a value, got the end of the file");
    JsoncValue out{.kind = JsoncValue::Kind::kOther, .begin = at_, .end = 0, .members = {}};
    Result<void> done;
    if (text_[at_] == '{') {
      out.kind = JsoncValue::Kind::kObject;
      done = object(out, depth);
    } else if (text_[at_] == '[') {
      out.kind = JsoncValue::Kind::kArray;
      done = array(depth);
    } else if (text_[at_] == '"') {
      done = string();
    } else {
      done = scalar();
    }
    if (!done) return fail(done.error());
    out.end = at_;
    return out;
  }

  // Behind a value: a comma, its place returned, or the closing bracket, which is taken too.
  Result<std::optional<std::size_t>> separator(char closing) {
    if (auto done = skip(); !done) return fail(done.error());
    if (next_is(closing)) {
      ++at_;
      return std::nullopt;
    }
    if (!next_is(',')) return wrong(fmt::format("expected a comma or \"{}\"", closing));
    return at_++;
  }

  // After a comma: is there nothing more?
  bool ends_after_comma(std::size_t comma, char closing) {
    if (!next_is(closing)) return false;
    document_.noise.push_back({comma, comma + 1, false});
    ++at_;
    return true;
  }

  Result<void> object(JsoncValue& out, std::size_t depth) {
    ++at_;
    if (auto done = skip(); !done) return done;
    if (next_is('}')) {
      ++at_;
      return {};
    }
    for (;;) {
      JsoncMember member;
      member.key = at_;
      if (!next_is('"')) return wrong("expected a name in double quotes");
      if (auto done = string(); !done) return done;
      auto name = json::parse(text_.substr(member.key, at_ - member.key));
      if (!name) return fail(error_at(ErrorCode::kMalformed, text_, member.key, "this name is no JSON string"));
      member.name = name->as_string();
      if (auto done = skip(); !done) return done;
      if (!next_is(':')) return wrong("expected a colon");
      ++at_;
      if (auto done = skip(); !done) return done;
      auto held = value(depth + 1);
      if (!held) return fail(held.error());
      member.value = std::move(*held);
      auto comma = separator('}');
      if (!comma) return fail(comma.error());
      member.comma = *comma;
      out.members.push_back(std::move(member));
      if (!*comma) return {};
      if (auto done = skip(); !done) return done;
      if (ends_after_comma(**comma, '}')) return {};
    }
  }

  Result<void> array(std::size_t depth) {
    ++at_;
    if (auto done = skip(); !done) return done;
    if (next_is(']')) {
      ++at_;
      return {};
    }
    for (;;) {
      if (auto held = value(depth + 1); !held) return fail(held.error());
      auto comma = separator(']');
      if (!comma) return fail(comma.error());
      if (!*comma) return {};
      if (auto done = skip(); !done) return done;
      if (ends_after_comma(**comma, ']')) return {};
    }
  }

  Result<void> string() {
    const std::size_t begin = at_++;
    for (; at_ < text_.size(); ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        // Escapes and UTF-8 are judged by the parser of the rest of the program.
        if (json::parse(text_.substr(begin, at_ - begin))) return {};
        at_ = begin;
        return wrong("this text is no JSON string: look at its escapes and its encoding (UTF-8)");
      }
      if (c < 0x20) return wrong("a line end or control character inside a text");
      if (c == '\\') ++at_;
    }
    at_ = begin;
    return wrong("this text has no closing quote");
  }

  // A number, true, false or null.
  Result<void> scalar() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && !is_space(text_[at_]) && !std::string_view(",:]}[{\"/").contains(text_[at_])) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    const bool number = !word.empty() && (is_digit(word.front()) || word.front() == '-') && json::parse(word);
    if (number || word == "true" || word == "false" || word == "null") return {};
    at_ = begin;
    return wrong("expected a value");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  JsoncDocument document_;
};

}  // namespace

const JsoncMember* JsoncValue::member(std::string_view name) const {
  const auto found = std::ranges::find(members.rbegin(), members.rend(), name, &JsoncMember::name);
  return found == members.rend() ? nullptr : &*found;
}

Result<JsoncDocument> parse_jsonc(std::string_view text) {
  auto document = Reader(text).read();
  // A trailing comma is only known to be one behind the comments that follow it.
  if (document) std::ranges::sort(document->noise, {}, &JsoncNoise::begin);
  return document;
}

Result<json::value> jsonc_data(std::string_view text, const JsoncDocument& document, const JsoncValue& value) {
  std::string plain(text.substr(value.begin, value.end - value.begin));
  for (const JsoncNoise& noise : document.noise) {
    if (noise.begin >= value.begin && noise.end <= value.end) {
      plain.replace(noise.begin - value.begin, noise.end - noise.begin, noise.end - noise.begin, ' ');
    }
  }
  return json::parse(plain);
}

Error error_at(ErrorCode code, std::string_view text, std::size_t offset, std::string message) {
  std::string_view before = text.substr(0, offset);
  if (before.starts_with(kByteOrderMark)) before.remove_prefix(kByteOrderMark.size());
  const auto line = 1 + std::ranges::count(before, '\n');
  const auto line_begin = before.rfind('\n');
  const auto in_line = line_begin == std::string_view::npos ? before : before.substr(line_begin + 1);
  const auto column = 1 + std::ranges::count_if(in_line, [](char c) { return (c & 0xC0) != 0x80; });
  return Error{code, std::move(message), {}, {}, 0}.with("line", line).with("column", column);
}

}  // namespace llm::cli
