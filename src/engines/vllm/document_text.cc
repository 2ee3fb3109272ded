#include "engines/vllm/document_text.h"

#include <algorithm>

namespace llm::engines {
namespace {

bool is_empty(const json::value& value) {
  return (value.is_object() && value.get_object().empty()) || (value.is_array() && value.get_array().empty());
}

bool is_scalar(const json::value& value) {
  return (!value.is_object() && !value.is_array()) || is_empty(value);
}

void write_json(std::string& out, const json::value& value, std::size_t depth) {
  if (is_scalar(value)) {
    out += json::write(value);
    return;
  }
  const std::string inner(2 * (depth + 1), ' ');
  const std::string outer(2 * depth, ' ');
  bool first = true;
  const auto next = [&] {
    out += first ? "\n" : ",\n";
    out += inner;
    first = false;
  };
  out += value.is_object() ? '{' : '[';
  if (value.is_object()) {
    for (const auto& [key, held] : value.get_object()) {
      next();
      json::append_quoted(out, key);
      out += ": ";
      write_json(out, held, depth + 1);
    }
  } else {
    for (const auto& held : value.get_array()) {
      next();
      write_json(out, held, depth + 1);
    }
  }
  out += '\n' + outer + (value.is_object() ? '}' : ']');
}

// Words that YAML 1.1 or 1.2 reads as something else than text.
bool is_special_word(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  for (const std::string_view word : {"true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"}) {
    if (lower == word) return true;
  }
  return false;
}

bool is_plain(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto inner = [&letter](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '/' || c == '.' || c == '-';
  };
  if (text.empty() || !(letter(text.front()) || text.front() == '/') || is_special_word(text)) return false;
  return std::ranges::all_of(text, inner);
}

std::string yaml_scalar(const json::value& value) {
  if (!value.is_string()) return json::write(value);
  const std::string_view text(value.get_string());
  if (is_plain(text)) return std::string(text);
  std::string out;
  json::append_quoted(out, text);  // a JSON string is a double-quoted YAML scalar
  return out;
}

void write_yaml(std::string& out, const json::value& value, std::size_t depth);

void write_member(std::string& out, const json::value& value, std::size_t depth) {
  if (is_scalar(value)) {
    out += ' ' + yaml_scalar(value) + '\n';
  } else {
    out += '\n';
    write_yaml(out, value, depth);
  }
}

void write_yaml(std::string& out, const json::value& value, std::size_t depth) {
  const std::string indent(2 * depth, ' ');
  if (value.is_object()) {
    for (const auto& [key, held] : value.get_object()) {
      out += indent + yaml_scalar(json::value(key)) + ':';
      write_member(out, held, depth + 1);
    }
    return;
  }
  for (const auto& held : value.get_array()) {
    if (is_scalar(held)) {
      out += indent + "- " + yaml_scalar(held) + '\n';
      continue;
    }
    // The first line of the item stands behind the dash.
    std::string item;
    write_yaml(item, held, depth + 1);
    item.replace(indent.size(), 2, "- ");
    out += item;
  }
}

}  // namespace

std::string indented_json(const json::value& document) {
  std::string out;
  write_json(out, document, 0);
  return out + '\n';
}

std::string block_yaml(const json::object& document) {
  std::string out;
  write_yaml(out, document, 0);
  return out;
}

std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:=,@%+").contains(c);
  };
  if (!text.empty() && std::ranges::all_of(text, plain)) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) {
    if (!out.empty()) out += ' ';
    out += shell_word(word);
  }
  return out;
}

}  // namespace llm::engines
