#include "inference/checks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "engines/llama_server.h"

namespace llm::inference {
namespace {

std::string_view kind_name(const json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "a boolean";
    case boost::json::kind::string:
      return "a string";
    case boost::json::kind::array:
      return "an array";
    case boost::json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

std::unexpected<Error> expected(std::string_view what, const json::value& got, std::string pointer) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("expected {}, got {}", what, kind_name(got)),
              std::move(pointer));
}

struct Range {
  std::string_view name;
  double low;
  double high;
  bool integer;
};

// Fields every engine understands, with the bounds of the OpenAI API (wider where engines allow more).
constexpr Range kRanges[] = {
    {"temperature", 0, 100, false},
    {"top_p", 0, 1, false},
    {"min_p", 0, 1, false},
    {"frequency_penalty", -2, 2, false},
    {"presence_penalty", -2, 2, false},
    {"max_tokens", 0, 1e9, true},
    {"max_completion_tokens", 0, 1e9, true},
    {"n", 1, 128, true},
    {"top_logprobs", 0, 20, true},
    {"best_of", 1, 128, true},
};

Result<void> check_ranges(const json::object& body) {
  for (const auto& member : body) {
    const auto known = std::ranges::find(kRanges, std::string_view(member.key()), &Range::name);
    const auto* value = &member.value();
    if (known == std::end(kRanges) || value->is_null()) continue;
    const Range& range = *known;
    const std::string pointer = "/" + std::string(range.name);
    if (!value->is_number()) return expected(range.integer ? "an integer" : "a number", *value, pointer);
    const double number = value->to_number<double>();
    const bool whole = number == std::trunc(number);
    if (number < range.low || number > range.high || (range.integer && !whole)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("expected {} between {:.12g} and {:.12g}, got {:.12g}",
                              range.integer ? "an integer" : "a number", range.low, range.high, number),
                  pointer);
    }
  }
  return {};
}

Result<void> check_messages(const json::object& body) {
  const auto* messages = json::find(body, "messages");
  if (!messages) return fail(ErrorCode::kInvalidArgument, "missing required field \"messages\"", "/messages");
  if (!messages->is_array()) return expected("an array of messages", *messages, "/messages");
  const auto& list = messages->get_array();
  if (list.empty()) return fail(ErrorCode::kInvalidArgument, "expected at least one message", "/messages");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto pointer = [i](std::string_view field) { return fmt::format("/messages/{}{}", i, field); };
    if (!list[i].is_object()) return expected("a message object", list[i], pointer(""));
    const auto* role = json::find(list[i].get_object(), "role");
    if (!role) return fail(ErrorCode::kInvalidArgument, "missing required field \"role\"", pointer("/role"));
    if (!role->is_string()) return expected("a string", *role, pointer("/role"));
    if (const auto* content = json::find(list[i].get_object(), "content");
        content && !content->is_string() && !content->is_array() && !content->is_null()) {
      return expected("a string or an array of parts", *content, pointer("/content"));
    }
  }
  return {};
}

Result<void> check_input(const json::object& body, std::string_view field) {
  const std::string pointer = "/" + std::string(field);
  const auto* input = json::find(body, field);
  if (!input) return fail(ErrorCode::kInvalidArgument, fmt::format("missing required field \"{}\"", field), pointer);
  if (input->is_string() || input->is_array()) return {};
  return expected("a string or an array", *input, pointer);
}

struct MediaPart {
  std::string pointer;  // of the part; empty: the messages hold none
  std::string source;   // pointer of an address that the engine would open itself; empty: the data is inline
};

// The member of a content part that names an address instead of holding the data; empty if there is none.
std::string_view remote_source(const json::object& part) {
  for (const auto& member : part) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!member.value().is_object()) {
      if (key.ends_with("_url") && !(member.value().is_string() && member.value().get_string().starts_with("data:"))) {
        return key;
      }
      continue;
    }
    const auto* url = json::find(member.value().get_object(), "url");
    if (url && !(url->is_string() && url->get_string().starts_with("data:"))) return key;
  }
  return {};
}

// The first part in the messages that is not text; the first with an address, if there is one.
MediaPart find_media(const json::object& body) {
  MediaPart media;
  const auto* messages = json::find(body, "messages");
  if (!messages || !messages->is_array()) return media;
  for (std::size_t i = 0; i < messages->get_array().size(); ++i) {
    const auto& message = messages->get_array()[i];
    const auto* content = message.is_object() ? json::find(message.get_object(), "content") : nullptr;
    if (!content || !content->is_array()) continue;
    for (std::size_t k = 0; k < content->get_array().size(); ++k) {
      const auto& part = content->get_array()[k];
      if (!part.is_object()) continue;
      const auto type = json::string_or(part.get_object(), "type");
      if (type == "text" || type == "refusal") continue;
      const std::string pointer = fmt::format("/messages/{}/content/{}", i, k);
      if (const auto source = remote_source(part.get_object()); !source.empty()) {
        return {pointer, fmt::format("{}/{}", pointer, source)};
      }
      if (media.pointer.empty() && type == "image_url") media.pointer = pointer;
    }
  }
  return media;
}

// `n`, which check_ranges has looked at; 2.0 is a number of choices, too.
std::int64_t choices_of(const Request& request) {
  const bool generates = request.operation == Operation::kChat || request.operation == Operation::kCompletion;
  return generates ? static_cast<std::int64_t>(json::number_or(request.body, "n", 1)) : 1;
}

