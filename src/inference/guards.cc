// check_caps(): what one request may ask for.
#include "inference/guards.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <optional>

namespace llm::inference {
namespace {

std::unexpected<Error> too_much(std::string_view what, std::int64_t got, std::uint64_t cap, std::string pointer) {
  return fail(Error{ErrorCode::kInvalidArgument,
                    fmt::format("{} {} are more than the {} allowed here", got, what, cap),
                    std::move(pointer),
                    {},
                    0}
                  .with("cap", static_cast<std::int64_t>(cap)));
}

std::string_view key_of(const json::object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

// A number of things. Whatever no engine would read as a number from 0 to the cap is refused, too.
Result<void> check_number(const json::object& body, std::string_view name, std::uint32_t cap,
                          const std::string& pointer) {
  if (cap == 0) return {};
  const auto* value = json::find(body, name);
  if (!value || value->is_null()) return {};
  const double number = value->is_number() ? value->to_number<double>() : std::nan("");
  if (number >= 0 && number <= cap && number == std::trunc(number)) return {};
  return fail(Error{ErrorCode::kInvalidArgument,
                    value->is_number() ? fmt::format("expected at most {}, got {:.12g}", cap, number)
                                       : fmt::format("expected an integer of at most {}", cap),
                    json::pointer_join(pointer, name),
                    {},
                    0}
                  .with("cap", cap));
}

// Every name that some engine reads a number of the kind from.
constexpr std::array<std::string_view, 2> kChoices{"n", "n_cmpl"};
constexpr std::array<std::string_view, 2> kBestOf{"best_of", "beam_width"};
constexpr std::array<std::string_view, 7> kTokens{"max_tokens",     "max_completion_tokens", "n_predict", "num_predict",
                                                  "max_new_tokens", "max_output_tokens",     "min_tokens"};
constexpr std::array<std::string_view, 3> kLogprobs{"top_logprobs", "n_probs", "prompt_logprobs"};
constexpr std::array<std::string_view, 7> kPrompts{"prompt",  "prompts",   "input", "inputs",
                                                   "content", "documents", "texts"};
constexpr std::array<std::string_view, 4> kStops{"stop", "stop_sequences", "stop_strings", "stop_token_ids"};
constexpr std::array<std::string_view, 2> kTools{"tools", "functions"};
constexpr std::array<std::string_view, 13> kSchemas{"response_format", "json_schema",   "grammar",
                                                    "format",          "guided_json",   "guided_grammar",
                                                    "guided_regex",    "guided_choice", "structured_outputs",
                                                    "structural_tag",  "regex",         "ebnf",
                                                    "schema"};
// Some clients put engine's own fields one level deeper, and some servers look there.
constexpr std::array<std::string_view, 4> kWrappers{"extra_body", "options", "parameters", "sampling_params"};

Result<void> check_count(const json::object& body, std::string_view name, std::uint32_t cap, std::string_view what,
                         const std::string& pointer) {
  if (cap == 0) return {};
  const auto* value = json::find(body, name);
  const std::size_t count = value && value->is_array() ? value->get_array().size() : 0;
  if (count <= cap) return {};
  return too_much(what, static_cast<std::int64_t>(count), cap, json::pointer_join(pointer, name));
}

// A list of numbers is one prompt as token ids; any other list is one prompt each.
Result<void> check_prompts(const json::object& body, std::uint32_t cap, const std::string& pointer) {
  if (cap == 0) return {};
  for (const auto name : kPrompts) {
    const auto* value = json::find(body, name);
    if (!value || !value->is_array()) continue;
    const auto& list = value->get_array();
    if (list.size() <= cap || std::ranges::all_of(list, [](const auto& item) { return item.is_number(); })) continue;
    return too_much("prompts", static_cast<std::int64_t>(list.size()), cap, json::pointer_join(pointer, name));
  }
  return {};
}

// `logprobs` is a number, or true: then `top_logprobs` says how many, and llama-server takes 20 where it does not.
Result<void> check_logprobs(const json::object& body, std::uint32_t cap, const std::string& pointer) {
  if (cap == 0) return {};
  for (const auto name : kLogprobs) {
    if (auto within = check_number(body, name, cap, pointer); !within) return within;
  }
  const auto* value = json::find(body, "logprobs");
  if (!value || value->is_null()) return {};
  if (!value->is_bool()) return check_number(body, "logprobs", cap, pointer);
  constexpr std::uint32_t kEnginesChoice = 20;
  const auto* top = json::find(body, "top_logprobs");
  if (!value->get_bool() || cap >= kEnginesChoice || (top && !top->is_null())) return {};
  return fail(ErrorCode::kInvalidArgument, fmt::format("say how many with top_logprobs; at most {} are allowed", cap),
              json::pointer_join(pointer, "logprobs"));
}

// Media in what is said: each counts once, however it is wrapped.
std::size_t count_media(const json::value& value) {
  static constexpr std::array<std::string_view, 12> kMedia{"audio",       "file",        "image",       "image_data",
                                                           "input_audio", "input_image", "input_video", "source",
                                                           "video",       "audio_url",   "image_url",   "video_url"};
  std::size_t count = 0;
  if (value.is_array()) {
    for (const auto& item : value.get_array()) {
      if (item.is_structured()) count += count_media(item);
    }
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      const auto name = key_of(member);
      const auto& given = member.value();
      if (given.is_null()) continue;
      if (std::ranges::find(kMedia, name) != kMedia.end()) {
        count += given.is_array() ? given.get_array().size() : 1;
      } else if (name == "multimodal_data" || name == "images") {
        count += given.is_array() ? given.get_array().size() : 1;
      } else if (given.is_structured() && name != "tool_calls") {
        count += count_media(given);
      }
    }
  }
  return count;
}

Result<void> check_images(const json::object& body, std::uint32_t cap, const std::string& pointer) {
  if (cap == 0) return {};
  std::size_t count = 0;
  for (const std::string_view name : {"messages", "prompt", "input", "content", "documents", "query"}) {
    const auto* value = json::find(body, name);
    if (!value || !value->is_structured()) continue;
    count += count_media(*value);
    if (count > cap) {
      return too_much("images", static_cast<std::int64_t>(count), cap, json::pointer_join(pointer, name));
    }
  }
  return check_count(body, "images", cap, "images", pointer);
}

std::size_t depth_of(const json::value& value) {
  std::size_t deepest = 0;
  if (value.is_array()) {
    for (const auto& item : value.get_array()) deepest = std::max(deepest, depth_of(item));
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) deepest = std::max(deepest, depth_of(member.value()));
  } else {
    return 0;
  }
  return deepest + 1;
}

// Nesting of groups in a grammar or a regular expression. Brackets in quotes and classes count like all others: what a
// bracket is there differs from engine to engine.
std::size_t depth_of_text(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '(' || c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ')' || c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

std::uint64_t written_size(const json::value& value) {
  boost::json::serializer serializer;
  serializer.reset(&value);
  std::array<char, 4096> buffer;
  std::uint64_t size = 0;
  while (!serializer.done()) size += serializer.read(buffer.data(), buffer.size()).size();
  return size;
}

Result<void> check_schema(const json::value& schema, const access::Caps& caps, const std::string& pointer) {
  if (caps.max_schema_bytes.bytes > 0) {
    const std::uint64_t bytes = schema.is_string() ? schema.get_string().size() : written_size(schema);
    if (bytes > caps.max_schema_bytes.bytes) {
      return too_much("bytes of schema or grammar", static_cast<std::int64_t>(bytes), caps.max_schema_bytes.bytes,
                      pointer);
    }
  }
  if (caps.max_schema_depth == 0) return {};
  const std::size_t depth =
      schema.is_string() ? depth_of_text(std::string_view(schema.get_string())) : depth_of(schema);
  if (depth <= caps.max_schema_depth) return {};
  return too_much("levels of nesting", static_cast<std::int64_t>(depth), caps.max_schema_depth, pointer);
}

const json::value* member_of(const json::value& value, std::string_view name) {
  return value.is_object() ? json::find(value.get_object(), name) : nullptr;
}

// The schema itself, without what is wrapped around it: {"type":"json_schema","json_schema":{"name":…,"schema":{…}}}.
Result<void> check_format(const json::value& format, const access::Caps& caps, const std::string& pointer) {
  const auto* wrapped = member_of(format, "json_schema");
  const auto* direct = member_of(format, "schema");
  const auto* inner = wrapped ? member_of(*wrapped, "schema") : nullptr;
  if (direct) {
    if (auto within = check_schema(*direct, caps, pointer + "/schema"); !within) return within;
  }
  if (inner) return check_schema(*inner, caps, pointer + "/json_schema/schema");
  if (wrapped) return check_schema(*wrapped, caps, pointer + "/json_schema");
  return direct ? Result<void>() : check_schema(format, caps, pointer);
}

Result<void> check_tool(const json::value& tool, const access::Caps& caps, const std::string& pointer) {
  const auto* function = member_of(tool, "function");
  for (const auto& [holder, below] : {std::pair(function, "/function"), std::pair(&tool, "")}) {
    if (!holder) continue;
    for (const std::string_view name : {"parameters", "input_schema"}) {
      const auto* schema = member_of(*holder, name);
      if (!schema) continue;
      if (auto within = check_schema(*schema, caps, fmt::format("{}{}/{}", pointer, below, name)); !within) {
        return within;
      }
    }
  }
  return {};
}

Result<void> check_tools(const json::object& body, const access::Caps& caps, const std::string& pointer) {
  for (const auto name : kTools) {
    if (auto within = check_count(body, name, caps.max_tools, "tools", pointer); !within) return within;
    const auto* tools = json::find(body, name);
    if (!tools || !tools->is_array()) continue;
    std::size_t i = 0;
    for (const auto& tool : tools->get_array()) {
      const std::string below = fmt::format("{}/{}", json::pointer_join(pointer, name), i++);
      if (auto within = check_tool(tool, caps, below); !within) return within;
    }
  }
  return {};
}

Result<void> check_object(const json::object& body, const access::Caps& caps, const std::string& pointer) {
  const auto numbers = [&](std::span<const std::string_view> names, std::uint32_t cap) -> Result<void> {
    for (const auto name : names) {
      if (auto within = check_number(body, name, cap, pointer); !within) return within;
    }
    return {};
  };
  if (auto within = numbers(kChoices, caps.max_choices); !within) return within;
  if (auto within = numbers(kBestOf, caps.max_best_of); !within) return within;
  if (auto within = numbers(kTokens, caps.max_tokens); !within) return within;
  if (auto within = check_logprobs(body, caps.max_logprobs, pointer); !within) return within;
  if (auto within = check_prompts(body, caps.max_prompts, pointer); !within) return within;
  for (const auto name : kStops) {
    if (auto within = check_count(body, name, caps.max_stops, "stop sequences", pointer); !within) return within;
  }
  if (auto within = check_count(body, "messages", caps.max_messages, "messages", pointer); !within) return within;
  if (auto within = check_images(body, caps.max_images, pointer); !within) return within;
  if (auto within = check_tools(body, caps, pointer); !within) return within;
  for (const auto name : kSchemas) {
    const auto* schema = json::find(body, name);
    if (!schema || schema->is_null()) continue;
    if (auto within = check_format(*schema, caps, json::pointer_join(pointer, name)); !within) return within;
  }
  for (const auto name : kWrappers) {
    const auto* inner = json::find(body, name);
    if (!inner || !inner->is_object()) continue;
    if (auto within = check_object(inner->get_object(), caps, json::pointer_join(pointer, name)); !within)
      return within;
  }
  return {};
}

}  // namespace

Result<void> check_caps(const json::object& body, Operation, const access::Caps& caps) {
  return check_object(body, caps, "");
}

}  // namespace llm::inference
