#include <fmt/format.h>
#include <utility>

#include "fixture.h"
#include "mcp/content.h"

namespace llm::fixture {
namespace {

using mcp::PromptCall;
using mcp::PromptResult;

const std::string& argument(const PromptCall& call, std::string_view name) {
  return call.arguments.find(name)->second;
}

Task<Result<PromptResult>> simple(PromptCall) {
  co_return PromptResult{.messages = {{"user", mcp::text_content("This is a simple prompt for testing.")}}};
}

Task<Result<PromptResult>> with_arguments(PromptCall call) {
  const std::string text =
      fmt::format("Prompt with arguments: arg1='{}', arg2='{}'", argument(call, "arg1"), argument(call, "arg2"));
  co_return PromptResult{.messages = {{"user", mcp::text_content(text)}}};
}

Task<Result<std::vector<std::string>>> complete_arg1(mcp::CompletionRequest request) {
  std::vector<std::string> found;
  for (const char* word : {"paris", "park", "party"}) {
    if (std::string_view(word).starts_with(request.value)) found.emplace_back(word);
  }
  co_return found;
}

Task<Result<PromptResult>> with_resource(PromptCall call) {
  co_return PromptResult{.messages = {{"user", mcp::embedded_text(argument(call, "resourceUri"), "text/plain",
                                                                  "Embedded resource content for testing.")},
                                      {"user", mcp::text_content("Please process the embedded resource above.")}}};
}

Task<Result<PromptResult>> with_image(PromptCall) {
  co_return PromptResult{.messages = {{"user", mcp::image_content(png(), "image/png")},
                                      {"user", mcp::text_content("Please analyze the image above.")}}};
}

constexpr std::string_view kContext =
    R"({"type":"object","properties":{"context":{"type":"string"}},"required":["context"]})";

Task<Result<PromptResult>> asking(PromptCall call) {
  const std::string context = entered(call, "user_context", "context");
  PromptResult result;
  if (context.empty()) {
    result.input_required =
        mcp::InputRequired{.requests = {{"user_context", elicit("What context should the prompt use?", kContext)}}};
  } else {
    result.messages = {{"user", mcp::text_content(fmt::format("Use this context: {}", context))}};
  }
  co_return result;
}

}  // namespace

void add_prompts(mcp::Server& server) {
  const auto add = [&server](mcp::Prompt prompt) { server.prompts().add(std::move(prompt)).value(); };
  add({.name = "test_simple_prompt", .description = "A prompt without arguments", .handler = simple});
  add({.name = "test_prompt_with_arguments",
       .description = "A prompt with two arguments",
       .arguments = {{.name = "arg1", .description = "The first", .required = true, .complete = complete_arg1},
                     {.name = "arg2", .description = "The second", .required = true}},
       .handler = with_arguments});
  add({.name = "test_prompt_with_embedded_resource",
       .description = "A prompt with a resource inside",
       .arguments = {{.name = "resourceUri", .description = "Its URI", .required = true}},
       .handler = with_resource});
  add({.name = "test_prompt_with_image", .description = "A prompt with a picture", .handler = with_image});
  add({.name = "test_input_required_result_prompt", .description = "A prompt that asks", .handler = asking});
}

}  // namespace llm::fixture
