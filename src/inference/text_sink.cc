#include "inference/text_sink.h"

#include "inference/describe.h"

namespace llm::inference {

Task<Result<void>> TextSink::on_loading(std::string_view model, const engines::LoadProgress& progress) {
  co_return co_await sink_(loading_event(model, progress));
}

Task<Result<void>> TextSink::on_events(std::span<const std::string_view> payloads) {
  std::string text;
  for (const auto payload : payloads) take(payload, text);
  if (text.empty()) co_return Result<void>();
  text_ += text;
  co_return co_await sink_(json::object{{"text", std::move(text)}, {"tokens", tokens_}});
}

void TextSink::complete(json::object& answer) {
  answer["text"] = std::move(text_);
  if (!logprobs_.empty()) answer["logprobs"] = json::object{{"content", std::move(logprobs_)}};
  if (!tool_calls_.empty()) answer["tool_calls"] = std::move(tool_calls_);
  if (!reasoning_.empty()) answer["reasoning"] = std::move(reasoning_);
  answer["id"] = std::move(id_);
}

void TextSink::take(std::string_view payload, std::string& text) {
  boost::json::monotonic_resource memory(buffer_.data(), buffer_.size());
  boost::system::error_code error;
  const auto event = boost::json::parse({payload.data(), payload.size()}, error, &memory);
  if (error || !event.is_object()) return;
  const auto& object = event.get_object();
  if (id_.empty()) id_ = json::string_or(object, "id");
  const auto* choices = json::find(object, "choices");
  if (!choices || !choices->is_array() || choices->get_array().empty()) return;
  if (!choices->get_array()[0].is_object()) return;
  const auto& choice = choices->get_array()[0].get_object();
  const auto* delta = json::find(choice, "delta");
  const std::size_t before = text.size();
  if (delta && delta->is_object()) {
    text += json::string_or(delta->get_object(), "content");
    reasoning_ += json::string_or(delta->get_object(), "reasoning_content");
    if (const auto* calls = json::find(delta->get_object(), "tool_calls"); calls && calls->is_array())
      add_calls(calls->get_array());
  } else {
    text += json::string_or(choice, "text");
  }
  if (text.size() > before) ++tokens_;
  if (const auto* logprobs = json::find(choice, "logprobs"); logprobs && logprobs->is_object()) {
    if (const auto* content = json::find(logprobs->get_object(), "content"); content && content->is_array()) {
      for (const auto& item : content->get_array()) logprobs_.push_back(json::value(item, logprobs_.storage()));
    }
  }
}

void TextSink::add_calls(const json::array& calls) {
  for (const auto& item : calls) {
    if (!item.is_object()) continue;
    const auto& call = item.get_object();
    const auto index = json::int_or(call, "index");
    if (index < 0 || index > 256) continue;
    while (tool_calls_.size() <= static_cast<std::size_t>(index)) {
      tool_calls_.push_back(json::object{{"id", ""}, {"name", ""}, {"arguments", ""}});
    }
    auto& mine = tool_calls_[static_cast<std::size_t>(index)].get_object();
    if (const auto id = json::string_or(call, "id"); !id.empty()) mine["id"] = id;
    if (const auto* function = json::find(call, "function"); function && function->is_object()) {
      mine["name"].get_string().append(json::string_or(function->get_object(), "name"));
      mine["arguments"].get_string().append(json::string_or(function->get_object(), "arguments"));
    }
  }
}

}  // namespace llm::inference
