#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/terminal.h"

namespace llm::cli {

// Columns that a text takes on a terminal: 2 for East Asian wide characters and emoji (Unicode Annex 11), 0 for
// combining marks and for our own colour escapes.
std::size_t display_width(std::string_view text);

// The text in at most `width` columns, cut at a character with an ellipsis at the end ("..." unless utf8).
std::string clip(std::string_view text, std::size_t width, bool utf8);

// The text in lines of at most `width` columns, broken at spaces, every line after `indent` spaces. Line feeds in the
// text stay. Without a final line end.
std::string wrap(std::string_view text, std::size_t width, std::size_t indent = 0);

enum class Align { kLeft, kRight };

// Columns of text, aligned by what is seen, two spaces between them; the last column is not padded.
class TextTable {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> row);  // as many cells as there are columns; they may be styled
  bool empty() const { return rows_.empty(); }
  // Title line and rows, each with a line end.
  std::string text(const Terminal& terminal) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "key:  value" lines with the values below each other; pairs with an empty value are left out.
std::string key_values(const std::vector<std::pair<std::string, std::string>>& pairs, const Terminal& terminal);

}  // namespace llm::cli
