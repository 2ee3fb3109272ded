// The conversation of a request, from the OpenAI API's messages to Anthropic's.
#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "dialects/anthropic_request.h"

namespace llm::dialects {
namespace {

using Blocks = json::array;

// Anthropic's mark of what to keep in its cache, which clients may put on a part.
void keep_cache_control(const json::object& from, json::object& block) {
  if (const json::value* mark = json::find(from, "cache_control"); mark != nullptr && mark->is_object()) {
    block["cache_control"] = *mark;
  }
}

// Empty texts are refused there.
void add_text(Blocks& blocks, std::string_view text) {
  if (!text.empty()) blocks.push_back(json::object{{"type", "text"}, {"text", text}});
}

// "data:image/png;base64,AAAA" -> {"type":"base64","media_type":"image/png","data":"AAAA"}
std::optional<json::object> inline_source(std::string_view url) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kEncoding = ";base64,";
  const auto comma = url.find(kEncoding);
  if (!url.starts_with(kScheme) || comma == std::string_view::npos) return std::nullopt;
  return json::object{{"type", "base64"},
                      {"media_type", url.substr(kScheme.size(), comma - kScheme.size())},
                      {"data", url.substr(comma + kEncoding.size())}};
}

Result<json::object> image_block(const json::object& part, const std::string& at) {
  const json::value* given = json::find(part, "image_url");
  std::string_view url;
  if (given != nullptr && given->is_object()) url = json::string_or(given->get_object(), "url");
  if (given != nullptr && given->is_string()) url = given->get_string();
  if (auto source = inline_source(url)) return json::object{{"type", "image"}, {"source", std::move(*source)}};
  if (url.starts_with("https://") || url.starts_with("http://")) {
    return json::object{{"type", "image"}, {"source", json::object{{"type", "url"}, {"url", url}}}};
  }
  return fail(ErrorCode::kInvalidArgument, "expected a data: URL in base64 or an address", at + "/image_url/url");
}

Result<json::object> file_block(const json::object& part, const std::string& at) {
  const json::value* file = json::find(part, "file");
  const std::string_view data =
      file != nullptr && file->is_object() ? json::string_or(file->get_object(), "file_data") : std::string_view();
  auto source = inline_source(data);
  if (!source) {
    return fail(ErrorCode::kUnsupported, "Anthropic's API takes files as data: URLs in file_data only",
                at + "/file/file_data");
  }
  return json::object{{"type", "document"}, {"source", std::move(*source)}};
}

Result<void> add_part(Blocks& blocks, const json::value& value, const std::string& at) {
  if (!value.is_object()) return fail(ErrorCode::kInvalidArgument, "expected an object", at);
  const json::object& part = value.get_object();
  const std::string_view type = json::string_or(part, "type");
  if (type == "text" || type == "refusal") {
    const std::string_view text = json::string_or(part, type);
    if (text.empty()) return {};
    blocks.push_back(json::object{{"type", "text"}, {"text", text}});
  } else if (type == "image_url" || type == "file") {
    auto block = type == "file" ? file_block(part, at) : image_block(part, at);
    if (!block) return fail(std::move(block.error()));
    blocks.push_back(std::move(*block));
  } else {
    return fail(ErrorCode::kUnsupported, fmt::format("Anthropic's API takes no parts of type \"{}\"", type),
                at + "/type");
  }
  keep_cache_control(part, blocks.back().get_object());
  return {};
}

Result<void> add_content(Blocks& blocks, const json::object& message, const std::string& at) {
  const json::value* content = json::find(message, "content");
  if (content == nullptr || content->is_null()) return {};
  if (content->is_string()) {
    add_text(blocks, content->get_string());
    return {};
  }
  if (!content->is_array()) return fail(ErrorCode::kInvalidArgument, "expected a text or a list", at + "/content");
  for (std::size_t i = 0; i < content->get_array().size(); ++i) {
    auto added = add_part(blocks, content->get_array()[i], fmt::format("{}/content/{}", at, i));
    if (!added) return added;
  }
  return {};
}

// Thinking comes back to Anthropic as it came from it, with its signature, or not at all: our answers carry it in
// `thinking_blocks` beside `reasoning_content`.
void add_thinking(Blocks& blocks, const json::object& message) {
  const json::value* kept = json::find(message, "thinking_blocks");
  if (kept == nullptr || !kept->is_array()) return;
  for (const json::value& value : kept->get_array()) {
    if (!value.is_object()) continue;
    const json::object& block = value.get_object();
    const std::string_view type = json::string_or(block, "type");
    const bool signed_thinking = type == "thinking" && !json::string_or(block, "signature").empty();
    if (signed_thinking || type == "redacted_thinking") blocks.push_back(block);
  }
}

Result<void> add_tool_calls(Blocks& blocks, const json::object& message, const std::string& at) {
  const json::value* calls = json::find(message, "tool_calls");
  if (calls == nullptr || !calls->is_array()) return {};
  for (std::size_t i = 0; i < calls->get_array().size(); ++i) {
    const std::string here = fmt::format("{}/tool_calls/{}", at, i);
    const json::value& value = calls->get_array()[i];
    const json::value* function = value.is_object() ? json::find(value.get_object(), "function") : nullptr;
    if (function == nullptr || !function->is_object()) {
      return fail(ErrorCode::kInvalidArgument, "expected a call of a function", here);
    }
    const std::string_view text = json::string_or(function->get_object(), "arguments");
    auto arguments = text.empty() ? Result<json::value>(json::object()) : json::parse(text);
    if (!arguments || !arguments->is_object()) {
      return fail(ErrorCode::kInvalidArgument, "expected a JSON object as text", here + "/function/arguments");
    }
    blocks.push_back(json::object{{"type", "tool_use"},
                                  {"id", json::string_or(value.get_object(), "id")},
                                  {"name", json::string_or(function->get_object(), "name")},
                                  {"input", std::move(*arguments)}});
  }
  return {};
}

Result<void> add_tool_result(Blocks& blocks, const json::object& message, const std::string& at) {
  Blocks content;
  if (auto added = add_content(content, message, at); !added) return added;
  json::object block{{"type", "tool_result"}, {"tool_use_id", json::string_or(message, "tool_call_id")}};
  if (!content.empty()) block["content"] = std::move(content);
  blocks.push_back(std::move(block));
  return {};
}

// Messages of one role that follow each other become one: results of several tools have to stand in one message.
void append(json::array& messages, std::string_view role, Blocks blocks) {
  if (blocks.empty()) return;
  if (!messages.empty() && json::string_or(messages.back().get_object(), "role") == role) {
    auto& content = messages.back().get_object()["content"].get_array();
    for (auto& block : blocks) content.push_back(std::move(block));
    return;
  }
  messages.push_back(json::object{{"role", role}, {"content", std::move(blocks)}});
}

Result<void> add_message(const json::object& message, const std::string& at, Blocks& system, json::array& messages) {
  const std::string_view role = json::string_or(message, "role");
  if (role == "system" || role == "developer") return add_content(system, message, at);
  Blocks blocks;
  if (role == "tool") {
    if (auto added = add_tool_result(blocks, message, at); !added) return added;
    append(messages, "user", std::move(blocks));
    return {};
  }
  if (role != "user" && role != "assistant") {
    return fail(ErrorCode::kUnsupported, fmt::format("Anthropic's API knows no role \"{}\"", role), at + "/role");
  }
  if (role == "assistant") add_thinking(blocks, message);
  if (auto added = add_content(blocks, message, at); !added) return added;
  if (role == "assistant") {
    if (auto added = add_tool_calls(blocks, message, at); !added) return added;
  }
  append(messages, role, std::move(blocks));
  return {};
}

}  // namespace

