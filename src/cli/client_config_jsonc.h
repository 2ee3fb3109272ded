#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/json.h"

// The configuration files of editors and chat clients: JSON with comments and trailing commas (JSONC), which people
// edit by hand. Read here so that every value knows where it stands, since what is changed is the text, never the whole
// file.
namespace llm::cli {

struct JsoncMember;

// A value and the bytes [begin, end) that it takes.
struct JsoncValue {
  enum class Kind { kObject, kArray, kOther };
  Kind kind = Kind::kOther;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::vector<JsoncMember> members;  // of an object, in the order of the file

  // The last one of that name, which is the one that counts to JSON parsers; nullptr if there is none.
  const JsoncMember* member(std::string_view name) const;
};

struct JsoncMember {
  std::string name;
  std::size_t key = 0;  // where its name begins, at the quote
  JsoncValue value;
  std::optional<std::size_t> comma;  // the comma behind it
};

// Bytes that are no data: comments, and commas with nothing behind them.
struct JsoncNoise {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_comment = false;
};

struct JsoncDocument {
  std::optional<JsoncValue> root;  // none: the file is empty but for space and comments
  std::vector<JsoncNoise> noise;   // in the order of the file
};

// kMalformed with the details "line" and "column" (from 1, in characters). A byte order mark is skipped.
Result<JsoncDocument> parse_jsonc(std::string_view text);

// The data of a value of this document.
Result<json::value> jsonc_data(std::string_view text, const JsoncDocument& document, const JsoncValue& value);

// The error of a place in a text, with its line and column.
Error error_at(ErrorCode code, std::string_view text, std::size_t offset, std::string message);

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace llm::cli
