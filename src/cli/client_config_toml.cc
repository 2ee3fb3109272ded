#include "cli/client_config_toml.h"

#include <algorithm>
#include <fmt/format.h>

#include "cli/client_config_jsonc.h"

namespace llm::cli {
namespace {

constexpr std::size_t kMaxDepth = 60;

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

void append_utf8(std::string& out, unsigned long code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<std::vector<TomlTable>> read() {
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
    tables_.push_back({.path = {}, .is_array_item = false, .begin = at_, .end = at_, .assignments = {}});
    for (;;) {
      if (auto done = skip_lines(); !done) return fail(done.error());
      if (at_ == text_.size()) return std::move(tables_);
      auto done = text_[at_] == '[' ? header() : assignment();
      if (!done) return fail(done.error());
      if (auto rest = line_end(); !rest) return fail(rest.error());
    }
  }

 private:
  std::unexpected<Error> wrong(std::string message) const {
    return fail(error_at(ErrorCode::kMalformed, text_, at_, std::move(message)));
  }
  std::unexpected<Error> wrong_at(std::size_t at, std::string message) {
    at_ = at;
    return wrong(std::move(message));
  }

  std::string_view rest() const { return text_.substr(at_); }
  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }
  void skip_blanks() {
    while (next_is(' ') || next_is('\t')) ++at_;
  }
  void skip_comment() {
    if (next_is('#')) at_ = std::min(text_.find('\n', at_), text_.size());
  }

  // Empty lines, comments and the space before what follows.
  Result<void> skip_lines() {
    for (;;) {
      skip_blanks();
      skip_comment();
      if (next_is('\r') && rest().starts_with("\r\n")) ++at_;
      if (!next_is('\n')) return {};
      ++at_;
    }
  }

  Result<void> line_end() {
    skip_blanks();
    skip_comment();
    if (rest().starts_with("\r\n")) ++at_;
    if (at_ == text_.size() || next_is('\n')) return {};
    return wrong("expected the end of the line");
  }

  Result<std::string> key_part() {
    if (next_is('"') || next_is('\'')) return quoted(false);
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_bare(text_[at_])) ++at_;
    if (at_ == begin) return wrong("expected a key");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Result<TomlKey> key() {
    TomlKey out;
    for (;;) {
      skip_blanks();
      auto part = key_part();
      if (!part) return fail(part.error());
      out.push_back(std::move(*part));
      skip_blanks();
      if (!next_is('.')) return out;
      ++at_;
    }
  }

  Result<void> header() {
    TomlTable table{.path = {}, .is_array_item = rest().starts_with("[["), .begin = at_, .end = 0, .assignments = {}};
    const std::string_view closing = table.is_array_item ? "]]" : "]";
    at_ += closing.size();
    auto path = key();
    if (!path) return fail(path.error());
    if (!rest().starts_with(closing)) return wrong(fmt::format("expected \"{}\"", closing));
    at_ += closing.size();
    table.path = std::move(*path);
    table.end = at_;
    tables_.push_back(std::move(table));
    return {};
  }

  Result<void> assignment() {
    TomlAssignment out;
    out.begin = at_;
    auto name = key();
    if (!name) return fail(name.error());
    out.key = std::move(*name);
    if (!next_is('=')) return wrong("expected \"=\"");
    ++at_;
    skip_blanks();
    out.value_begin = at_;
    auto held = value(0);
    if (!held) return fail(held.error());
    out.value = std::move(*held);
    out.value_end = at_;
    const auto& others = tables_.back().assignments;
    if (std::ranges::find(others, out.key, &TomlAssignment::key) != others.end()) {
      return wrong_at(out.begin, "this key is there twice");
    }
    tables_.back().end = at_;
    tables_.back().assignments.push_back(std::move(out));
    return {};
  }

  Result<json::value> value(std::size_t depth) {
    if (depth > kMaxDepth) return wrong(fmt::format("more than {} levels", kMaxDepth));
    if (next_is('"') || next_is('\'')) {
      auto text = quoted(true);
      if (!text) return fail(text.error());
      return json::value(*text);
    }
    if (next_is('[')) return list(depth);
    if (next_is('{')) return inline_table(depth);
    const std::size_t begin = at_;
    while (at_ < text_.size() && (is_bare(text_[at_]) || std::string_view("+.:").contains(text_[at_]))) ++at_;
    if (at_ == begin) return wrong("expected a value");
    // A date and a time of day may have one space between them.
    if (at_ - begin == 10 && text_[begin + 4] == '-' && next_is(' ') && at_ + 1 < text_.size() &&
        text_[at_ + 1] >= '0' && text_[at_ + 1] <= '9') {
      ++at_;
      while (at_ < text_.size() && (is_bare(text_[at_]) || std::string_view("+.:").contains(text_[at_]))) ++at_;
    }
    return json::value(nullptr);
  }

