#include "api/error_body.h"

#include <algorithm>

namespace llm::api {

json::object error_body(const Error& error, std::string_view request_id) {
  const auto& row = describe(error.code);
  const bool no_model = error.code == ErrorCode::kNotFound && error.pointer == "/model";
  json::object body{
      {"message", error.message}, {"type", row.openai_type}, {"code", no_model ? "model_not_found" : row.name}};
  if (error.pointer.empty()) {
    body["param"] = nullptr;
  } else {
    std::string param = error.pointer.substr(1);
    std::ranges::replace(param, '/', '.');
    body["param"] = param;
    body["pointer"] = error.pointer;
  }
  for (const auto& detail : error.details) {
    std::visit([&](const auto& value) { body[detail.name] = value; }, detail.value);
  }
  if (error.retry_after_s > 0) body["retry_after"] = error.retry_after_s;
  if (!request_id.empty()) body["request_id"] = request_id;
  return json::object{{"error", std::move(body)}};
}

}  // namespace llm::api
