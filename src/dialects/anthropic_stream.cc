#include "dialects/anthropic_stream.h"

#include <fmt/format.h>

#include "dialects/anthropic_answer.h"
#include "dialects/error_payload.h"

namespace llm::dialects {
namespace {

constexpr std::size_t kMaxOpenBlocks = 64;  // there is one at a time

const json::object* member(const json::object& object, std::string_view key) {
  const json::value* found = json::find(object, key);
  return found != nullptr && found->is_object() ? &found->get_object() : nullptr;
}

}  // namespace

Result<void> MessagesStream::on_event(std::string_view name, std::string_view data, std::vector<std::string>& out) {
  const auto parsed = json::parse(data);
  if (!parsed || !parsed->is_object()) {
    return fail(ErrorCode::kEngineFailed, "an event of the stream is no JSON object");
  }
  const json::object& event = parsed->get_object();
  const std::string_view type = json::string_or(event, "type", name);
  if (type == "error") {
    out.push_back(error_payload(
        anthropic_error(0, data).value_or(Error{ErrorCode::kEngineFailed, "the stream ended in an error", {}, {}, 0})));
    return {};
  }
  if (type == "message_start") return start(event, out);
  if (type == "ping") return {};
  const bool of_message = type.starts_with("content_block_") || type.starts_with("message_");
  if (of_message && !started_) return fail(ErrorCode::kEngineFailed, "the stream does not begin with message_start");
  if (type == "content_block_start") return start_block(event, out);
  if (type == "content_block_delta") continue_block(event, out);
  if (type == "content_block_stop") end_block(event, out);
  if (type == "message_delta") finish(event, out);
  if (type == "message_stop") {
    json::object last = envelope();
    last["choices"] = json::array();
    last["usage"] = chat_usage(usage_);
    out.push_back(json::write(last));
    out.emplace_back("[DONE]");
  }
  return {};
}

Result<void> MessagesStream::start(const json::object& event, std::vector<std::string>& out) {
  const json::object* message = member(event, "message");
  if (started_ || message == nullptr) return fail(ErrorCode::kEngineFailed, "message_start is out of place");
  started_ = true;
  id_ = json::string_or(*message, "id");
  model_ = json::string_or(*message, "model");
  created_ = created_now();
  take_usage(*message);
  out.push_back(chunk({{"role", "assistant"}, {"content", ""}}));
  return {};
}

Result<void> MessagesStream::start_block(const json::object& event, std::vector<std::string>& out) {
  const json::object* content = member(event, "content_block");
  if (content == nullptr) return fail(ErrorCode::kEngineFailed, "content_block_start has no block");
  if (blocks_.size() >= kMaxOpenBlocks) return fail(ErrorCode::kEngineFailed, "too many blocks are open");
  Block& block = blocks_[json::int_or(event, "index")] = Block{};
  const std::string_view type = json::string_or(*content, "type");
  if (type == "text") {
    block.kind = Kind::kText;
    if (const auto text = json::string_or(*content, "text"); !text.empty()) out.push_back(chunk({{"content", text}}));
  } else if (type == "thinking") {
    block.kind = Kind::kThinking;
    block.thinking = json::string_or(*content, "thinking");
    if (!block.thinking.empty()) out.push_back(chunk({{"reasoning_content", block.thinking}}));
  } else if (type == "redacted_thinking") {
    out.push_back(chunk({{"thinking_blocks", json::array{*content}}}));
  } else if (type == "tool_use") {
    block.kind = Kind::kTool;
    block.call = calls_++;
    json::object function{{"name", json::string_or(*content, "name")}, {"arguments", ""}};
    json::object call{{"index", block.call},
                      {"id", json::string_or(*content, "id")},
                      {"type", "function"},
                      {"function", std::move(function)}};
    out.push_back(chunk({{"tool_calls", json::array{std::move(call)}}}));
    // Usually empty here, and the input follows in pieces.
    const json::object* input = member(*content, "input");
    if (input != nullptr && !input->empty()) {
      block.has_arguments = true;
      out.push_back(call_arguments(block.call, json::write(*input)));
    }
  }
  return {};
}

void MessagesStream::continue_block(const json::object& event, std::vector<std::string>& out) {
  Block* block = block_of(event);
  const json::object* delta = member(event, "delta");
  if (block == nullptr || delta == nullptr) return;
  const std::string_view type = json::string_or(*delta, "type");
  if (type == "text_delta") {
    out.push_back(chunk({{"content", json::string_or(*delta, "text")}}));
  } else if (type == "thinking_delta") {
    const std::string_view text = json::string_or(*delta, "thinking");
    block->thinking += text;
    out.push_back(chunk({{"reasoning_content", text}}));
  } else if (type == "signature_delta") {
    block->signature += json::string_or(*delta, "signature");
  } else if (type == "input_json_delta" && block->kind == Kind::kTool) {
    const std::string_view text = json::string_or(*delta, "partial_json");
    if (text.empty()) return;
    block->has_arguments = true;
    out.push_back(call_arguments(block->call, text));
  }
}

void MessagesStream::end_block(const json::object& event, std::vector<std::string>& out) {
  Block* block = block_of(event);
  if (block == nullptr) return;
  // A tool without arguments sends no piece of them; clients of the OpenAI API parse what they got as JSON.
  if (block->kind == Kind::kTool && !block->has_arguments) out.push_back(call_arguments(block->call, "{}"));
  if (block->kind == Kind::kThinking && !block->signature.empty()) {
    json::object whole{{"type", "thinking"}, {"thinking", block->thinking}, {"signature", block->signature}};
    out.push_back(chunk({{"thinking_blocks", json::array{std::move(whole)}}}));
  }
  blocks_.erase(json::int_or(event, "index"));
}

void MessagesStream::finish(const json::object& event, std::vector<std::string>& out) {
  take_usage(event);
  const json::object* delta = member(event, "delta");
  const std::string_view reason = delta != nullptr ? json::string_or(*delta, "stop_reason") : std::string_view();
  if (reason.empty()) return;
  if (const std::string_view refusal = refusal_of(*delta); !refusal.empty())
    out.push_back(chunk({{"refusal", refusal}}));
  out.push_back(chunk({}, json::value(finish_reason_of(reason))));
}

// Counts are cumulative; those that a later event leaves out stay.
void MessagesStream::take_usage(const json::object& holder) {
  const json::object* usage = member(holder, "usage");
  if (usage == nullptr) return;
  for (const auto& [key, value] : *usage) {
    if (!value.is_null()) usage_[key] = value;
  }
}

MessagesStream::Block* MessagesStream::block_of(const json::object& event) {
  const auto found = blocks_.find(json::int_or(event, "index"));
  return found == blocks_.end() ? nullptr : &found->second;
}

json::object MessagesStream::envelope() const {
  return {{"id", id_}, {"object", "chat.completion.chunk"}, {"created", created_}, {"model", model_}};
}

std::string MessagesStream::chunk(json::object delta, json::value finish_reason) const {
  json::object out = envelope();
  out["choices"] = json::array{json::object{
      {"index", 0}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", std::move(finish_reason)}}};
  return json::write(out);
}

std::string MessagesStream::call_arguments(std::size_t call, std::string_view text) const {
  return chunk(
      {{"tool_calls", json::array{json::object{{"index", call}, {"function", json::object{{"arguments", text}}}}}}});
}

}  // namespace llm::dialects
