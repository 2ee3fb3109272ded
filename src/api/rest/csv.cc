#include "api/rest/csv.h"

namespace llm::api::rest {
namespace {

void append_text(std::string& out, std::string_view text) {
  constexpr std::string_view kFormula = "=+-@\t\r\n";
  const bool formula = !text.empty() && kFormula.find(text.front()) != std::string_view::npos;
  const bool quoted = text.find_first_of("\",;\r\n\t") != std::string_view::npos;
  if (quoted) out += '"';
  if (formula) out += '\'';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  if (quoted) out += '"';
}

void append_cell(std::string& out, const json::value* value) {
  if (!value || value->is_null()) return;
  if (value->is_number() || value->is_bool()) {
    out += json::write(*value);
  } else if (value->is_string()) {
    append_text(out, std::string_view(value->get_string()));
  } else {
    append_text(out, json::write(*value));
  }
}

}  // namespace

std::string to_csv(const json::array& rows, std::span<const std::string_view> columns) {
  std::string out;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out += ',';
    append_text(out, columns[i]);
  }
  out += "\r\n";
  for (const auto& row : rows) {
    if (!row.is_object()) continue;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) out += ',';
      append_cell(out, json::find(row.get_object(), columns[i]));
    }
    out += "\r\n";
  }
  return out;
}

}  // namespace llm::api::rest
