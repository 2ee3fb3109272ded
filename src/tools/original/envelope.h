#pragma once

#include <string>

#include "base/error.h"
#include "json/fields.h"
#include "mcp/tool.h"

// What every tool of the toolset `original` answers: {success, message, data}.
namespace llm::tools::original {

struct Envelope {
  bool success = false;
  std::string message;
  json::object data;
};

// What an operation has to say when all went well.
struct Answer {
  std::string message;
  json::object data = {};
  std::string text = {};  // what a model reads instead of `message` and `data`
};

mcp::ToolResult success(Answer answer);
// isError; data has the error's name and the JSON Pointer of the argument, and what `more` adds.
mcp::ToolResult failure(const Error& error, json::object more = {});

}  // namespace llm::tools::original

template <>
struct llm::json::Fields<llm::tools::original::Envelope> {
  static const Table<tools::original::Envelope>& table();
};
