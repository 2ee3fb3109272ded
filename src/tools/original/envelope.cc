#include "tools/original/envelope.h"

#include <utility>
#include <variant>

namespace llm::tools::original {

mcp::ToolResult success(Answer answer) {
  std::string text = std::move(answer.text);
  if (text.empty()) {
    text = answer.message;
    if (!answer.data.empty()) text += "\n" + json::write(answer.data);
  }
  const Envelope envelope{true, std::move(answer.message), std::move(answer.data)};
  return {.structured = json::encode(envelope), .text = std::move(text)};
}

mcp::ToolResult failure(const Error& error, json::object more) {
  json::object data{{"error", describe(error.code).name}};
  if (!error.pointer.empty()) data["pointer"] = error.pointer;
  for (const ErrorDetail& detail : error.details) {
    std::visit([&](const auto& value) { data[detail.name] = value; }, detail.value);
  }
  if (error.retry_after_s > 0) data["retry_after_s"] = error.retry_after_s;
  for (auto& member : more) data[member.key()] = std::move(member.value());
  const Envelope envelope{false, to_string(error), std::move(data)};
  return {.structured = json::encode(envelope), .text = envelope.message, .is_error = true};
}

}  // namespace llm::tools::original

namespace llm {

using tools::original::Envelope;

const json::Table<Envelope>& json::Fields<Envelope>::table() {
  using T = Envelope;
  static const Table<T> table{
      "result",
      {
          field("success", &T::success, {.description = "Did it work?", .required = true}),
          field("message", &T::message, {.description = "What was done, or what went wrong.", .required = true}),
          field("data", &T::data, {.description = "The facts, by operation; of an error its name.", .required = true}),
      }};
  return table;
}

}  // namespace llm
