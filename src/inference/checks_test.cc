#include "inference/checks.h"

#include <gmock/gmock.h>

namespace llm::inference {
namespace {

using ::testing::HasSubstr;

Request request(Operation operation, std::string_view body) {
  Request request;
  request.operation = operation;
  request.body = json::parse(body).value().as_object();
  return request;
}

struct Wrong {
  Operation operation;
  std::string body;
  std::string pointer;
  std::string says;
};

TEST(Checks, WrongRequestsNameThePlace) {
  for (const auto& row : std::vector<Wrong>{
           {Operation::kChat, R"({})", "/messages", "missing"},
           {Operation::kChat, R"({"messages":"hi"})", "/messages", "expected an array of messages, got a string"},
           {Operation::kChat, R"({"messages":[]})", "/messages", "at least one"},
           {Operation::kChat, R"({"messages":[{"role":"user"},5]})", "/messages/1", "got a number"},
           {Operation::kChat, R"({"messages":[{"content":"a"}]})", "/messages/0/role", "missing"},
           {Operation::kChat, R"({"messages":[{"role":1}]})", "/messages/0/role", "expected a string"},
           {Operation::kChat, R"({"messages":[{"role":"user","content":{}}]})", "/messages/0/content", "got an object"},
           {Operation::kChat, R"({"messages":[{"role":"user"}],"model":5})", "/model", "expected a string"},
           {Operation::kCompletion, R"({})", "/prompt", "missing"},
           {Operation::kCompletion, R"({"prompt":{}})", "/prompt", "got an object"},
           {Operation::kEmbedding, R"({"input":true})", "/input", "got a boolean"},
           {Operation::kRerank, R"({"documents":[]})", "/query", "missing"},
           {Operation::kCompletion, R"({"prompt":"a","temperature":-0.1})", "/temperature", "between 0 and 100"},
           {Operation::kCompletion, R"({"prompt":"a","temperature":"hot"})", "/temperature", "expected a number"},
           {Operation::kCompletion, R"({"prompt":"a","top_p":1.01})", "/top_p", "got 1.01"},
           {Operation::kCompletion, R"({"prompt":"a","n":0})", "/n", "an integer between 1 and 128, got 0"},
           {Operation::kCompletion, R"({"prompt":"a","n":129})", "/n", "got 129"},
           {Operation::kCompletion, R"({"prompt":"a","n":1.5})", "/n", "an integer"},
           {Operation::kCompletion, R"({"prompt":"a","max_tokens":-1})", "/max_tokens", "between 0 and 1000000000"},
           {Operation::kCompletion, R"({"prompt":"a","max_tokens":1e300})", "/max_tokens", "got 1e+300"},
       }) {
    const auto checked = check_request(request(row.operation, row.body));
    ASSERT_FALSE(checked) << row.body;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(checked.error().pointer, row.pointer) << row.body;
    EXPECT_THAT(checked.error().message, HasSubstr(row.says));
  }
}

TEST(Checks, CountsCompletions) {
  const auto several = [](std::string_view body) {
    const auto checked = check_request(request(Operation::kCompletion, body));
    return checked ? std::pair(checked->choices, checked->several) : std::pair<std::int64_t, bool>(-1, false);
  };
  EXPECT_EQ(several(R"({"prompt":"a","n":null})"), std::pair(std::int64_t{1}, false));
  EXPECT_EQ(several(R"({"prompt":"a","n":2})"), std::pair(std::int64_t{2}, true));
  EXPECT_EQ(several(R"({"prompt":"a","n":2.0})"), std::pair(std::int64_t{2}, true));
  EXPECT_EQ(several(R"({"prompt":["a"]})"), std::pair(std::int64_t{1}, false));
  EXPECT_EQ(several(R"({"prompt":["a","b"]})"), std::pair(std::int64_t{1}, true));
  EXPECT_EQ(several(R"({"prompt":[[1,2],[3]]})"), std::pair(std::int64_t{1}, true));
  EXPECT_EQ(several(R"({"prompt":[1,2,3]})"), std::pair(std::int64_t{1}, false));
  EXPECT_TRUE(check_request(request(Operation::kTokenize, R"({"content":"a","n":"x"})")));
}

TEST(Checks, ModesFitOperations) {
  using engines::EngineMode;
  engines::EngineSpec spec;
  spec.model = "m";
  for (const auto& [mode, fits] : std::vector<std::pair<EngineMode, std::vector<Operation>>>{
           {EngineMode::kGeneration, {Operation::kChat, Operation::kCompletion, Operation::kTokenize}},
           {EngineMode::kEmbedding, {Operation::kEmbedding, Operation::kTokenize}},
           {EngineMode::kRerank, {Operation::kRerank, Operation::kTokenize}}}) {
    spec.settings.mode = mode;
    for (const auto operation :
         {Operation::kChat, Operation::kCompletion, Operation::kEmbedding, Operation::kRerank, Operation::kTokenize}) {
      const bool wanted = std::ranges::find(fits, operation) != fits.end();
      const auto checked = check_mode(operation, spec);
      EXPECT_EQ(checked.has_value(), wanted) << to_string(operation);
      if (!checked) EXPECT_EQ(checked.error().pointer, "/model");
    }
  }
  spec.external.emplace();
  EXPECT_TRUE(check_mode(Operation::kChat, spec));
}

TEST(Checks, WhatVllmServesIsKnownWhenItRuns) {
  engines::EngineSpec spec;
  spec.vllm.emplace();
  EXPECT_TRUE(check_mode(Operation::kEmbedding, spec));
  EXPECT_TRUE(check_mode(Operation::kChat, spec));
  engines::EngineInfo info;
  info.kind = dialects::ProviderKind::kVllm;
  info.mode = engines::EngineMode::kEmbedding;
  EXPECT_TRUE(check_abilities(request(Operation::kEmbedding, R"({"input":"a"})"), info, "m"));
  const auto refused = check_abilities(request(Operation::kChat, R"({"messages":[]})"), info, "m");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  // One that somebody else runs says for itself what it does not do.
  info.external = true;
  EXPECT_TRUE(check_abilities(request(Operation::kChat, R"({"messages":[]})"), info, "m"));
}

Error ability(std::string_view body, std::optional<bool> tools, std::optional<bool> images, bool external = false) {
  engines::EngineInfo info;
  info.supports_tools = tools;
  info.supports_images = images;
  info.external = external;
  const auto checked = check_abilities(request(Operation::kChat, body), info, "m");
  return checked ? Error{ErrorCode::kInternal, "fine", {}, {}, 0} : checked.error();
}

TEST(Checks, ToolsNeedATemplateForThem) {
  constexpr std::string_view kTools = R"({"messages":[],"tools":[{"type":"function"}]})";
  EXPECT_EQ(ability(kTools, true, {}).message, "fine");
  EXPECT_EQ(ability(kTools, {}, {}).message, "fine");
  EXPECT_EQ(ability(kTools, false, {}).pointer, "/tools");
  EXPECT_EQ(ability(R"({"tools":[]})", false, {}).message, "fine");
  EXPECT_EQ(ability(R"({"tool_choice":"none"})", false, {}).message, "fine");
  EXPECT_EQ(ability(R"({"tool_choice":"required"})", false, {}).pointer, "/tool_choice");
  EXPECT_EQ(ability(R"({"tool_choice":"required"})", true, {}).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ability(R"({"tool_choice":"auto"})", true, {}).message, "fine");
}

TEST(Checks, ImagesNeedEyesAndAreNeverFetched) {
  const auto with = [](std::string_view part) {
    return R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"},)" +
           std::string(part) + "]}]}";
  };
  const auto inline_image = with(R"({"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}})");
  EXPECT_EQ(ability(inline_image, {}, true).message, "fine");
  EXPECT_EQ(ability(inline_image, {}, false).pointer, "/messages/1/content/1");
  EXPECT_EQ(ability(inline_image, {}, false).code, ErrorCode::kUnsupported);
  for (const std::string_view remote :
       {R"({"type":"image_url","image_url":{"url":"http://169.254.169.254/latest"}})",
        R"({"type":"image_url","image_url":{"url":"file:///etc/passwd"}})",
        R"({"type":"image_url","image_url":"https://example.org/a.png"})",
        R"({"type":"image_url","image_url":{"url":5}})",
        R"({"type":"video_url","video_url":{"url":"https://example.org/a.mp4"}})",
        R"({"type":"input_audio","input_audio":{"url":"https://example.org/a.wav"}})"}) {
    const auto error = ability(with(remote), {}, true);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << remote;
    EXPECT_TRUE(error.pointer.starts_with("/messages/1/content/1/")) << error.pointer;
    EXPECT_EQ(ability(with(remote), {}, true, true).message, "fine") << "an external engine decides for itself";
  }
}

TEST(Checks, ALogThatHoldsPromptsIsNotShown) {
  engines::EngineSpec spec;
  spec.model = "m";
  EXPECT_TRUE(check_log(spec));
  spec.settings.extra_args = {"--no-warmup", "--seed", "5"};
  EXPECT_TRUE(check_log(spec));
  for (const std::string arg : {"-v", "--verbose", "-lv", "--log_verbosity=5"}) {
    spec.settings.extra_args = {"--no-warmup", arg};
    EXPECT_EQ(check_log(spec).error().code, ErrorCode::kUnsupported) << arg;
  }
}

}  // namespace
}  // namespace llm::inference