Result<json::object> to_messages(const json::array& messages) {
  Blocks system;
  json::array out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string at = fmt::format("/messages/{}", i);
    if (!messages[i].is_object()) return fail(ErrorCode::kInvalidArgument, "expected an object", at);
    auto added = add_message(messages[i].get_object(), at, system, out);
    if (!added) return fail(std::move(added.error()));
  }
  if (out.empty()) {
    return fail(ErrorCode::kInvalidArgument, "Anthropic's API wants a message of the user with some content",
                "/messages");
  }
  json::object conversation;
  if (!system.empty()) conversation["system"] = std::move(system);
  conversation["messages"] = std::move(out);
  return conversation;
}

Result<void> add_tools(const json::object& chat, json::object& out) {
  const json::value* given = json::find(chat, "tools");
  if (given == nullptr || !given->is_array() || given->get_array().empty()) return {};
  json::array tools;
  for (std::size_t i = 0; i < given->get_array().size(); ++i) {
    const json::value& value = given->get_array()[i];
    const json::value* function = value.is_object() ? json::find(value.get_object(), "function") : nullptr;
    if (function == nullptr || !function->is_object()) {
      return fail(ErrorCode::kUnsupported, "expected a tool of type function", fmt::format("/tools/{}", i));
    }
    const json::object& described = function->get_object();
    json::object tool{{"name", json::string_or(described, "name")}};
    if (const auto text = json::string_or(described, "description"); !text.empty()) tool["description"] = text;
    const json::value* schema = json::find(described, "parameters");
    tool["input_schema"] = schema != nullptr && schema->is_object()
                               ? *schema
                               : json::value{{"type", "object"}, {"properties", json::object()}};
    if (json::bool_or(described, "strict")) tool["strict"] = true;
    keep_cache_control(value.get_object(), tool);
    tools.push_back(std::move(tool));
  }
  out["tools"] = std::move(tools);

  json::object choice;
  if (const json::value* wanted = json::find(chat, "tool_choice")) {
    if (wanted->is_string()) {
      const std::string_view word = wanted->get_string();
      choice["type"] = word == "required" ? std::string_view("any") : word;  // "auto" and "none" are the same there
    } else if (wanted->is_object()) {
      const json::value* function = json::find(wanted->get_object(), "function");
      if (function == nullptr || !function->is_object()) {
        return fail(ErrorCode::kUnsupported, "expected a choice of type function", "/tool_choice");
      }
      choice = {{"type", "tool"}, {"name", json::string_or(function->get_object(), "name")}};
    }
  }
  if (!json::bool_or(chat, "parallel_tool_calls", true) && json::string_or(choice, "type") != "none") {
    if (choice.empty()) choice["type"] = "auto";
    choice["disable_parallel_tool_use"] = true;
  }
  if (!choice.empty()) out["tool_choice"] = std::move(choice);
  return {};
}

}  // namespace llm::dialects
