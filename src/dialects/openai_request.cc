#include <algorithm>
#include <fmt/format.h>

#include "dialects/openai_like.h"

namespace llm::dialects {
namespace {

std::unexpected<Error> cannot(const OpenAiRules& rules, std::string_view what, std::string pointer) {
  return fail(ErrorCode::kUnsupported, fmt::format("{} has no {}", preset_of(rules.kind).title, what),
              std::move(pointer));
}

Result<std::string> path_of(const OpenAiRules& rules, Call call) {
  switch (call) {
    case Call::kChat:
      return "/chat/completions";
    case Call::kCompletion:
      return "/completions";
    case Call::kEmbedding:
      if (!rules.embeds) return cannot(rules, "embeddings", "/model");
      return "/embeddings";
    case Call::kRerank:
      if (!rules.reranks) return cannot(rules, "reranking", "/model");
      return "/rerank";
    case Call::kTokenize:
    case Call::kDetokenize:
      break;
  }
  const bool back = call == Call::kDetokenize;
  // TGI takes texts apart, but does not put them together.
  if (rules.tokenizer == OpenAiRules::Tokenizer::kNone ||
      (back && rules.tokenizer == OpenAiRules::Tokenizer::kInputs)) {
    return cannot(rules, back ? "way from tokens to text" : "way to count tokens", "/model");
  }
  return back ? "//detokenize" : "//tokenize";
}

// The text is in `content` or `prompt` of what we are given; each server has its own name for it.
json::object tokenizer_body(const OpenAiRules& rules, json::object body) {
  using enum OpenAiRules::Tokenizer;
  const auto take = [&body](std::string_view wanted) {
    const json::value* text = json::find(body, "content");
    if (text == nullptr) text = json::find(body, "prompt");
    json::value found = text != nullptr ? *text : json::value("");
    for (const std::string_view other : {"content", "prompt"}) body.erase(other);
    body[wanted] = std::move(found);
  };
  if (rules.tokenizer == kContent) take("content");
  if (rules.tokenizer == kPrompt) take("prompt");
  if (rules.tokenizer == kInputs) take("inputs");
  return body;
}

void rename(json::object& body, std::string_view from, std::string_view to) {
  const json::value* found = json::find(body, from);
  if (found == nullptr) return;
  json::value moved = *found;
  body.erase(from);
  if (!body.contains(to)) body[to] = std::move(moved);  // who gave both meant this one
}

Result<void> check_images(const OpenAiRules& rules, const json::object& message, const std::string& at) {
  const json::value* content = json::find(message, "content");
  if (content == nullptr || !content->is_array()) return {};
  for (std::size_t i = 0; i < content->get_array().size(); ++i) {
    const json::value& part = content->get_array()[i];
    const json::value* image = part.is_object() ? json::find(part.get_object(), "image_url") : nullptr;
    if (image == nullptr) continue;
    const std::string_view url = image->is_string()   ? std::string_view(image->get_string())
                                 : image->is_object() ? json::string_or(image->get_object(), "url")
                                                      : std::string_view();
    if (!url.starts_with("data:")) {
      return cannot(rules, "images from addresses; send the image itself as a data: URL",
                    fmt::format("{}/content/{}/image_url/url", at, i));
    }
  }
  return {};
}

Result<void> adapt_messages(const OpenAiRules& rules, json::object& body) {
  json::value* messages = body.if_contains("messages");
  if (messages == nullptr || !messages->is_array()) return {};
  if (!rules.inline_images && !rules.system_role && rules.reasoning.empty()) return {};
  for (std::size_t i = 0; i < messages->get_array().size(); ++i) {
    json::value& value = messages->get_array()[i];
    if (!value.is_object()) continue;
    json::object& message = value.get_object();
    if (rules.inline_images) {
      auto checked = check_images(rules, message, fmt::format("/messages/{}", i));
      if (!checked) return checked;
    }
    if (rules.system_role && json::string_or(message, "role") == "developer") message["role"] = "system";
    if (!rules.reasoning.empty()) rename(message, "reasoning_content", rules.reasoning);
  }
  return {};
}

// Where the model always chooses, "none" is said by offering no tools, and a forced one cannot be said.
Result<void> adapt_tool_choice(const OpenAiRules& rules, json::object& body) {
  const json::value* choice = json::find(body, "tool_choice");
  if (!rules.free_tool_choice || choice == nullptr) return {};
  const bool word = choice->is_string();
  if (word && choice->get_string() == "none") body.erase("tools");
  if (!choice->is_null() && !(word && (choice->get_string() == "auto" || choice->get_string() == "none"))) {
    return cannot(rules, "forced choice of a tool", "/tool_choice");
  }
  body.erase("tool_choice");
  return {};
}

// {"type":"json_schema","json_schema":{"schema":S}} -> {"type":"json","value":S}
void adapt_schema(json::object& body) {
  json::value* format = body.if_contains("response_format");
  if (format == nullptr || !format->is_object() || format->get_object().contains("value")) return;
  const json::object& wanted = format->get_object();
  const std::string_view type = json::string_or(wanted, "type");
  json::value schema = json::object{{"type", "object"}};
  if (type == "json_schema") {
    const json::value* named = json::find(wanted, "json_schema");
    const json::value* given =
        named != nullptr && named->is_object() ? json::find(named->get_object(), "schema") : nullptr;
    if (given != nullptr) schema = *given;
  } else if (type != "json_object") {
    body.erase("response_format");
    return;
  }
  *format = json::object{{"type", "json"}, {"value", std::move(schema)}};
}

Result<void> adapt_generation(const OpenAiRules& rules, json::object& body, const OutgoingFacts& facts) {
  if (rules.one_choice) {
    if (json::int_or(body, "n", 1) > 1) return cannot(rules, "several answers to one request", "/n");
    body.erase("n");
  }
  for (const auto& [from, to] : rules.renames) rename(body, from, to);
  for (const std::string_view name : rules.unknown) body.erase(name);
  if (auto adapted = adapt_messages(rules, body); !adapted) return adapted;
  if (auto adapted = adapt_tool_choice(rules, body); !adapted) return adapted;
  if (rules.value_schema) adapt_schema(body);
  if (rules.cache_salt && !facts.cache_salt.empty()) body["cache_salt"] = facts.cache_salt;
  if (rules.ttl && facts.keep_alive_s && *facts.keep_alive_s >= 0) body["ttl"] = *facts.keep_alive_s;
  if (rules.usage_by_request) body["usage"] = json::object{{"include", true}};
  return {};
}

// Ollama completes one text at a time.
Result<void> adapt_prompt(const OpenAiRules& rules, json::object& body) {
  const json::value* prompt = json::find(body, "prompt");
  if (rules.kind != ProviderKind::kOllama || prompt == nullptr || !prompt->is_array()) return {};
  const json::array& prompts = prompt->get_array();
  if (prompts.size() != 1 || !prompts[0].is_string()) return cannot(rules, "prompt but a single text", "/prompt");
  json::value only = prompts[0];
  body["prompt"] = std::move(only);
  return {};
}

}  // namespace

Result<Outgoing> openai_request(const OpenAiRules& rules, Call call, json::object body, const OutgoingFacts& facts) {
  auto path = path_of(rules, call);
  if (!path) return fail(std::move(path.error()));
  Result<void> adapted;
  if (call == Call::kTokenize) body = tokenizer_body(rules, std::move(body));
  if (call == Call::kCompletion) adapted = adapt_prompt(rules, body);
  // `max_completion_tokens` is of chats; completions have always said max_tokens.
  if (adapted && call == Call::kCompletion && rules.kind == ProviderKind::kOpenAi) {
    OpenAiRules completions = rules;
    completions.renames = {};
    adapted = adapt_generation(completions, body, facts);
  } else if (adapted && (call == Call::kChat || call == Call::kCompletion)) {
    adapted = adapt_generation(rules, body, facts);
  }
  if (!adapted) return fail(std::move(adapted.error()));
  return Outgoing{
      .path = std::move(*path), .headers = credential_headers(rules.kind, facts.api_key), .body = std::move(body)};
}

}  // namespace llm::dialects
