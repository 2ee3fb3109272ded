#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "json/json.h"

namespace llm::mcp {

// A JSON-RPC id (MCP: a string or an integer, never null), and a progress token, which follows the same rule. Kept as
// JSON text, because it is only ever compared and sent back; 1 and "1" differ.
struct RequestId {
  std::string json;
  friend bool operator==(const RequestId&, const RequestId&) = default;

  // nullopt for anything but a string or an integer. A double without a fraction up to 2^53 counts as an integer.
  static std::optional<RequestId> from(const json::value& value);
};

struct Request {
  RequestId id;
  std::string method;
  json::object params;  // empty if absent
};

struct Notification {
  std::string method;
  json::object params;
};

// The error object of a refused message. `data` is JSON text or empty.
struct Refusal {
  int code = 0;
  std::string message;
  std::string data;
};

// An answer of the other side to a request of ours.
struct Response {
  RequestId id;
  json::value result;            // null if it is an error
  std::optional<Refusal> error;  // without its data
};

// Not a JSON-RPC message. Answer it with `refusal`, under `id` if one could be read, else without an id.
struct Malformed {
  std::optional<RequestId> id;
  Refusal refusal;
};

using Message = std::variant<Request, Notification, Response, Malformed>;

// An array of messages; never empty.
struct Batch {
  std::vector<Message> messages;
};

using Decoded = std::variant<Message, Batch>;

inline constexpr std::size_t kMaxBatch = 1000;  // messages in an array; a longer one is malformed as a whole
inline constexpr std::size_t kMaxDepth = 64;    // nested arrays and objects in a message

// One line of input, without its newline. Pure; never throws.
Decoded decode_line(std::string_view line);

// Append one message without a newline inside or behind. JSON arguments must be valid JSON on one line.
void write_result(std::string& out, const RequestId& id, std::string_view result_json);
void write_error(std::string& out, const RequestId* id, const Refusal& refusal);  // null: the answer has no id
void write_request(std::string& out, const RequestId& id, std::string_view method, std::string_view params_json);
void write_notification(std::string& out, std::string_view method, std::string_view params_json);

}  // namespace llm::mcp
