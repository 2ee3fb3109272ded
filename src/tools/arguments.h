#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"

// What the tools take. The descriptions are written for the language models that fill them in.
namespace llm::tools {

// What llm_generate and llm_chat have in common; names and meaning as in inference::GenerateRequest.
struct SamplingArguments {
  std::optional<std::string> model;
  std::optional<std::vector<std::string>> images;
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
  std::optional<json::object> json_schema;
  std::optional<json::Duration> keep_alive;
};

struct GenerateArguments : SamplingArguments {
  std::string prompt;
};

enum class ChatRole { kSystem, kUser, kAssistant, kTool };

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::optional<std::string> content;
  std::optional<std::vector<json::object>> tool_calls;
  std::optional<std::string> tool_call_id;
};

enum class ToolChoice { kAuto, kNone, kRequired };

struct ChatArguments : SamplingArguments {
  std::vector<ChatMessage> messages;
  std::optional<std::vector<json::object>> tools;
  std::optional<ToolChoice> tool_choice;
  std::optional<json::object> response_format;
  std::optional<std::vector<std::string>> use_tools;  // for the agent loop; no part of the request
  std::optional<std::int64_t> max_turns;
};

struct EmbedArguments {
  json::StringOrList input;
  std::optional<std::string> model;
  std::optional<std::int64_t> dimensions;
};

struct RerankArguments {
  std::string query;
  std::vector<std::string> documents;
  std::optional<std::int64_t> top_n;
  std::optional<std::string> model;
};

struct TokenizeArguments {
  std::string text;
  std::optional<std::string> model;
  bool include_tokens = false;
};

struct NoArguments {};

struct ModelInfoArguments {
  std::optional<std::string> model;
  bool include_chat_template = false;
};

struct LoadArguments {
  std::optional<std::string> model;
  std::optional<json::Duration> keep_alive;
};

struct UnloadArguments {
  std::optional<std::string> model;
  bool force = false;
};

struct PullArguments {
  std::string source;
  std::optional<std::string> name;
  std::optional<std::string> sha256;
};

struct RemoveArguments {
  std::string model;
  bool confirm = false;
};

enum class HelpTopic { kOverview, kModels, kChat, kStructured, kVectors, kErrors, kResources };

struct HelpArguments {
  HelpTopic topic = HelpTopic::kOverview;
};

// The members of GenerateRequest that the arguments stand for. kInvalidArgument: two of them contradict each other.
Result<json::object> to_generate_request(const GenerateArguments& arguments);
Result<json::object> to_generate_request(const ChatArguments& arguments);
json::object to_tokenize_request(const TokenizeArguments& arguments);

}  // namespace llm::tools

template <>
struct llm::json::EnumNames<llm::tools::ChatRole> {
  static constexpr std::array<std::pair<tools::ChatRole, std::string_view>, 4> values{{
      {tools::ChatRole::kSystem, "system"},
      {tools::ChatRole::kUser, "user"},
      {tools::ChatRole::kAssistant, "assistant"},
      {tools::ChatRole::kTool, "tool"},
  }};
};
template <>
struct llm::json::EnumNames<llm::tools::ToolChoice> {
  static constexpr std::array<std::pair<tools::ToolChoice, std::string_view>, 3> values{{
      {tools::ToolChoice::kAuto, "auto"},
      {tools::ToolChoice::kNone, "none"},
      {tools::ToolChoice::kRequired, "required"},
  }};
};

template <>
struct llm::json::EnumNames<llm::tools::HelpTopic> {
  static constexpr std::array<std::pair<tools::HelpTopic, std::string_view>, 7> values{{
      {tools::HelpTopic::kOverview, "overview"},
      {tools::HelpTopic::kModels, "models"},
      {tools::HelpTopic::kChat, "chat"},
      {tools::HelpTopic::kStructured, "structured_output"},
      {tools::HelpTopic::kVectors, "vectors"},
      {tools::HelpTopic::kErrors, "errors"},
      {tools::HelpTopic::kResources, "resources"},
  }};
};

template <>
struct llm::json::Fields<llm::tools::GenerateArguments> {
  static const Table<tools::GenerateArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::ChatMessage> {
  static const Table<tools::ChatMessage>& table();
};
template <>
struct llm::json::Fields<llm::tools::ChatArguments> {
  static const Table<tools::ChatArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::EmbedArguments> {
  static const Table<tools::EmbedArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::NoArguments> {
  static const Table<tools::NoArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::ModelInfoArguments> {
  static const Table<tools::ModelInfoArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::LoadArguments> {
  static const Table<tools::LoadArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::UnloadArguments> {
  static const Table<tools::UnloadArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::PullArguments> {
  static const Table<tools::PullArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::RerankArguments> {
  static const Table<tools::RerankArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::TokenizeArguments> {
  static const Table<tools::TokenizeArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::RemoveArguments> {
  static const Table<tools::RemoveArguments>& table();
};
template <>
struct llm::json::Fields<llm::tools::HelpArguments> {
  static const Table<tools::HelpArguments>& table();
};
