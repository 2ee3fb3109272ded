#include "cli/commands/chat_session.h"

namespace llm::cli {

Result<void> AnswerPrinter::event(const json::object& event) {
  if (terminal_.json()) terminal_.result(event);
  const json::value* text = json::find(event, "text");
  if (!text) {
    bar_.event(event);
    return {};
  }
  bar_.clear();
  const std::string_view piece = json::string_or(event, "text");
  text_ += piece;
  if (!terminal_.json()) terminal_.out(terminal_.settings().out_is_terminal ? printable(piece) : std::string(piece));
  return {};
}

void AnswerPrinter::finish(const json::object* answer) {
  bar_.clear();
  if (terminal_.json()) {
    if (!answer) return;
    json::object last = *answer;
    last["done"] = true;
    terminal_.result(last);
    return;
  }
  if (!text_.empty() && !text_.ends_with('\n')) terminal_.out("\n");
  if (answer && json::string_or(*answer, "finish_reason") == "length") {
    terminal_.note(
        terminal_.styled_err(Style::kDim, "(the answer was cut: it reached --max-tokens or the context's end)"));
  }
}

void Conversation::clear() {
  messages_.clear();
  if (arguments_.system && !arguments_.raw) {
    messages_.push_back({{"role", "system"}, {"content", *arguments_.system}});
  }
}

void Conversation::ask(std::string text) {
  if (arguments_.raw) {
    prompt_ = std::move(text);
  } else {
    messages_.push_back({{"role", "user"}, {"content", std::move(text)}});
  }
}

void Conversation::answer(std::string text) {
  if (arguments_.raw) return;
  if (!text.empty()) {
    messages_.push_back({{"role", "assistant"}, {"content", std::move(text)}});
  } else if (!messages_.empty()) {
    messages_.pop_back();
  }
}

json::object Conversation::request() const {
  json::object request{{"model", arguments_.model}};
  if (arguments_.raw) {
    request["prompt"] = prompt_;
  } else {
    json::array messages;
    for (const json::object& message : messages_) messages.push_back(message);
    request["messages"] = std::move(messages);
  }
  if (arguments_.max_tokens) request["max_tokens"] = *arguments_.max_tokens;
  if (arguments_.temperature) request["temperature"] = *arguments_.temperature;
  if (arguments_.seed) request["seed"] = *arguments_.seed;
  return request;
}

Result<std::string> prompt_text(const std::vector<std::string>& words,
                                const std::function<Result<std::string>()>& standard_input) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += text.ends_with('\n') ? "" : " ";
    if (word != "-") {
      text += word;
      continue;
    }
    auto input = standard_input();
    if (!input) return fail(std::move(input.error()));
    if (!text.empty() && input->contains('\n')) text += '\n';
    text += *input;
  }
  return text;
}

}  // namespace llm::cli
