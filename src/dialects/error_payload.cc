#include "dialects/error_payload.h"

#include "json/json.h"

namespace llm::dialects {

std::string error_payload(const Error& error) {
  const ErrorDescription& described = describe(error.code);
  return json::write(json::object{
      {"error",
       json::object{{"message", error.message}, {"type", described.openai_type}, {"code", described.http_status}}}});
}

}  // namespace llm::dialects