bool wants_tools(const json::object& body) {
  const auto* tools = json::find(body, "tools");
  return tools && tools->is_array() && !tools->get_array().empty();
}

}  // namespace

Result<CheckedRequest> check_request(const Request& request) {
  CheckedRequest checked;
  const auto& body = request.body;
  if (const auto* model = json::find(body, "model"); model && !model->is_null()) {
    if (!model->is_string()) return expected("a string", *model, "/model");
    checked.model = model->get_string();
  }
  Result<void> shape;
  switch (request.operation) {
    case Operation::kChat:
      shape = check_messages(body);
      break;
    case Operation::kCompletion:
      shape = check_input(body, "prompt");
      break;
    case Operation::kEmbedding:
      shape = check_input(body, "input");
      break;
    case Operation::kRerank:
      shape = check_input(body, "query");
      break;
    case Operation::kTokenize:
    case Operation::kDetokenize:
      break;
  }
  if (shape && (request.operation == Operation::kChat || request.operation == Operation::kCompletion)) {
    shape = check_ranges(body);
  }
  if (!shape) return fail(shape.error());
  checked.choices = std::max<std::int64_t>(1, choices_of(request));
  checked.several = checked.choices > 1;
  if (const auto* prompt = json::find(body, "prompt"); prompt && prompt->is_array()) {
    const auto& list = prompt->get_array();
    // A list of numbers is one tokenized prompt; a list of texts or lists is several.
    checked.several = checked.several || (list.size() > 1 && !list.front().is_number());
  }
  return checked;
}

namespace {

Result<void> check_serves(Operation operation, engines::EngineMode mode, std::string_view model) {
  const auto refuse = [model](std::string_view does, std::string_view asked) -> Result<void> {
    return fail(ErrorCode::kUnsupported,
                fmt::format("model \"{}\" {}; it cannot {}. Choose another model, or set models.settings.{}.mode",
                            model, does, asked, model),
                "/model");
  };
  const bool generate = operation == Operation::kChat || operation == Operation::kCompletion;
  if (generate && mode == engines::EngineMode::kEmbedding) return refuse("makes embeddings", "generate text");
  if (generate && mode == engines::EngineMode::kRerank) return refuse("ranks documents", "generate text");
  if (operation == Operation::kEmbedding && mode != engines::EngineMode::kEmbedding) {
    return refuse(mode == engines::EngineMode::kRerank ? "ranks documents" : "generates text", "make embeddings");
  }
  if (operation == Operation::kRerank && mode != engines::EngineMode::kRerank) {
    return refuse(mode == engines::EngineMode::kEmbedding ? "makes embeddings" : "generates text", "rank documents");
  }
  return {};
}

}  // namespace

Result<void> check_mode(Operation operation, const engines::EngineSpec& spec) {
  // What vLLM serves is found out when it runs (check_abilities).
  if (spec.external || (spec.vllm && spec.settings.mode == engines::EngineMode::kAuto)) return {};
  return check_serves(operation, engines::effective_mode(spec.settings, spec.facts), spec.model);
}

Result<void> check_abilities(const Request& request, const engines::EngineInfo& info, std::string_view model) {
  if (info.kind == dialects::ProviderKind::kVllm && !info.external) {
    if (auto serves = check_serves(request.operation, info.mode, model); !serves) return serves;
  }
  if (request.operation != Operation::kChat) return {};
  const auto* choice = json::find(request.body, "tool_choice");
  const bool choice_wants = choice && !choice->is_null() && !(choice->is_string() && choice->get_string() == "none");
  if ((wants_tools(request.body) || choice_wants) && info.supports_tools == false) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("the chat template of model \"{}\" knows no tools, so they would be ignored. Choose a model "
                    "that was trained for tool calls, or set models.settings.{}.chat_template",
                    model, model),
        wants_tools(request.body) ? "/tools" : "/tool_choice");
  }
  if (choice_wants && !wants_tools(request.body) && !(choice->is_string() && choice->get_string() == "auto")) {
    return fail(ErrorCode::kInvalidArgument, "tool_choice asks for a tool, and tools lists none", "/tool_choice");
  }
  if (info.external) return {};
  const MediaPart media = find_media(request.body);
  if (media.pointer.empty()) return {};
  if (info.supports_images == false) {
    return fail(ErrorCode::kUnsupported, fmt::format("model \"{}\" cannot see images", model), media.pointer);
  }
  if (!media.source.empty()) {
    // The engine would open the address from inside the network, on a stranger's behalf.
    return fail(ErrorCode::kInvalidArgument, "images are taken as data: URLs only; nothing is fetched from addresses",
                media.source);
  }
  return {};
}

Result<void> check_log(const engines::EngineSpec& spec) {
  static constexpr std::array<std::string_view, 6> kTalkative{"-v",  "--verbose",   "--log-verbose",
                                                              "-lv", "--verbosity", "--log-verbosity"};
  for (const auto& arg : spec.settings.extra_args) {
    std::string name = arg.substr(0, arg.find('='));
    if (name.starts_with("--")) std::ranges::replace(name, '_', '-');
    if (std::ranges::find(kTalkative, name) == kTalkative.end()) continue;
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("the log of model \"{}\" is not shown, as {} in its extra_args makes the engine write prompts "
                    "and answers into it",
                    spec.model, name));
  }
  return {};
}

}  // namespace llm::inference
