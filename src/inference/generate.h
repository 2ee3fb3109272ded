#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"

namespace llm::inference {

// The request of POST /api/v1/generate, of the WebSocket's "generate" and "chat", and of the MCP tools llm_generate and
// llm_chat. Either `prompt` (raw completion) or `messages` (chat).
struct GenerateRequest {
  std::string model;
  std::optional<std::string> prompt;
  std::vector<json::object> messages;
  std::vector<std::string> images;
  std::optional<std::int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;
  std::optional<double> min_p;
  std::optional<double> repeat_penalty;
  std::optional<double> frequency_penalty;
  std::optional<double> presence_penalty;
  json::StringOrList stop;
  std::optional<std::int64_t> seed;
  bool stream = false;
  std::optional<std::int64_t> logprobs;
  json::value response_format;
  std::vector<json::object> tools;
  json::value tool_choice;
  std::optional<json::Duration> keep_alive;
};

// The same request in the OpenAI shape an engine understands. `chat`: messages were given (or images, which only chat
// carries). Errors (kInvalidArgument): neither or both of prompt and messages, images that are neither base64 nor a
// data: URL (nothing is ever fetched on a client's behalf).
struct EngineRequest {
  bool chat = false;
  json::object body;
};
Result<EngineRequest> to_engine_request(const GenerateRequest& request);

}  // namespace llm::inference

template <>
struct llm::json::Fields<llm::inference::GenerateRequest> {
  static const Table<inference::GenerateRequest>& table();
};
