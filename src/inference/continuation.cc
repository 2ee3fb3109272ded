#include "inference/continuation.h"

#include <algorithm>
#include <array>

namespace llm::inference {
namespace {

// Members that shape an answer in ways that a text prefix does not carry over.
constexpr std::array<std::string_view, 10> kNotContinued{"tools",           "functions", "logprobs",    "top_logprobs",
                                                         "response_format", "grammar",   "json_schema", "guided_json",
                                                         "suffix",          "echo"};

const json::object* first_choice(const json::object& event) {
  const auto* choices = json::find(event, "choices");
  if (!choices || !choices->is_array() || choices->get_array().empty()) return nullptr;
  return choices->get_array()[0].if_object();
}

bool has_text(const json::object& object, std::string_view name) {
  return !json::string_or(object, name).empty();
}

}  // namespace

std::optional<Continuation> Continuation::of(const Request& request, std::int64_t choices, bool several) {
  const bool chat = request.operation == Operation::kChat;
  if (!request.stream || choices != 1 || several || (!chat && request.operation != Operation::kCompletion)) {
    return std::nullopt;
  }
  for (const auto name : kNotContinued) {
    const auto* member = json::find(request.body, name);
    if (member && !member->is_null() && !(member->is_bool() && !member->get_bool())) return std::nullopt;
  }
  return Continuation(chat);
}

void Continuation::saw(std::string_view payload) {
  const auto parsed = json::parse(payload, {.max_depth = 64});
  const auto* event = parsed ? parsed->if_object() : nullptr;
  if (!event) return;
  if (envelope_.empty()) {
    for (const std::string_view name : {"id", "object", "created", "model"}) {
      if (const auto* member = json::find(*event, name)) envelope_[name] = *member;
    }
  }
  const auto* choice = first_choice(*event);
  if (!choice) return;
  if (const auto* reason = json::find(*choice, "finish_reason"); reason && reason->is_string()) finished_ = true;
  std::string_view text = json::string_or(*choice, "text");
  if (const auto* delta = json::find(*choice, "delta"); delta && delta->is_object()) {
    text = json::string_or(delta->get_object(), "content");
    for (const std::string_view other : {"reasoning_content", "reasoning", "tool_calls", "refusal"}) {
      const auto* member = json::find(delta->get_object(), other);
      if (member && !member->is_null()) possible_ = false;
    }
  }
  if (text.empty()) return;
  text_ += text;
  ++pieces_;
}

bool Continuation::possible_with(dialects::ProviderKind kind, bool llama_server) const {
  if (!chat_ || text_.empty() || llama_server) return true;
  using enum dialects::ProviderKind;
  return kind == kLlamaServer || kind == kVllm || kind == kSglang || kind == kAnthropic;
}

json::object Continuation::body(const json::object& original, dialects::ProviderKind kind, bool llama_server) {
  json::object body = original;
  echo_ = chat_ && (llama_server || kind == dialects::ProviderKind::kLlamaServer) ? text_ : std::string();
  if (!text_.empty()) {
    if (chat_) {
      auto& messages = body["messages"];
      if (messages.is_array()) messages.get_array().push_back(json::object{{"role", "assistant"}, {"content", text_}});
      if (kind == dialects::ProviderKind::kVllm || kind == dialects::ProviderKind::kSglang) {
        body["continue_final_message"] = true;
        body["add_generation_prompt"] = false;
      }
    } else if (auto* prompt = body["prompt"].if_string()) {
      prompt->append(text_);
    }
  }
  for (const std::string_view name : {"max_tokens", "max_completion_tokens"}) {
    const auto* limit = json::find(body, name);
    if (limit && limit->is_int64()) body[name] = std::max<std::int64_t>(1, limit->get_int64() - pieces_);
  }
  return body;
}

// The echo may come in one piece with what is new, or in several. Text that does not repeat it ends the search.
void Continuation::strip_echo(json::object& delta) {
  if (echo_.empty()) return;
  auto* content = delta.if_contains("content");
  auto* text = content ? content->if_string() : nullptr;
  if (!text || text->empty()) return;
  const std::string_view came(text->data(), text->size());
  const std::size_t common = std::min(came.size(), echo_.size());
  const bool repeats = came.substr(0, common) == std::string_view(echo_).substr(0, common);
  if (!repeats) {
    echo_.clear();
    return;
  }
  echo_.erase(0, common);
  *content = std::string(came.substr(common));
}

std::optional<std::string> Continuation::rewrite(std::string_view payload) {
  auto parsed = json::parse(payload, {.max_depth = 64});
  auto* event = parsed ? parsed->if_object() : nullptr;
  if (!event) return std::string(payload);
  const auto* choice = first_choice(*event);
  if (!choice) return std::nullopt;
  const auto* reason = json::find(*choice, "finish_reason");
  const bool ends = reason && reason->is_string();
  if (chat_) {
    auto* delta = event->at("choices").get_array()[0].get_object().if_contains("delta");
    if (delta && delta->is_object()) strip_echo(delta->get_object());
    if (!ends && (!delta || !delta->is_object() || !has_text(delta->get_object(), "content"))) return std::nullopt;
  }
  for (const auto& member : envelope_) (*event)[member.key()] = member.value();
  return json::write(*event);
}

}  // namespace llm::inference
