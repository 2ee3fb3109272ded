#include "inference/replay.h"

#include <utility>

#include "base/random.h"
#include "inference/assemble.h"

namespace llm::inference {
namespace {

constexpr std::string_view kChat = "chat.completion";  // chunks: with ".chunk"

bool is_chat(const json::object& answer) {
  return json::string_or(answer, "object").starts_with(kChat);
}

std::string fresh_id(bool chat) {
  return unique_id(chat ? "chatcmpl-" : "cmpl-");
}

Result<json::object> parse_object(std::string_view text) {
  auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object()) return fail(ErrorCode::kInternal, "a cached answer is not a JSON object");
  return std::move(parsed->get_object());
}

// What an answer or event says about itself, said anew.
void stamp(json::object& answer, const Replay& replay, std::string_view id) {
  answer["id"] = id;
  answer["created"] = replay.created;
  answer["model"] = replay.model;
  if (const auto* timings = answer.find("timings"); timings != answer.end()) answer.stable_erase(timings);
}

Result<json::object> assembled(const CachedAnswer& answer) {
  const auto events = answer.events();
  if (events.empty()) return fail(ErrorCode::kInternal, "a cached answer is empty");
  auto first = parse_object(events.front());
  if (!first) return fail(std::move(first.error()));
  Assembler assembler(is_chat(*first));
  for (const auto& payload : events) {
    if (auto added = assembler.add(payload); !added) return fail(std::move(added.error()));
  }
  auto body = std::move(assembler).finish();
  if (!answer.usage.empty()) body["usage"] = answer.usage;
  return body;
}

// The events of one answer, made from it.
class EventWriter {
 public:
  EventWriter(const json::object& answer, bool chat) : chat_(chat) {
    for (const auto& member : answer) {
      const std::string_view key = member.key();
      if (key != "choices" && key != "usage") envelope_[key] = member.value();
    }
    envelope_["object"] = chat ? "chat.completion.chunk" : "text_completion";
  }

  void add_choice(const json::object& choice) {
    const auto index = json::int_or(choice, "index");
    chat_ ? add_message(index, choice) : add_text(index, choice);
  }

  void add_usage(const json::object& usage) {
    auto event = envelope_;
    event["choices"] = json::array();
    event["usage"] = usage;
    events_.push_back(json::write(event));
  }

  std::vector<std::string> finish() && { return std::move(events_); }

 private:
  void add_event(json::object choice) {
    auto event = envelope_;
    event["choices"] = json::array{std::move(choice)};
    events_.push_back(json::write(event));
  }

  void add_delta(std::int64_t index, json::object delta, const json::value* logprobs = nullptr) {
    json::object choice{{"index", index}, {"delta", std::move(delta)}, {"finish_reason", nullptr}};
    if (logprobs && !logprobs->is_null()) choice["logprobs"] = *logprobs;
    add_event(std::move(choice));
  }

  void add_message(std::int64_t index, const json::object& choice) {
    const auto* given = json::find(choice, "message");
    const json::object message = given && given->is_object() ? given->get_object() : json::object();
    add_delta(index, {{"role", json::string_or(message, "role", "assistant")}, {"content", ""}});
    const auto* logprobs = json::find(choice, "logprobs");
    for (const auto& member : message) {
      const std::string_view key = member.key();
      const auto& value = member.value();
      if (key == "role" || key == "tool_calls" || value.is_null()) continue;
      if (value.is_string() && value.get_string().empty()) continue;
      add_delta(index, {{key, value}}, std::exchange(logprobs, nullptr));
    }
    if (const auto* calls = json::find(message, "tool_calls"); calls && calls->is_array()) {
      add_tool_calls(index, calls->get_array());
    }
    json::object last{{"index", index}, {"delta", json::object()}};
    if (logprobs && !logprobs->is_null()) last["logprobs"] = *logprobs;  // no piece of text took them
    end(index, choice, std::move(last));
  }

  void add_tool_calls(std::int64_t index, const json::array& calls) {
    for (std::size_t at = 0; at < calls.size(); ++at) {
      if (!calls[at].is_object()) continue;
      json::object call{{"index", at}};
      for (const auto& member : calls[at].get_object()) call[member.key()] = member.value();
      add_delta(index, {{"tool_calls", json::array{std::move(call)}}});
    }
  }

  void add_text(std::int64_t index, const json::object& choice) {
    json::object part{{"index", index}, {"text", json::string_or(choice, "text")}, {"finish_reason", nullptr}};
    if (const auto* logprobs = json::find(choice, "logprobs")) part["logprobs"] = *logprobs;
    add_event(std::move(part));
    end(index, choice, {{"index", index}, {"text", ""}});
  }

  // The last event of a choice has everything that is known at its end: finish_reason, stop_reason, …
  void end(std::int64_t index, const json::object& choice, json::object last) {
    for (const auto& member : choice) {
      const std::string_view key = member.key();
      if (key != "message" && key != "text" && key != "logprobs") last[key] = member.value();
    }
    last["index"] = index;
    add_event(std::move(last));
  }

  bool chat_;
  json::object envelope_;
  std::vector<std::string> events_;
};

Result<std::vector<std::string>> same_events(std::vector<std::string> events, const CachedAnswer& answer,
                                             const Replay& replay) {
  std::string id;
  json::object last;
  for (auto& payload : events) {
    auto event = parse_object(payload);
    if (!event) return fail(std::move(event.error()));
    if (id.empty()) id = fresh_id(is_chat(*event));
    stamp(*event, replay, id);
    payload = json::write(*event);
    last = std::move(*event);
  }
  if (replay.usage && !answer.usage.empty()) {
    last["choices"] = json::array();
    last["usage"] = answer.usage;
    events.push_back(json::write(last));
  }
  return events;
}

}  // namespace

Result<std::string> replay_body(const CachedAnswer& answer, const Replay& replay) {
  if (!answer.body.empty() && answer.model == replay.model && !answer.body.contains("\"choices\"")) return answer.body;
  auto body = answer.body.empty() ? assembled(answer) : parse_object(answer.body);
  if (!body) return fail(std::move(body.error()));
  if (body->contains("choices")) {
    stamp(*body, replay, fresh_id(is_chat(*body)));
  } else if (body->contains("model")) {
    (*body)["model"] = replay.model;
  }
  return json::write(*body);
}

Result<std::vector<std::string>> replay_events(const CachedAnswer& answer, const Replay& replay) {
  if (auto events = answer.events(); !events.empty()) return same_events(std::move(events), answer, replay);
  auto body = parse_object(answer.body);
  if (!body) return fail(std::move(body.error()));
  const bool chat = is_chat(*body);
  stamp(*body, replay, fresh_id(chat));  // may move the members
  const auto* choices = json::find(*body, "choices");
  if (!choices || !choices->is_array()) return fail(ErrorCode::kInternal, "a cached answer has no choices to stream");
  EventWriter writer(*body, chat);
  for (const auto& choice : choices->get_array()) {
    if (choice.is_object()) writer.add_choice(choice.get_object());
  }
  if (replay.usage) {
    const auto* usage = json::find(*body, "usage");
    if (!answer.usage.empty()) {
      writer.add_usage(answer.usage);
    } else if (usage && usage->is_object()) {
      writer.add_usage(usage->get_object());
    }
  }
  return std::move(writer).finish();
}

}  // namespace llm::inference
