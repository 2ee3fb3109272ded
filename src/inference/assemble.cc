#include "inference/assemble.h"

namespace llm::inference {
namespace {

constexpr std::int64_t kMostChoices = 4096;  // an index beyond this is nonsense, not a reason to allocate

// Appends the text `value` to the text member `name`.
void append_text(json::object& target, std::string_view name, const json::value& value) {
  if (!value.is_string()) return;
  auto& member = target[name];
  if (!member.is_string()) member = "";
  member.get_string().append(value.get_string());
}

void append_logprobs(json::object& choice, const json::value& logprobs) {
  if (!logprobs.is_object()) return;
  auto& mine = choice["logprobs"];
  if (!mine.is_object()) {
    mine = logprobs;
    return;
  }
  for (const auto& member : logprobs.get_object()) {
    auto& list = mine.get_object()[member.key()];
    if (!member.value().is_array()) continue;
    if (!list.is_array()) list = json::array();
    for (const auto& item : member.value().get_array()) list.get_array().push_back(item);
  }
}

}  // namespace

json::object& Assembler::choice(std::int64_t index) {
  const auto at = static_cast<std::size_t>(index);
  while (choices_.size() <= at) {
    json::object fresh{{"index", static_cast<std::int64_t>(choices_.size())}, {"finish_reason", nullptr}};
    if (chat_) {
      fresh["message"] = json::object{{"role", "assistant"}, {"content", nullptr}};
    } else {
      fresh["text"] = "";
      fresh["logprobs"] = nullptr;
    }
    choices_.push_back(std::move(fresh));
  }
  return choices_[at].get_object();
}

void Assembler::merge_tool_calls(json::object& message, const json::array& calls) {
  auto& list = message["tool_calls"];
  if (!list.is_array()) list = json::array();
  auto& mine = list.get_array();
  for (const auto& item : calls) {
    if (!item.is_object()) continue;
    const auto& call = item.get_object();
    const auto index = json::int_or(call, "index");
    if (index < 0 || index > kMostChoices) continue;
    while (mine.size() <= static_cast<std::size_t>(index)) {
      mine.push_back(json::object{{"type", "function"}, {"function", json::object{{"name", ""}, {"arguments", ""}}}});
    }
    auto& target = mine[static_cast<std::size_t>(index)].get_object();
    if (const auto* id = json::find(call, "id"); id && id->is_string()) target["id"] = *id;
    if (const auto* function = json::find(call, "function"); function && function->is_object()) {
      auto& into = target["function"].get_object();
      for (const std::string_view part : {"name", "arguments"}) {
        if (const auto* text = json::find(function->get_object(), part)) append_text(into, part, *text);
      }
    }
  }
}

void Assembler::merge_delta(json::object& message, const json::object& delta) {
  for (const auto& member : delta) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key == "tool_calls") {
      if (member.value().is_array()) merge_tool_calls(message, member.value().get_array());
    } else if (key == "role") {
      message["role"] = member.value();
    } else {
      append_text(message, key, member.value());  // content, reasoning_content, refusal
    }
  }
}

Result<void> Assembler::add(std::string_view payload) {
  auto parsed = json::parse(payload);
  if (!parsed || !parsed->is_object())
    return fail(ErrorCode::kEngineFailed, "an event of the engine is not a JSON object");
  auto& event = parsed->get_object();
  for (const auto& member : event) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key == "choices" || key == "object" || key == "usage" || key == "timings") continue;
    if (!envelope_.contains(key)) envelope_[key] = member.value();
  }
  const auto* list = json::find(event, "choices");
  if (!list || !list->is_array()) return {};
  for (const auto& item : list->get_array()) {
    if (!item.is_object()) continue;
    const auto& part = item.get_object();
    const auto index = json::int_or(part, "index");
    if (index < 0 || index > kMostChoices) return fail(ErrorCode::kEngineFailed, "an event names an impossible choice");
    auto& mine = choice(index);
    if (const auto* delta = json::find(part, "delta"); delta && delta->is_object() && chat_) {
      merge_delta(mine["message"].get_object(), delta->get_object());
    }
    if (const auto* text = json::find(part, "text"); text && !chat_) append_text(mine, "text", *text);
    if (const auto* logprobs = json::find(part, "logprobs")) append_logprobs(mine, *logprobs);
    for (const auto& member : part) {
      const std::string_view key(member.key().data(), member.key().size());
      if (key == "index" || key == "delta" || key == "text" || key == "logprobs" || member.value().is_null()) continue;
      mine[key] = member.value();  // finish_reason, stop_reason, …
    }
  }
  return {};
}

json::object Assembler::finish() && {
  json::object answer = std::move(envelope_);
  answer["object"] = chat_ ? "chat.completion" : "text_completion";
  answer["choices"] = std::move(choices_);
  return answer;
}

}  // namespace llm::inference
