// llm_generation and llm_multimodal.
#include <utility>

#include "tools/call_progress.h"
#include "tools/original/arguments.h"
#include "tools/original/operations.h"
#include "tools/original/original_tools.h"
#include "tools/results.h"

namespace llm::tools::original {
namespace {

constexpr mcp::ToolHints kReadsOnly{.read_only = true, .destructive = false, .idempotent = true, .open_world = false};

constexpr std::string_view kDescribe = "Describe this image in detail.";
constexpr std::string_view kCompare = "Compare these two images: what do they have in common, and what differs?";

std::unexpected<Error> missing(std::string_view argument, std::string_view operation) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} needs \"{}\"", operation, argument),
              fmt::format("/{}", argument));
}

json::object request_of(const GenerationArguments& arguments) {
  json::object request;
  if (arguments.model && !arguments.model->empty()) request["model"] = *arguments.model;
  request["temperature"] = arguments.temperature;
  request["top_p"] = arguments.top_p;
  if (arguments.max_tokens) request["max_tokens"] = *arguments.max_tokens;
  if (arguments.frequency_penalty != 0) request["frequency_penalty"] = arguments.frequency_penalty;
  if (arguments.presence_penalty != 0) request["presence_penalty"] = arguments.presence_penalty;
  if (!arguments.stop.empty()) request["stop"] = json::array(arguments.stop.items.begin(), arguments.stop.items.end());
  return request;
}

json::array user_says(std::string_view text) {
  return {json::object{{"role", "user"}, {"content", text}}};
}

Task<Result<Answer>> ask(OriginalContext context, json::object request, std::optional<std::int64_t> max_tokens,
                         mcp::ToolCall call) {
  const auto api = context.tools.api(call);
  CallProgress progress(call, context.tools.settings.progress_interval, CallProgress::Unit::kTokens);
  progress.expect(max_tokens);
  auto answer = co_await api->generate(std::move(request), progress.sink(), call.cancel);
  if (!answer) {
    progress.keep_all();
    co_return fail(std::move(answer.error()));
  }
  const ChatOutput output = read_chat(*answer);
  Answer out{.message = fmt::format("{} wrote {} tokens", output.model, output.usage.completion_tokens),
             .data = json::encode(output),
             .text = output.text};
  if (out.text.empty()) out.text = fmt::format("{}, none of them text.\n{}", out.message, json::write(out.data));
  co_return out;
}

// The original's engines put the prompt into the model's chat template, and so does this.
Task<Result<Answer>> generate_text(OriginalContext context, GenerationArguments arguments, mcp::ToolCall call) {
  if (!arguments.prompt || arguments.prompt->empty()) co_return missing("prompt", "generate_text");
  json::object request = request_of(arguments);
  request["messages"] = user_says(*arguments.prompt);
  co_return co_await ask(std::move(context), std::move(request), arguments.max_tokens, std::move(call));
}

Task<Result<Answer>> chat_completion(OriginalContext context, GenerationArguments arguments, mcp::ToolCall call) {
  if (!arguments.messages || arguments.messages->empty()) co_return missing("messages", "chat_completion");
  json::object request = request_of(arguments);
  request["messages"] = json::array(arguments.messages->begin(), arguments.messages->end());
  co_return co_await ask(std::move(context), std::move(request), arguments.max_tokens, std::move(call));
}

Task<Result<Answer>> embed_text(OriginalContext context, GenerationArguments arguments, mcp::ToolCall call) {
  if (arguments.text.empty() && arguments.prompt) arguments.text.items.push_back(*arguments.prompt);
  if (arguments.text.empty()) co_return missing("text", "embed_text");
  json::object request{{"input", json::array(arguments.text.items.begin(), arguments.text.items.end())}};
  if (arguments.model && !arguments.model->empty()) request["model"] = *arguments.model;
  const auto api = context.tools.api(call);
  CallProgress progress(call, context.tools.settings.progress_interval, CallProgress::Unit::kTokens);
  auto answer = co_await api->embed(std::move(request), progress.sink(), call.cancel);
  if (!answer) {
    Error error = std::move(answer.error());
    if (error.pointer.starts_with("/input")) error.pointer.replace(0, 6, "/text");
    co_return fail(std::move(error));
  }
  const EmbedOutput output = read_embeddings(*answer);
  Answer out{.message = fmt::format("{} vectors of {} numbers from {}", output.embeddings.size(), output.dimensions,
                                    output.model),
             .data = json::encode(output)};
  out.text = out.message;  // the numbers are for programs
  co_return out;
}

