#include "inference/demand.h"

#include <algorithm>

namespace llm::inference {
namespace {

constexpr std::int64_t kTemplateTokens = 16;  // around each message or prompt

std::int64_t text_bytes(const json::value& value, int depth) {
  if (depth > 64) return 0;  // the parser allows no more
  switch (value.kind()) {
    case boost::json::kind::string: {
      const auto& text = value.get_string();
      return std::string_view(text).starts_with("data:") ? kImageTokens : static_cast<std::int64_t>(text.size());
    }
    case boost::json::kind::array: {
      std::int64_t sum = 0;
      for (const auto& item : value.get_array()) {
        // A prompt may be a list of token ids, or of texts and messages.
        sum += item.is_number() ? 1 : kTemplateTokens + text_bytes(item, depth + 1);
      }
      return sum;
    }
    case boost::json::kind::object: {
      std::int64_t sum = 0;
      for (const auto& member : value.get_object()) {
        sum += static_cast<std::int64_t>(member.key().size()) + text_bytes(member.value(), depth + 1);
      }
      return sum;
    }
    default:
      return 8;  // a number or a word of a tool's schema
  }
}

}  // namespace

std::int64_t input_token_bound(const json::object& body) {
  std::int64_t sum = 2 * kTemplateTokens;  // of the beginning and the end
  for (const std::string_view name : {"messages", "prompt", "suffix", "input", "query", "documents", "tools", "content",
                                      "system", "images", "response_format", "tokens"}) {
    if (const auto* value = json::find(body, name)) sum += text_bytes(*value, 0);
  }
  return sum;
}

std::optional<std::int64_t> asked_tokens(const json::object& body) {
  std::optional<std::int64_t> least;
  for (const std::string_view name : {"max_completion_tokens", "max_tokens", "n_predict"}) {
    const auto* value = json::find(body, name);
    if (!value || !value->is_number()) continue;
    const auto number = value->to_number<double>();
    if (number < 0) continue;  // llama-server: without end
    const auto whole = static_cast<std::int64_t>(std::min(number, 1e12));
    least = least ? std::min(*least, whole) : whole;
  }
  return least;
}

void limit_tokens(json::object& body, Operation operation, std::int64_t most) {
  const auto asked = asked_tokens(body);
  if (asked && *asked <= most) return;
  // Each engine reads its own favourite of these first.
  bool named = false;
  for (const std::string_view name : {"max_completion_tokens", "max_tokens", "n_predict"}) {
    if (!body.contains(name)) continue;
    body[name] = most;
    named = true;
  }
  if (!named) body[operation == Operation::kChat ? "max_completion_tokens" : "max_tokens"] = most;
}

std::int64_t answers(const json::object& body, Operation operation) {
  std::int64_t count = std::max<std::int64_t>(1, json::int_or(body, "n", 1));
  if (const auto best = json::int_or(body, "best_of", 1); best > count) count = best;
  if (operation != Operation::kCompletion) return count;
  const auto* prompt = json::find(body, "prompt");
  if (!prompt || !prompt->is_array() || prompt->get_array().empty()) return count;
  const auto& list = prompt->get_array();
  if (list[0].is_number()) return count;  // one prompt as token ids
  return count * static_cast<std::int64_t>(list.size());
}

}  // namespace llm::inference
