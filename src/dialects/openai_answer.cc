#include "dialects/openai_answer.h"

#include "dialects/error_payload.h"
#include "dialects/http_status.h"

namespace llm::dialects {
namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Is there anything to mend? A search, so that the many pieces of a stream are not parsed one by one. Text that a model
// writes has its quotes escaped and cannot look like a key.
bool worth_a_look(const OpenAiRules& rules, std::string_view body) {
  if (!rules.reasoning.empty() && holds(body, "\"reasoning\"")) return true;
  if (holds(body, "\"error\"")) return true;
  switch (rules.kind) {
    case ProviderKind::kTgi:
      return holds(body, "\"tool_calls\"") || holds(body, "\"eos_token\"") || holds(body, "\"stop_sequence\"");
    case ProviderKind::kOllama:
      return holds(body, "\"load\"") || holds(body, "\"unload\"");
    case ProviderKind::kOpenRouter:
    case ProviderKind::kGemini:
      return holds(body, "\"tool_calls\"");
    default:
      return false;
  }
}

void mend_reasoning(const OpenAiRules& rules, json::object& message) {
  if (rules.reasoning.empty()) return;
  const json::value* found = json::find(message, rules.reasoning);
  if (found == nullptr) return;
  json::value moved = *found;
  message.erase(rules.reasoning);
  const json::value* already = json::find(message, "reasoning_content");
  if (moved.is_string() && !moved.get_string().empty() && (already == nullptr || already->is_null())) {
    message["reasoning_content"] = std::move(moved);
  }
}

void mend_calls(json::object& message) {
  json::value* calls = message.if_contains("tool_calls");
  if (calls == nullptr) return;
  if (calls->is_object()) *calls = json::array{std::move(*calls)};  // TGI's streams name one call alone
  if (!calls->is_array()) return;
  for (std::size_t i = 0; i < calls->get_array().size(); ++i) {
    json::value& value = calls->get_array()[i];
    if (!value.is_object()) continue;
    json::object& call = value.get_object();
    json::value* function = call.if_contains("function");
    if (function == nullptr || !function->is_object()) continue;
    json::value* arguments = function->get_object().if_contains("arguments");
    if (arguments != nullptr && !arguments->is_string()) {
      *arguments = arguments->is_null() ? json::value("") : json::value(json::write(*arguments));
    }
  }
}

void mend_finish_reason(const OpenAiRules& rules, json::object& choice) {
  json::value* reason = choice.if_contains("finish_reason");
  if (reason == nullptr || !reason->is_string()) return;
  const std::string_view text = reason->get_string();
  const bool ended = text == "eos_token" || text == "stop_sequence" ||
                     (rules.kind == ProviderKind::kOllama && (text == "load" || text == "unload"));
  if (ended) *reason = "stop";
}

// `holder`: "message" of whole answers, "delta" of streams.
void mend_choices(const OpenAiRules& rules, json::object& answer, std::string_view holder) {
  json::value* choices = answer.if_contains("choices");
  if (choices == nullptr || !choices->is_array()) return;
  for (json::value& value : choices->get_array()) {
    if (!value.is_object()) continue;
    json::object& choice = value.get_object();
    mend_finish_reason(rules, choice);
    json::value* message = choice.if_contains(holder);
    if (message == nullptr || !message->is_object()) continue;
    mend_reasoning(rules, message->get_object());
    mend_calls(message->get_object());
    if (holder != "delta") continue;
    // Pieces of calls belong together by their index; Gemini sends each call whole and leaves it out.
    json::value* calls = message->get_object().if_contains("tool_calls");
    if (calls == nullptr || !calls->is_array()) continue;
    for (std::size_t i = 0; i < calls->get_array().size(); ++i) {
      json::value& call = calls->get_array()[i];
      if (call.is_object() && !call.get_object().contains("index")) call.get_object()["index"] = i;
    }
  }
}

// An error where an answer should be: {"error":{"code":502,"message":"…"}} from OpenRouter when the model behind it
// fails late, {"error":"…"} from TGI and LM Studio, {"object":"error","message":"…","code":400} from vLLM; with status
// 200, or in the middle of a stream.
std::optional<Error> error_inside(const OpenAiRules& rules, const json::object& answer, std::string_view body) {
  const json::value* error = json::find(answer, "error");
  const json::object* said = nullptr;
  if (error != nullptr && error->is_object()) said = &error->get_object();
  if (error == nullptr && json::string_or(answer, "object") == "error") said = &answer;
  const bool text = error != nullptr && error->is_string();
  if (said == nullptr && !text) return std::nullopt;
  const std::int64_t status = said != nullptr ? json::int_or(*said, "code") : 0;  // 0: it does not say
  if (auto known = openai_error(rules, static_cast<int>(status), body)) return known;
  std::string_view message = "the answer is an error";
  if (said != nullptr) message = json::string_or(*said, "message", message);
  if (text) message = error->get_string();
  return Error{code_of_status(status), std::string(message), {}, {}, 0};
}

class OpenAiStream final : public StreamTranslator {
 public:
  explicit OpenAiStream(const OpenAiRules& rules) : rules_(rules) {}

  Result<void> on_event(std::string_view, std::string_view data, std::vector<std::string>& out) override {
    if (worth_a_look(rules_, data)) {
      auto parsed = json::parse(data);
      if (parsed && parsed->is_object()) {
        if (const auto error = error_inside(rules_, parsed->get_object(), data)) {
          out.push_back(error_payload(*error));
          return {};
        }
        mend_choices(rules_, parsed->get_object(), "delta");
        out.push_back(json::write(*parsed));
        return {};
      }
    }
    out.emplace_back(data);
    return {};
  }

 private:
  const OpenAiRules& rules_;
};

// TGI tells tokens apart with their texts: [{"id":1,"text":"a","start":0,"stop":1}].
Result<std::string> tokens_of(const std::string& body) {
  const auto parsed = json::parse(body);
  if (!parsed || !parsed->is_array()) return fail(ErrorCode::kEngineFailed, "the answer to tokenize is no list");
  json::array tokens;
  for (const json::value& token : parsed->get_array()) {
    if (token.is_object()) tokens.push_back(json::int_or(token.get_object(), "id"));
  }
  const std::size_t count = tokens.size();
  return json::write(json::object{{"tokens", std::move(tokens)}, {"count", count}});
}

}  // namespace

Result<std::string> mend_answer(const OpenAiRules& rules, Call call, std::string body) {
  if (call == Call::kTokenize && rules.tokenizer == OpenAiRules::Tokenizer::kInputs) return tokens_of(body);
  if (!rules.mends_answers || (call != Call::kChat && call != Call::kCompletion) || !worth_a_look(rules, body)) {
    return body;
  }
  auto parsed = json::parse(body);
  if (!parsed || !parsed->is_object()) return body;
  json::object& answer = parsed->get_object();
  if (auto error = error_inside(rules, answer, body)) return fail(std::move(*error));
  mend_choices(rules, answer, "message");
  return json::write(answer);
}

std::unique_ptr<StreamTranslator> openai_stream(const OpenAiRules& rules, Call call) {
  if (!rules.mends_answers || (call != Call::kChat && call != Call::kCompletion)) return nullptr;
  return std::make_unique<OpenAiStream>(rules);
}

}  // namespace llm::dialects