json::object vision_request(const MultimodalArguments& arguments, json::array images, std::string_view otherwise) {
  const bool asked = arguments.prompt && !arguments.prompt->empty();
  json::object request{{"messages", user_says(asked ? std::string_view(*arguments.prompt) : otherwise)},
                       {"images", std::move(images)}};
  if (arguments.model_name && !arguments.model_name->empty()) request["model"] = *arguments.model_name;
  return request;
}

// A path would let a client read the gateway's files.
Result<void> check_image(const std::optional<std::string>& image, std::string_view argument,
                         std::string_view operation) {
  if (!image || image->empty()) return missing(argument, operation);
  const bool is_data = image->starts_with("data:");
  const bool looks_like_base64 = image->find_first_of(" .:\\~") == std::string::npos;
  if (is_data || looks_like_base64) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" must be the image itself, as base64 or a data: URL; files and addresses are not read",
                          argument),
              fmt::format("/{}", argument));
}

Task<Result<Answer>> analyze_image(OriginalContext context, MultimodalArguments arguments, mcp::ToolCall call) {
  if (auto fits = check_image(arguments.image, "image", "analyze_image"); !fits) co_return fail(fits.error());
  json::object request = vision_request(arguments, {*arguments.image}, kDescribe);
  co_return co_await ask(std::move(context), std::move(request), {}, std::move(call));
}

Task<Result<Answer>> compare_images(OriginalContext context, MultimodalArguments arguments, mcp::ToolCall call) {
  if (auto fits = check_image(arguments.image1, "image1", "compare_images"); !fits) co_return fail(fits.error());
  if (auto fits = check_image(arguments.image2, "image2", "compare_images"); !fits) co_return fail(fits.error());
  json::object request = vision_request(arguments, {*arguments.image1, *arguments.image2}, kCompare);
  co_return co_await ask(std::move(context), std::move(request), {}, std::move(call));
}

Task<Result<Answer>> generate_image(OriginalContext, MultimodalArguments, mcp::ToolCall) {
  co_return fail(ErrorCode::kUnsupported,
                 "no engine of this gateway makes images; it runs language models, with vision where the model has it",
                 "/operation");
}

using enum access::Permission;

constexpr Operation<GenerationArguments> kGenerationOperations[] = {
    {"generate_text", "answer a prompt (prompt)", kGenerate, generate_text},
    {"chat_completion", "go on with a conversation (messages)", kGenerate, chat_completion},
    {"embed_text", "turn texts into vectors (text), with an embedding model", kGenerate, embed_text},
};

constexpr Operation<MultimodalArguments> kMultimodalOperations[] = {
    {"analyze_image", "describe an image, or answer a question about it (image, prompt)", kGenerate, analyze_image},
    {"compare_images", "compare two images (image1, image2, prompt)", kGenerate, compare_images},
    {"generate_image", "not possible here", kGenerate, generate_image},
};

}  // namespace

Result<void> add_generation(mcp::Server& server, const ToolContext& context) {
  auto added = add_portmanteau<GenerationArguments>(
      server, context,
      {{.name = "llm_generation",
        .title = "Generate with a local model",
        .description = "Let a language model on this machine write, chat or embed. It is loaded on first use.",
        .hints = kReadsOnly,
        .picture = Picture::kChat,
        .span = Span::kLong},
       {"llm_generation_tool"}},
      kGenerationOperations);
  if (!added) return added;
  return add_portmanteau<MultimodalArguments>(
      server, context,
      {{.name = "llm_multimodal",
        .title = "Look at images with a local model",
        .description = "Let a model with vision on this machine look at images.",
        .hints = kReadsOnly,
        .picture = Picture::kChat,
        .span = Span::kLong},
       {"llm_multimodal_tool"}},
      kMultimodalOperations);
}

}  // namespace llm::tools::original
