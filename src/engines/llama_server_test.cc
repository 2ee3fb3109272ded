#include "engines/llama_server.h"

#include <gmock/gmock.h>

namespace llm::engines {
namespace {

using ::testing::Contains;
using ::testing::Not;

EngineSpec spec() {
  EngineSpec spec;
  spec.key = "m:latest";
  spec.model = "m";
  spec.file = "/models/sha256-1";
  spec.facts.context_length = 32768;
  return spec;
}

std::vector<std::string> args_of(const EngineSpec& spec) {
  const LlamaServerSettings settings{.program = "/opt/llama-server", .socket_dir = "/run/x"};
  auto args = llama_server_args(settings, spec, {.threads = 3, .threads_batch = 6, .reason = {}}, "/run/x/1.sock");
  EXPECT_TRUE(args) << args.error().message;
  return args.value_or(std::vector<std::string>{});
}

// The value behind a flag; "absent" or "twice".
std::string value_of(const std::vector<std::string>& args, const std::string& flag) {
  if (std::ranges::count(args, flag) > 1) return "twice";
  const auto at = std::ranges::find(args, flag);
  return at == args.end() || at + 1 == args.end() ? "absent" : *(at + 1);
}

TEST(LlamaServerArgs, HaveEverythingTheGatewayDecides) {
  const auto args = args_of(spec());
  EXPECT_EQ(args.front(), "/opt/llama-server");
  EXPECT_EQ(value_of(args, "--model"), "/models/sha256-1");
  EXPECT_EQ(value_of(args, "--alias"), "m");
  EXPECT_EQ(value_of(args, "--host"), "/run/x/1.sock");
  EXPECT_EQ(value_of(args, "--ctx-size"), "32768");  // 4 slots of 8192
  EXPECT_EQ(value_of(args, "--parallel"), "4");
  EXPECT_EQ(value_of(args, "--threads"), "3");
  EXPECT_EQ(value_of(args, "--threads-batch"), "6");
  EXPECT_EQ(value_of(args, "--flash-attn"), "auto");
  EXPECT_EQ(value_of(args, "--cache-ram"), "256");
  EXPECT_EQ(value_of(args, "--batch-size"), "2048");
  EXPECT_EQ(value_of(args, "--ubatch-size"), "512");
  EXPECT_EQ(value_of(args, "--gpu-layers"), "absent");
  EXPECT_THAT(args, Contains("--offline"));
  EXPECT_THAT(args, Contains("--no-ui"));
  EXPECT_THAT(args, Not(Contains("--embeddings")));
}

TEST(LlamaServerArgs, SettingsWin) {
  auto s = spec();
  s.settings.context = 1000;
  s.settings.parallel = 2;
  s.settings.threads = 1;
  s.settings.threads_batch = 2;
  s.settings.gpu_layers = 0;
  s.settings.flash_attention = FlashAttention::kOff;
  s.settings.cache_type_k = "q8_0";
  s.settings.batch = 256;
  s.settings.ubatch = 512;
  s.settings.extra_args = {"--mlock"};
  const auto args = args_of(s);
  EXPECT_EQ(value_of(args, "--ctx-size"), "2000");
  EXPECT_EQ(value_of(args, "--threads"), "1");
  EXPECT_EQ(value_of(args, "--threads-batch"), "2");
  EXPECT_EQ(value_of(args, "--gpu-layers"), "0");
  EXPECT_EQ(value_of(args, "--flash-attn"), "off");
  EXPECT_EQ(value_of(args, "--cache-type-k"), "q8_0");
  EXPECT_EQ(value_of(args, "--batch-size"), "512") << "never less than ubatch";
  EXPECT_EQ(args.back(), "--mlock");
}

TEST(LlamaServerArgs, ModesComeFromSettingsOrHeader) {
  auto s = spec();
  s.facts.mode = models::ModelMode::kEmbedding;
  s.settings.context = 4096;
  auto args = args_of(s);
  EXPECT_THAT(args, Contains("--embeddings"));
  EXPECT_EQ(value_of(args, "--pooling"), "mean");
  EXPECT_EQ(value_of(args, "--ubatch-size"), "4096") << "the whole prompt in one step";
  s.facts.pooling_type = 2;
  EXPECT_EQ(value_of(args_of(s), "--pooling"), "absent");
  s.settings.mode = EngineMode::kRerank;
  EXPECT_THAT(args_of(s), Contains("--reranking"));
  s.settings.mode = EngineMode::kGeneration;
  EXPECT_THAT(args_of(s), Not(Contains("--embeddings")));
}

TEST(LlamaServerArgs, TemplatesAreFilesOrNames) {
  auto s = spec();
  s.settings.chat_template = "/etc/chat.jinja";
  EXPECT_EQ(value_of(args_of(s), "--chat-template-file"), "/etc/chat.jinja");
  s.settings.chat_template = "chatml";
  EXPECT_EQ(value_of(args_of(s), "--chat-template"), "chatml");
}

TEST(LlamaServerArgs, ExtraArgumentsAreCheckedOnceMore) {
  auto s = spec();
  s.settings.extra_args = {"--temp", "1", "--api_key", "x"};  // a model's own settings come from its manifest
  const auto args = llama_server_args({}, s, {}, "x");
  ASSERT_FALSE(args);
  EXPECT_EQ(args.error().pointer, "/extra_args/2");
}

TEST(LlamaServer, ContextOfItsOwnIsBounded) {
  models::GgufFacts facts;
  EXPECT_EQ(wanted_context({}, facts), 8192U);
  facts.context_length = 2048;
  EXPECT_EQ(wanted_context({}, facts), 2048U);
  facts.context_length = UINT64_MAX;
  EXPECT_EQ(wanted_context({}, facts), 8192U);
  ModelSettings settings;
  settings.context = 100'000;
  EXPECT_EQ(wanted_context(settings, facts), 100'000U);
}

}  // namespace
}  // namespace llm::engines
