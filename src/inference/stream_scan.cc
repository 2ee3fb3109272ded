#include "inference/stream_scan.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "base/strings.h"
#include "dialects/http_status.h"

namespace llm::inference {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

std::string_view skip_space(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

// Where `text` has `quoted_key`, or npos. Not std::string_view::find(), which stops at every quotation mark, and JSON
// is full of them: that took half of the time of a streamed event.
std::size_t find_quoted(std::string_view text, std::string_view quoted_key) {
  const void* at = memmem(text.data(), text.size(), quoted_key.data(), quoted_key.size());
  return at ? static_cast<std::size_t>(static_cast<const char*>(at) - text.data()) : std::string_view::npos;
}

// The value behind the next `"key":` as raw text, from its first character on; empty if there is none. `text` goes on
// behind the key. Inside of JSON strings every quote has a backslash before it, so that a key's closing quote cannot be
// found there; only a string that is the key's name itself looks alike, and no colon follows that.
std::string_view next_value(std::string_view& text, std::string_view quoted_key) {
  for (auto at = find_quoted(text, quoted_key); at != std::string_view::npos; at = find_quoted(text, quoted_key)) {
    text.remove_prefix(at + quoted_key.size());
    const auto rest = skip_space(text);
    if (rest.starts_with(':')) return skip_space(rest.substr(1));
  }
  return {};
}

bool has_value(std::string_view text, std::string_view quoted_key, std::string_view first_characters) {
  while (true) {
    const auto value = next_value(text, quoted_key);
    if (value.empty()) return false;
    if (first_characters.find(value.front()) != std::string_view::npos) return true;
  }
}

// A part of what the engine said, for a message: whole characters only.
std::string_view excerpt(std::string_view text) {
  text = text.substr(0, 300);
  text = text.substr(0, utf8_complete_prefix(text));
  return valid_utf8(text) ? text : std::string_view("(bytes that are no text)");
}

}  // namespace

Usage usage_of(const json::object& answer) {
  Usage usage;
  const auto* found = json::find(answer, "usage");
  if (!found || !found->is_object()) return usage;
  const auto& object = found->get_object();
  usage.prompt_tokens = json::int_or(object, "prompt_tokens");
  usage.completion_tokens = json::int_or(object, "completion_tokens");
  if (const auto* details = json::find(object, "prompt_tokens_details"); details && details->is_object()) {
    usage.cached_tokens = json::int_or(details->get_object(), "cached_tokens");
  }
  return usage;
}

Error engine_error(int status, std::string_view body, std::string_view model) {
  auto parsed = json::parse(body);
  const json::object* error = nullptr;
  if (parsed && parsed->is_object()) {
    const auto* found = json::find(parsed->get_object(), "error");
    error = found && found->is_object() ? &found->get_object() : &parsed->get_object();
  }
  std::string_view message = error ? json::string_or(*error, "message") : std::string_view();
  if (error && message.empty()) message = json::string_or(*error, "error");  // {"error": "text"}
  const std::string_view type = error ? json::string_or(*error, "type") : std::string_view();
  if (status == 0 && error) status = static_cast<int>(json::int_or(*error, "code", 500));
  if (type == "exceed_context_size_error") {
    const auto prompt = json::int_or(*error, "n_prompt_tokens");
    const auto context = json::int_or(*error, "n_ctx");
    return Error{ErrorCode::kContextLengthExceeded,
                 fmt::format("the prompt has {} tokens, and model \"{}\" is loaded with a context of {}. Shorten the "
                             "prompt or set models.settings.{}.context",
                             prompt, model, context, model),
                 {},
                 {{"n_prompt_tokens", prompt}, {"n_ctx", context}},
                 0};
  }
  // vLLM and others say it in words.
  const bool too_long = status == 400 && (message.find("maximum context length") != std::string_view::npos ||
                                          message.find("context size") != std::string_view::npos);
  ErrorCode code = too_long ? ErrorCode::kContextLengthExceeded : dialects::code_of_status(status);
  if (message.empty()) message = body.empty() ? "it gave no reason" : excerpt(body);
  if (status == 401 || status == 403) {
    return {ErrorCode::kEngineFailed, fmt::format("the engine of \"{}\" refused the gateway's key", model), {}, {}, 0};
  }
  Error result{code, std::string(message), {}, {}, 0};
  if (code == ErrorCode::kEngineFailed) {
    result.message = fmt::format("the engine of model \"{}\" failed: {}", model, message);
  }
  if (code == ErrorCode::kOverloaded) result.retry_after_s = 2;
  return result;
}

StreamScan::StreamScan(Operation operation, std::int64_t choices, bool several, bool usage_wanted, std::string model,
                       bool hide_progress)
    : operation_(operation),
      choices_(choices),
      several_(several),
      usage_wanted_(usage_wanted),
      model_(std::move(model)),
      hide_progress_(hide_progress) {}

void StreamScan::find_finish_reason(std::string_view payload) {
  if (!finish_reason_.empty()) return;
  for (auto value = next_value(payload, "\"finish_reason\""); !value.empty();
       value = next_value(payload, "\"finish_reason\"")) {
    if (!value.starts_with('"')) continue;
    value.remove_prefix(1);
    finish_reason_ = value.substr(0, value.find('"'));
    return;
  }
}

// An event that is an error: {"error": {…}}, {"error": "text"} or {"object": "error", …}.
bool StreamScan::is_error(std::string_view payload) {
  if (find_quoted(payload, "\"error\"") == std::string_view::npos) return false;  // as a key or as a value
  const auto parsed = json::parse(payload);
  if (!parsed || !parsed->is_object() || parsed->get_object().contains("choices")) return false;
  const auto& event = parsed->get_object();
  const auto* error = json::find(event, "error");
  if ((!error || error->is_null()) && json::string_or(event, "object") != "error") return false;
  error_ = engine_error(0, payload, model_);
  return true;
}

StreamScan::Verdict StreamScan::look(std::string_view payload) {
  if (payload == "[DONE]") return Verdict::kDone;
  // llama-server begins the stream of several prompts with "null".
  if (payload.empty() || payload == "null") return Verdict::kDrop;
  // To parse every event would cost more than all else; one that was cut off does not end like an object.
  if (payload.front() != '{' || payload.back() != '}') {
    error_ = {ErrorCode::kEngineFailed,
              fmt::format("the engine of model \"{}\" sent an event that is no JSON object", model_),
              {},
              {},
              0};
    return Verdict::kError;
  }
  if (is_error(payload)) return Verdict::kError;
  if (hide_progress_ && look_at_progress(payload)) return Verdict::kDrop;
  find_finish_reason(payload);
  if (has_value(payload, "\"usage\"", "{")) return look_at_usage(payload);
  return forward_text();
}

// {"choices": [{"index": 0, …}], …, "prompt_progress": {"total": 32, "cache": 0, "processed": 32, "time_ms": 118}}
bool StreamScan::look_at_progress(std::string_view payload) {
  if (!has_value(payload, "\"prompt_progress\"", "{")) return false;
  const auto parsed = json::parse(payload);
  if (!parsed || !parsed->is_object()) return false;
  const auto& event = parsed->get_object();
  const auto* progress = json::find(event, "prompt_progress");
  if (!progress || !progress->is_object()) return false;  // of something else inside the event
  std::int64_t index = 0;
  if (const auto* choices = json::find(event, "choices");
      choices && choices->is_array() && !choices->get_array().empty() && choices->get_array()[0].is_object()) {
    index = json::int_or(choices->get_array()[0].get_object(), "index");
  }
  processed_[index] = json::int_or(progress->get_object(), "processed");
  return true;
}

Usage StreamScan::used() const {
  if (usage_events_ > 0) return usage_;
  Usage used;
  for (const auto& [index, tokens] : processed_) {
    if (index % choices_ == 0) used.prompt_tokens += tokens;  // completions of one prompt share it
  }
  // A chat's first event carries the role alone.
  const bool chat = operation_ == Operation::kChat;
  used.completion_tokens = std::max<std::int64_t>(0, pieces_ - (chat ? choices_ : 0));
  return used;
}

StreamScan::Verdict StreamScan::forward_text() {
  saw_text_ = true;
  ++pieces_;
  return Verdict::kForward;
}

StreamScan::Verdict StreamScan::look_at_usage(std::string_view payload) {
  auto parsed = json::parse(payload);
  if (!parsed || !parsed->is_object()) return forward_text();
  auto& event = parsed->get_object();
  const auto* usage = json::find(event, "usage");
  if (!usage || !usage->is_object()) return forward_text();  // of something else inside the event
  const Usage counted = usage_of(event);
  // Each completion reports itself, in any order; a prompt that several share counts once. Text completions carry their
  // index, which counts through the first prompt's completions, then the second's.
  const auto* choices = json::find(event, "choices");
  const bool usage_only = !choices || !choices->is_array() || choices->get_array().empty();
  std::int64_t index = usage_events_;
  if (!usage_only && choices->get_array()[0].is_object()) {
    index = json::int_or(choices->get_array()[0].get_object(), "index", index);
  }
  if (!several_) usage_ = {};  // some engines count up from event to event
  if (index % choices_ == 0 || !several_) {
    usage_.prompt_tokens += counted.prompt_tokens;
    usage_.cached_tokens += counted.cached_tokens;
  }
  usage_.completion_tokens += counted.completion_tokens;
  ++usage_events_;
  if (const auto* timings = json::find(event, "timings")) timings_ = *timings;
  if (usage_only) {
    held_ = payload;
    last_usage_event_ = std::move(event);
    return Verdict::kDrop;
  }
  // The last event of a text completion carries its usage; with several completions only the sum makes sense.
  if (!several_ && (operation_ == Operation::kCompletion || !usage_wanted_)) return forward_text();
  last_usage_event_ = event;
  last_usage_event_["choices"] = json::array();
  event.erase("usage");
  replacement_ = json::write(event);
  return Verdict::kReplace;
}

std::optional<std::string> StreamScan::final_usage() const {
  if (!usage_wanted_ || usage_events_ == 0 || last_usage_event_.empty()) return std::nullopt;
  if ((usage_events_ == 1 || !several_) && !held_.empty()) return held_;
  json::object event = last_usage_event_;
  event["usage"] = json::object{{"completion_tokens", usage_.completion_tokens},
                                {"prompt_tokens", usage_.prompt_tokens},
                                {"total_tokens", usage_.prompt_tokens + usage_.completion_tokens},
                                {"prompt_tokens_details", json::object{{"cached_tokens", usage_.cached_tokens}}}};
  event.erase("timings");
  return json::write(event);
}

}  // namespace llm::inference