  Result<json::value> list(std::size_t depth) {
    json::array out;
    const std::size_t begin = at_++;
    for (;;) {
      if (auto done = skip_lines(); !done) return fail(done.error());
      if (at_ == text_.size()) return wrong_at(begin, "this list has no end");
      if (next_is(']')) break;
      auto item = value(depth + 1);
      if (!item) return item;
      out.push_back(std::move(*item));
      if (auto done = skip_lines(); !done) return fail(done.error());
      if (next_is(',')) {
        ++at_;
      } else if (at_ < text_.size() && !next_is(']')) {
        return wrong("expected a comma or \"]\"");
      }
    }
    ++at_;
    return json::value(std::move(out));
  }

  // Line ends and a last comma are TOML 1.1; taking them is harmless.
  Result<json::value> inline_table(std::size_t depth) {
    json::object out;
    const std::size_t begin = at_++;
    for (;;) {
      if (auto done = skip_lines(); !done) return fail(done.error());
      if (at_ == text_.size()) return wrong_at(begin, "this table has no end");
      if (next_is('}')) break;
      auto name = key();
      if (!name) return fail(name.error());
      if (!next_is('=')) return wrong("expected \"=\"");
      ++at_;
      skip_blanks();
      auto item = value(depth + 1);
      if (!item) return item;
      if (name->size() == 1) out[name->front()] = std::move(*item);
      if (auto done = skip_lines(); !done) return fail(done.error());
      if (next_is(',')) {
        ++at_;
      } else if (at_ < text_.size() && !next_is('}')) {
        return wrong("expected a comma or \"}\"");
      }
    }
    ++at_;
    return json::value(std::move(out));
  }

  // A text in either kind of quotes; of three of them where `many_lines` allows it.
  Result<std::string> quoted(bool many_lines) {
    const char quote = text_[at_];
    const std::size_t begin = at_;
    const std::string three(3, quote);
    const bool long_form = many_lines && rest().starts_with(three);
    const std::string_view closing = long_form ? std::string_view(three) : std::string_view(three).substr(0, 1);
    at_ += closing.size();
    if (long_form && rest().starts_with("\r\n")) ++at_;
    if (long_form && next_is('\n')) ++at_;
    std::string out;
    while (at_ < text_.size()) {
      if (rest().starts_with(closing)) {
        at_ += closing.size();
        // Up to two quotes may stand before the closing ones.
        for (int more = 0; long_form && more < 2 && next_is(quote); ++more, ++at_) out += quote;
        return out;
      }
      const char c = text_[at_];
      if (!long_form && (c == '\n' || c == '\r')) break;
      if (c == '\\' && quote == '"') {
        if (auto done = escape(out, long_form); !done) return fail(done.error());
        continue;
      }
      out += c;
      ++at_;
    }
    return wrong_at(begin, "this text has no closing quote");
  }

  Result<void> escape(std::string& out, bool long_form) {
    constexpr std::string_view names = "btnfre\"\\";
    constexpr std::string_view values = "\b\t\n\f\r\x1b\"\\";
    if (at_ + 1 == text_.size()) return wrong("an escape without its character");
    const char c = text_[at_ + 1];
    if (const auto known = names.find(c); known != std::string_view::npos) {
      out += values[known];
      at_ += 2;
      return {};
    }
    if (c == 'u' || c == 'U') return unicode_escape(out, c == 'u' ? 4 : 8);
    if (long_form && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
      ++at_;
      while (at_ < text_.size() && std::string_view(" \t\r\n").contains(text_[at_])) ++at_;
      return {};
    }
    return wrong("unknown escape");
  }

  Result<void> unicode_escape(std::string& out, std::size_t digits) {
    const std::string hex(text_.substr(std::min(at_ + 2, text_.size()), digits));
    const bool valid = hex.size() == digits && hex.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    const unsigned long code = valid ? std::stoul(hex, nullptr, 16) : 0x110000;
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return wrong("no Unicode character");
    append_utf8(out, code);
    at_ += 2 + digits;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<TomlTable> tables_;
};

}  // namespace

Result<std::vector<TomlTable>> parse_toml_tables(std::string_view text) {
  return Reader(text).read();
}

std::string toml_key(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, is_bare) ? std::string(name) : toml_value(json::value(name));
}

std::string toml_value(const json::value& value) {
  std::string out;
  if (const auto* array = value.if_array()) {
    for (const json::value& item : *array) out += (out.empty() ? "" : ", ") + toml_value(item);
    return "[" + out + "]";
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [key, held] : *object) {
      out += fmt::format("{}{} = {}", out.empty() ? " " : ", ", toml_key(key), toml_value(held));
    }
    return "{" + out + (out.empty() ? "}" : " }");
  }
  // The escapes of JSON are those of TOML's basic strings, but for DEL, which TOML wants escaped.
  const std::string text = json::write(value);
  for (const char c : text) out += c == '\x7f' ? std::string("\\u007F") : std::string(1, c);
  return out;
}

}  // namespace llm::cli
