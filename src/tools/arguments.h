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
};

struct EmbedArguments {
  json::StringOrList input;
  std::optional<std::string> model;
  std::optional<std::int64_t> dimensions;
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

// The members of GenerateRequest that the arguments stand for.
json::object to_generate_request(const GenerateArguments& arguments);
json::object to_generate_request(const ChatArguments& arguments);

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
