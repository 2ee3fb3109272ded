#include "mcp/jsonrpc.h"

#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <utility>

#include "mcp/protocol.h"

namespace llm::mcp {
namespace {

Malformed invalid(std::optional<RequestId> id, std::string message) {
  return {std::move(id), {kInvalidRequest, std::move(message), {}}};
}

// Moves `params` out. False if they are there but no object; null counts as absent, as some clients write it.
bool take_params(json::object& message, json::object& params) {
  json::value* found = message.if_contains("params");
  if (found == nullptr || found->is_null()) return true;
  if (!found->is_object()) return false;
  params = std::move(found->get_object());
  return true;
}

Response decode_response(json::object& message, std::optional<RequestId> id) {
  Response response{.id = id ? std::move(*id) : RequestId{}, .result = {}, .error = {}};
  if (json::value* result = message.if_contains("result")) response.result = std::move(*result);
  if (const json::value* error = json::find(message, "error")) {
    const json::object* fields = error->if_object();
    response.error.emplace();
    if (fields != nullptr) {
      response.error->code = static_cast<int>(json::int_or(*fields, "code"));
      response.error->message = json::string_or(*fields, "message");
    }
  }
  return response;
}

Message decode_message(json::value& document) {
  json::object* object = document.if_object();
  if (object == nullptr) return invalid({}, "Invalid request: a JSON-RPC message is an object.");
  std::optional<RequestId> id;
  const json::value* id_value = json::find(*object, "id");
  if (id_value != nullptr) id = RequestId::from(*id_value);

  if (json::string_or(*object, "jsonrpc") != "2.0") {
    return invalid(std::move(id), R"(Invalid request: "jsonrpc" must be "2.0".)");
  }
  const json::value* method = json::find(*object, "method");
  const bool answer = object->contains("result") || object->contains("error");
  if (id_value != nullptr && !id) {
    // An error that answers something unreadable carries a null id; answering it could go on for ever.
    if (answer && method == nullptr && id_value->is_null()) return decode_response(*object, std::nullopt);
    return invalid({}, R"(Invalid request: "id" must be a string or an integer.)");
  }
  if (method == nullptr) {
    if (answer) return decode_response(*object, std::move(id));
    return invalid(std::move(id), R"(Invalid request: "method" is missing.)");
  }
  if (!method->is_string()) return invalid(std::move(id), R"(Invalid request: "method" must be a string.)");
  if (answer) return invalid(std::move(id), R"(Invalid request: "method" beside "result" or "error".)");

  json::object params;
  if (!take_params(*object, params)) {
    return invalid(std::move(id), R"(Invalid request: "params" must be an object; MCP names all its parameters.)");
  }
  std::string name(method->get_string());
  if (!id) return Notification{std::move(name), std::move(params)};
  return Request{std::move(*id), std::move(name), std::move(params)};
}

}  // namespace

std::optional<RequestId> RequestId::from(const json::value& value) {
  if (const auto* text = value.if_string()) {
    RequestId id;
    json::append_quoted(id.json, *text);
    return id;
  }
  if (const auto* number = value.if_int64()) return RequestId{fmt::format_int(*number).str()};
  if (const auto* number = value.if_uint64()) return RequestId{fmt::format_int(*number).str()};
  if (const auto* number = value.if_double()) {
    constexpr double kExact = 9007199254740992.0;  // 2^53
    if (std::trunc(*number) != *number || std::abs(*number) > kExact) return std::nullopt;
    return RequestId{fmt::format_int(static_cast<std::int64_t>(*number)).str()};
  }
  return std::nullopt;
}

Decoded decode_line(std::string_view line) {
  auto document = json::parse(line, {.max_depth = kMaxDepth});
  if (!document) {
    return Malformed{{}, {kParseError, fmt::format("Parse error: {}.", document.error().message), {}}};
  }
  json::array* list = document->if_array();
  if (list == nullptr) return decode_message(*document);
  if (list->empty()) return invalid({}, "Invalid request: an empty batch.");
  if (list->size() > kMaxBatch) {
    return invalid({}, fmt::format("Invalid request: a batch of {} messages; send at most {} in one array.",
                                   list->size(), kMaxBatch));
  }
  Batch batch;
  batch.messages.reserve(list->size());
  for (json::value& element : *list) batch.messages.push_back(decode_message(element));
  return batch;
}

void write_result(std::string& out, const RequestId& id, std::string_view result_json) {
  out.append(R"({"jsonrpc":"2.0","id":)").append(id.json);
  out.append(R"(,"result":)").append(result_json).push_back('}');
}

void write_error(std::string& out, const RequestId* id, const Refusal& refusal) {
  out.append(R"({"jsonrpc":"2.0")");
  // JSON-RPC wants a null id when the request's is unknown; MCP's schemas allow no null, but (since 2025-11-25) none.
  if (id != nullptr) out.append(R"(,"id":)").append(id->json);
  fmt::format_to(std::back_inserter(out), R"(,"error":{{"code":{},"message":)", refusal.code);
  json::append_quoted(out, refusal.message);
  if (!refusal.data.empty()) out.append(R"(,"data":)").append(refusal.data);
  out.append("}}");
}

void write_request(std::string& out, const RequestId& id, std::string_view method, std::string_view params_json) {
  out.append(R"({"jsonrpc":"2.0","id":)").append(id.json).append(R"(,"method":)");
  json::append_quoted(out, method);
  out.append(R"(,"params":)").append(params_json).push_back('}');
}

void write_notification(std::string& out, std::string_view method, std::string_view params_json) {
  out.append(R"({"jsonrpc":"2.0","method":)");
  json::append_quoted(out, method);
  out.append(R"(,"params":)").append(params_json).push_back('}');
}

}  // namespace llm::mcp
