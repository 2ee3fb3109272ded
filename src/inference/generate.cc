#include "inference/generate.h"

#include <algorithm>
#include <fmt/format.h>

namespace llm {

const json::Table<inference::GenerateRequest>& json::Fields<inference::GenerateRequest>::table() {
  using R = inference::GenerateRequest;
  static const Table<R> table{
      "generate request",
      {
          field("model", &R::model,
                {.description = "Model name or alias. Default: the configured default model, else "
                                "the smallest installed."}),
          field("prompt", &R::prompt, {.description = "Text to continue. Give this or messages."}),
          field("messages", &R::messages,
                {.description = "Conversation as OpenAI chat messages ({role, content}). Give this or prompt.",
                 .min_items = 1}),
          field("images", &R::images,
                {.description = "Images for the last user message, as base64 or data: URLs.", .max_items = 64}),
          field("max_tokens", &R::max_tokens,
                {.description = "Most tokens to generate. Default: until the model ends or the context is full.",
                 .minimum = 1,
                 .maximum = 1'000'000'000}),
          field("temperature", &R::temperature,
                {.description = "Randomness; 0 always takes the likeliest token.", .minimum = 0, .maximum = 100}),
          field("top_p", &R::top_p, {.description = "Nucleus sampling.", .minimum = 0, .maximum = 1}),
          field("top_k", &R::top_k,
                {.description = "Sample from the k likeliest tokens; 0 all.", .minimum = 0, .maximum = 10'000'000}),
          field(
              "min_p", &R::min_p,
              {.description = "Drop tokens less likely than this share of the likeliest.", .minimum = 0, .maximum = 1}),
          field("repeat_penalty", &R::repeat_penalty,
                {.description = "Penalty for repeated tokens; 1 none.", .minimum = 0, .maximum = 100}),
          field("frequency_penalty", &R::frequency_penalty,
                {.description = "As in the OpenAI API.", .minimum = -2, .maximum = 2}),
          field("presence_penalty", &R::presence_penalty,
                {.description = "As in the OpenAI API.", .minimum = -2, .maximum = 2}),
          field("stop", &R::stop,
                {.description = "Text or list of texts that end the generation; not part of the answer.",
                 .max_items = 64}),
          field("seed", &R::seed, {.description = "Makes sampling repeatable.", .minimum = 0, .maximum = 4294967295.0}),
          field("stream", &R::stream, {.description = "Send the text piece by piece."}),
          field("logprobs", &R::logprobs,
                {.description = "Log probabilities of so many alternatives per token.", .minimum = 0, .maximum = 20}),
          field("response_format", &R::response_format,
                {.description = "{\"type\":\"json_object\"} or {\"type\":\"json_schema\",\"json_schema\":{…}}."}),
          field("tools", &R::tools,
                {.description = "Functions the model may call, as in the OpenAI API. With messages "
                                "only."}),
          field("tool_choice", &R::tool_choice, {.description = "none, auto, required, or one function."}),
          field("keep_alive", &R::keep_alive,
                {.description = "Keep the model loaded for so long after this request; 0 unload at once, -1 for ever.",
                 .minimum = -1}),
      }};
  return table;
}

}  // namespace llm

namespace llm::inference {
namespace {

// An image as the data: URL the OpenAI API wants, its type told by the first bytes of its base64 text.
Result<std::string> image_url(const std::string& image, std::size_t index) {
  const std::string pointer = fmt::format("/images/{}", index);
  if (image.starts_with("data:image/")) return image;
  const bool base64 = !image.empty() && std::ranges::all_of(image, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '/' || c == '=';
  });
  if (!base64) {
    return fail(ErrorCode::kInvalidArgument,
                "expected an image as base64 text or data:image/… URL; images are not fetched from addresses", pointer);
  }
  const std::string_view type = image.starts_with("/9j/")     ? "jpeg"
                                : image.starts_with("R0lGOD") ? "gif"
                                : image.starts_with("UklGR")  ? "webp"
                                                              : "png";
  return fmt::format("data:image/{};base64,{}", type, image);
}

Result<json::array> with_images(json::array messages, const std::vector<std::string>& images) {
  if (images.empty()) return messages;
  auto last = std::find_if(messages.rbegin(), messages.rend(), [](const json::value& message) {
    return message.is_object() && json::string_or(message.get_object(), "role") == "user";
  });
  if (last == messages.rend()) {
    return fail(ErrorCode::kInvalidArgument, "images need a user message to belong to", "/images");
  }
  auto& message = last->get_object();
  json::array parts;
  if (const auto* content = json::find(message, "content"); content && content->is_array()) {
    parts = content->get_array();
  } else if (content && content->is_string()) {
    parts.push_back(json::object{{"type", "text"}, {"text", *content}});
  }
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto url = image_url(images[i], i);
    if (!url) return fail(url.error());
    parts.push_back(json::object{{"type", "image_url"}, {"image_url", json::object{{"url", *url}}}});
  }
  message["content"] = std::move(parts);
  return messages;
}

}  // namespace

Result<EngineRequest> to_engine_request(const GenerateRequest& request) {
  if (!request.prompt && request.messages.empty()) {
    return fail(ErrorCode::kInvalidArgument, "missing required field: give \"prompt\" or \"messages\"", "/prompt");
  }
  if (request.prompt && !request.messages.empty()) {
    return fail(ErrorCode::kInvalidArgument, "give \"prompt\" or \"messages\", not both", "/messages");
  }
  EngineRequest engine;
  engine.chat = !request.messages.empty() || !request.images.empty();
  json::object& body = engine.body;
  body["model"] = request.model;
  if (engine.chat) {
    json::array messages;
    if (request.prompt) messages.push_back(json::object{{"role", "user"}, {"content", *request.prompt}});
    for (const auto& message : request.messages) messages.push_back(message);
    auto complete = with_images(std::move(messages), request.images);
    if (!complete) return fail(complete.error());
    body["messages"] = std::move(*complete);
    if (!request.tools.empty()) body["tools"] = json::array(request.tools.begin(), request.tools.end());
    if (!request.tool_choice.is_null()) body["tool_choice"] = request.tool_choice;
    if (request.logprobs) {
      body["logprobs"] = true;
      body["top_logprobs"] = *request.logprobs;
    }
  } else {
    if (!request.tools.empty()) {
      return fail(ErrorCode::kInvalidArgument, "tools need \"messages\" instead of \"prompt\"", "/tools");
    }
    body["prompt"] = *request.prompt;
    if (request.logprobs) body["logprobs"] = *request.logprobs;
  }
  const auto put = [&body](std::string_view name, const auto& member) {
    if (member) body[name] = *member;
  };
  put("max_tokens", request.max_tokens);
  put("temperature", request.temperature);
  put("top_p", request.top_p);
  put("top_k", request.top_k);
  put("min_p", request.min_p);
  put("repeat_penalty", request.repeat_penalty);
  put("frequency_penalty", request.frequency_penalty);
  put("presence_penalty", request.presence_penalty);
  put("seed", request.seed);
  if (!request.stop.empty()) body["stop"] = json::array(request.stop.items.begin(), request.stop.items.end());
  if (!request.response_format.is_null()) body["response_format"] = request.response_format;
  return engine;
}

}  // namespace llm::inference
