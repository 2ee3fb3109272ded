#include "dialects/anthropic_request.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <ranges>

namespace llm::dialects {
namespace {

const json::value* present(const json::object& object, std::string_view key) {
  const json::value* found = json::find(object, key);
  return found != nullptr && !found->is_null() ? found : nullptr;
}

std::unexpected<Error> cannot(std::string_view what, std::string pointer) {
  return fail(ErrorCode::kUnsupported, fmt::format("Anthropic's API has no {}", what), std::move(pointer));
}

// What would change the shape of the answer cannot be left out in silence.
Result<void> check_abilities(const json::object& chat) {
  if (json::int_or(chat, "n", 1) > 1) return cannot("several answers to one request", "/n");
  if (json::bool_or(chat, "logprobs")) return cannot("probabilities of tokens", "/logprobs");
  if (present(chat, "audio") != nullptr) return cannot("spoken answers", "/audio");
  if (present(chat, "functions") != nullptr) return cannot("\"functions\"; use \"tools\"", "/functions");
  return {};
}

// 45 for "claude-sonnet-4-5-20250929", 40 for "claude-opus-4-20250514", 35 for "claude-3-5-haiku"; nullopt: the name
// does not say.
std::optional<int> generation_of(std::string_view model) {
  const auto claude = model.find("claude-");
  if (claude == std::string_view::npos) return std::nullopt;
  std::optional<int> major;
  for (const auto part : std::views::split(model.substr(claude), '-')) {
    const std::string_view text(part.begin(), part.end());
    const bool digit = text.size() == 1 && text[0] >= '0' && text[0] <= '9';
    if (major) return *major * 10 + (digit ? text[0] - '0' : 0);
    if (digit) major = text[0] - '0';
  }
  if (!major) return std::nullopt;
  return *major * 10;
}

// Up to Claude 4.5 thinking is asked for by a number of tokens; later models decide themselves and are told an effort.
bool thinks_by_budget(std::string_view model) {
  return generation_of(model).value_or(99) <= 45;
}

// From Claude 4.7 on models refuse to be told how to sample.
bool takes_sampling(std::string_view model) {
  return generation_of(model).value_or(0) <= 46;
}

std::int64_t budget_for(std::string_view effort) {
  if (effort == "low") return 1'024;
  if (effort == "medium") return 4'096;
  return 16'384;
}

// A model that has to call a tool cannot think first.
bool is_forced(const json::object& out) {
  const json::value* choice = json::find(out, "tool_choice");
  if (choice == nullptr) return false;
  const std::string_view type = json::string_or(choice->get_object(), "type");
  return type == "any" || type == "tool";
}

// Does the conversation stop in the middle of calls whose thinking the client has not kept? A model that thinks by
// budget refuses to go on without it.
bool lost_its_thoughts(const json::object& chat) {
  const json::array& messages = chat.at("messages").get_array();
  for (std::size_t i = messages.size(); i-- > 0;) {
    const json::object& message = messages[i].get_object();
    const std::string_view role = json::string_or(message, "role");
    if (role == "tool") continue;
    return role == "assistant" && present(message, "tool_calls") != nullptr &&
           present(message, "thinking_blocks") == nullptr;
  }
  return false;
}

// `thinking` as the client wrote it in Anthropic's own words, or what `reasoning_effort` comes to.
void add_thinking(const json::object& chat, json::object& out, std::int64_t& max_tokens) {
  if (const json::value* own = present(chat, "thinking"); own != nullptr && own->is_object()) {
    out["thinking"] = *own;
    return;
  }
  const std::string_view effort = json::string_or(chat, "reasoning_effort");
  if (effort.empty() || effort == "none" || effort == "minimal") return;
  if (!thinks_by_budget(json::string_or(chat, "model"))) {
    if (!is_forced(out)) out["thinking"] = json::object{{"type", "adaptive"}};
    out["output_config"] = json::object{{"effort", effort}};
    return;
  }
  if (is_forced(out) || lost_its_thoughts(chat)) return;
  // The budget is a part of max_tokens: what the client allowed for the answer stays for the answer.
  const std::int64_t budget = budget_for(effort);
  max_tokens += budget;
  out["thinking"] = json::object{{"type", "enabled"}, {"budget_tokens", budget}};
}

bool thinks(const json::object& out) {
  const json::value* thinking = json::find(out, "thinking");
  return thinking != nullptr && json::string_or(thinking->get_object(), "type") != "disabled";
}

void add_sampling(const json::object& chat, json::object& out) {
  // A model that thinks takes no sampling parameters but top_p near 1, which changes nothing worth having.
  if (thinks(out) || !takes_sampling(json::string_or(chat, "model"))) return;
  const json::value* temperature = present(chat, "temperature");
  if (temperature != nullptr && temperature->is_number()) {
    // Its range ends at 1, where OpenAI's ends at 2.
    out["temperature"] = std::clamp(json::number_or(chat, "temperature"), 0.0, 1.0);
  }
  // Newer models refuse both at once.
  if (const json::value* top_p = present(chat, "top_p"); top_p != nullptr && !out.contains("temperature")) {
    out["top_p"] = *top_p;
  }
  if (const std::int64_t top_k = json::int_or(chat, "top_k"); top_k > 0) out["top_k"] = top_k;
}

// Texts of only white space are refused there.
bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

void add_stops(const json::object& chat, json::object& out) {
  const json::value* stop = present(chat, "stop");
  if (stop == nullptr) return;
  json::array stops;
  const auto add = [&stops](const json::value& one) {
    if (one.is_string() && !blank(one.get_string())) stops.push_back(one);
  };
  if (stop->is_array()) {
    std::ranges::for_each(stop->get_array(), add);
  } else {
    add(*stop);
  }
  if (!stops.empty()) out["stop_sequences"] = std::move(stops);
}

Result<void> add_response_format(const json::object& chat, json::object& out) {
  const json::value* format = present(chat, "response_format");
  if (format == nullptr || !format->is_object()) return {};
  const json::object& wanted = format->get_object();
  const std::string_view type = json::string_or(wanted, "type");
  if (type.empty() || type == "text") return {};
  const json::value* named = json::find(wanted, "json_schema");
  if (type != "json_schema" || named == nullptr || !named->is_object()) {
    return cannot("JSON without a schema; give a response_format of type json_schema", "/response_format/type");
  }
  const json::value* schema = json::find(named->get_object(), "schema");
  if (schema == nullptr || !schema->is_object()) {
    return fail(ErrorCode::kInvalidArgument, "expected a schema", "/response_format/json_schema/schema");
  }
  json::object config;
  if (const json::value* so_far = json::find(out, "output_config")) config = so_far->get_object();
  config["format"] = json::object{{"type", "json_schema"}, {"schema", *schema}};
  out["output_config"] = std::move(config);
  return {};
}

std::int64_t max_tokens_of(const json::object& chat) {
  for (const std::string_view key : {"max_completion_tokens", "max_tokens"}) {
    if (const std::int64_t most = json::int_or(chat, key); most > 0) return most;
  }
  return kDefaultMaxTokens;
}

}  // namespace

Result<json::object> to_messages_request(const json::object& chat) {
  if (auto able = check_abilities(chat); !able) return fail(std::move(able.error()));
  const json::value* messages = json::find(chat, "messages");
  if (messages == nullptr || !messages->is_array()) {
    return fail(ErrorCode::kInvalidArgument, "expected a list of messages", "/messages");
  }
  auto conversation = to_messages(messages->get_array());
  if (!conversation) return fail(std::move(conversation.error()));

  json::object out{{"model", json::string_or(chat, "model")}};
  for (auto& part : *conversation) out[part.key()] = std::move(part.value());
  if (auto added = add_tools(chat, out); !added) return fail(std::move(added.error()));
  std::int64_t max_tokens = max_tokens_of(chat);
  add_thinking(chat, out, max_tokens);
  out["max_tokens"] = max_tokens;
  add_sampling(chat, out);
  add_stops(chat, out);
  if (auto added = add_response_format(chat, out); !added) return fail(std::move(added.error()));
  if (const std::string_view user = json::string_or(chat, "user"); !user.empty()) {
    out["metadata"] = json::object{{"user_id", user}};
  }
  if (json::bool_or(chat, "stream")) out["stream"] = true;
  return out;
}

}  // namespace llm::dialects
