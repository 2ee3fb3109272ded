#pragma once

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "net/http_parser.h"

namespace llm::net {

// For tests: a row of testdata/raw_requests.txt or raw_responses.txt; the format is described there.
struct RawMessage {
  std::string verdict;
  std::string name;
  std::string bytes;
  std::string body;
};

// The limits that the tables are written for.
inline constexpr MessageLimits kRawLimits{.max_header_bytes = 512, .max_header_count = 10, .max_body_bytes = 32};

// Undoes the escapes of `text` up to an unescaped '}' or the end; moves `at` behind it.
inline std::string unescape_raw(std::string_view text, std::size_t& at) {
  std::string out;
  while (at < text.size()) {
    const char c = text[at++];
    if (c == '}') break;
    if (c != '\\') {
      out.push_back(c);
      continue;
    }
    switch (text[at++]) {
      case 'r':
        out.push_back('\r');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case '\\':
        out.push_back('\\');
        break;
      case 'x':
        out.push_back(static_cast<char>(std::stoi(std::string(text.substr(at, 2)), nullptr, 16)));
        at += 2;
        break;
      case '{': {
        const auto colon = text.find(':', at);
        const auto times = parse_number<int>(text.substr(at, colon - at)).value();
        at = colon + 1;
        const std::string piece = unescape_raw(text, at);
        for (int i = 0; i < times; ++i) out.append(piece);
        break;
      }
      default:
        std::abort();
    }
  }
  return out;
}

inline std::vector<RawMessage> load_raw_messages(const std::string& file) {
  const auto unescape = [](const std::string& text) {
    std::size_t at = 0;
    return unescape_raw(text, at);
  };
  std::vector<RawMessage> messages;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('#') || line.empty()) continue;
    if (line.starts_with("=== ")) {
      const auto space = line.find(' ', 4);
      messages.push_back({line.substr(4, space - 4), line.substr(space + 1), {}, {}});
    } else if (line.starts_with("=> ")) {
      messages.back().body = unescape(line.substr(3));
    } else {
      messages.back().bytes += unescape(line);
    }
  }
  return messages;
}

}  // namespace llm::net
