#include "cli/text_table.h"

#include <algorithm>
#include <array>
#include <utility>

namespace llm::cli {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Wide and fullwidth characters (Unicode 15, EastAsianWidth.txt: W and F), neighbours joined.
constexpr auto kWide = std::to_array<Range>({
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},   {0x23f0, 0x23f0},
    {0x23f3, 0x23f3},   {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},
    {0x2693, 0x2693},   {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},
    {0x26ce, 0x26ce},   {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f3},   {0x26f5, 0x26f5},
    {0x26fa, 0x26fa},   {0x26fd, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x274e, 0x274e},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27b0, 0x27b0},   {0x27bf, 0x27bf},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2b55, 0x2b55},
    {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0xa4cf},   {0xa960, 0xa97c},
    {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe10, 0xfe19},   {0xfe30, 0xfe6b},   {0xff01, 0xff60},
    {0xffe0, 0xffe6},   {0x16fe0, 0x16fe4}, {0x17000, 0x18d08}, {0x1aff0, 0x1b2fb}, {0x1f004, 0x1f004},
    {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f265}, {0x1f300, 0x1f320},
    {0x1f32d, 0x1f335}, {0x1f337, 0x1f37c}, {0x1f37e, 0x1f393}, {0x1f3a0, 0x1f3ca}, {0x1f3cf, 0x1f3d3},
    {0x1f3e0, 0x1f3f0}, {0x1f3f4, 0x1f3f4}, {0x1f3f8, 0x1f43e}, {0x1f440, 0x1f440}, {0x1f442, 0x1f4fc},
    {0x1f4ff, 0x1f53d}, {0x1f54b, 0x1f567}, {0x1f57a, 0x1f57a}, {0x1f595, 0x1f596}, {0x1f5a4, 0x1f5a4},
    {0x1f5fb, 0x1f64f}, {0x1f680, 0x1f6c5}, {0x1f6cc, 0x1f6cc}, {0x1f6d0, 0x1f6d2}, {0x1f6d5, 0x1f6df},
    {0x1f6eb, 0x1f6ec}, {0x1f6f4, 0x1f6fc}, {0x1f7e0, 0x1f7f0}, {0x1f90c, 0x1f9ff}, {0x1fa70, 0x1faff},
    {0x20000, 0x3fffd},
});

// Combining marks and format characters of the scripts that names and prompts are likely to hold.
constexpr auto kZero = std::to_array<Range>({
    {0x0300, 0x036f}, {0x0483, 0x0489},   {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f}, {0x0670, 0x0670},
    {0x06d6, 0x06dc}, {0x0900, 0x0902},   {0x093c, 0x093c}, {0x0941, 0x0948}, {0x094d, 0x094d}, {0x0e31, 0x0e31},
    {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e},
    {0x2060, 0x2064}, {0x2066, 0x2069},   {0x20d0, 0x20ff}, {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
});

template <std::size_t N>
bool in_ranges(const std::array<Range, N>& ranges, char32_t c) {
  const auto after = std::ranges::upper_bound(ranges, c, {}, &Range::first);
  return after != ranges.begin() && c <= std::prev(after)->last;
}

std::size_t width_of(char32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return 0;
  if (c < 0x300) return 1;
  if (in_ranges(kZero, c)) return 0;
  return in_ranges(kWide, c) ? 2 : 1;
}

// Length of a colour escape ("ESC [ ... m") at the start, 0 if there is none.
std::size_t escape_length(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  const std::size_t end = text.find_first_not_of("0123456789;", 2);
  return end != std::string_view::npos && text[end] == 'm' ? end + 1 : 0;
}

void append_padded(std::string& out, std::string_view text, std::size_t width, Align align) {
  const std::size_t padding = width - std::min(width, display_width(text));
  if (align == Align::kRight) out.append(padding, ' ');
  out += text;
  if (align == Align::kLeft) out.append(padding, ' ');
}

void wrap_line(std::string& out, std::string_view line, std::size_t width, std::size_t indent) {
  std::size_t column = 0;
  out.append(indent, ' ');
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    const std::size_t size = display_width(word);
    if (column > 0 && indent + column + 1 + size > width) {
      out += '\n';
      out.append(indent, ' ');
      column = 0;
    }
    if (column > 0) out += ' ';
    out += word;
    column += size + (column > 0 ? 1 : 0);
  }
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    if (const std::size_t escape = escape_length(text)) {
      text.remove_prefix(escape);
      continue;
    }
    const CodePoint next = next_code_point(text);
    width += width_of(next.value);
    text.remove_prefix(next.bytes);
  }
  return width;
}

std::string clip(std::string_view text, std::size_t width, bool utf8) {
  if (display_width(text) <= width) return std::string(text);
  const std::string_view ellipsis = utf8 ? "…" : "...";
  const std::size_t room = width - std::min(width, display_width(ellipsis));
  std::string out;
  std::size_t used = 0;
  while (!text.empty()) {
    const CodePoint next = next_code_point(text);
    if (used + width_of(next.value) > room) break;
    used += width_of(next.value);
    out.append(text.substr(0, next.bytes));
    text.remove_prefix(next.bytes);
  }
  if (width >= display_width(ellipsis)) out += ellipsis;
  return out;
}

std::string wrap(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  for (;;) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (!line.empty()) wrap_line(out, line, width, indent);
    if (end == std::string_view::npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

void TextTable::add(std::vector<std::string> row) {
  row.resize(columns_.size());
  rows_.push_back(std::move(row));
}

std::string TextTable::text(const Terminal& terminal) const {
  std::vector<std::size_t> widths;
  for (std::size_t at = 0; at < columns_.size(); ++at) {
    std::size_t widest = display_width(columns_[at].title);
    for (const auto& row : rows_) widest = std::max(widest, display_width(row[at]));
    widths.push_back(widest);
  }
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    for (std::size_t at = 0; at < columns_.size(); ++at) {
      if (at > 0) out += "  ";
      const bool last_left = at + 1 == columns_.size() && columns_[at].align == Align::kLeft;
      append_padded(out, cell_of(at), last_left ? 0 : widths[at], columns_[at].align);
    }
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  };
  add_line([&](std::size_t at) { return terminal.styled(Style::kBold, columns_[at].title); });
  for (const auto& row : rows_) add_line([&](std::size_t at) { return row[at]; });
  return out;
}

std::string key_values(const std::vector<std::pair<std::string, std::string>>& pairs, const Terminal& terminal) {
  std::size_t widest = 0;
  for (const auto& [key, value] : pairs) {
    if (!value.empty()) widest = std::max(widest, display_width(key));
  }
  std::string out;
  for (const auto& [key, value] : pairs) {
    if (value.empty()) continue;
    append_padded(out, terminal.styled(Style::kBold, key), widest + 2, Align::kLeft);
    out += value;
    out += '\n';
  }
  return out;
}

}  // namespace llm::cli
