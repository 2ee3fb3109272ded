#include "engines/model_settings.h"

#include <gmock/gmock.h>

namespace llm::engines {
namespace {

using ::testing::HasSubstr;

Error refused(const std::vector<std::string>& args) {
  const auto checked = check_extra_args(args);
  return checked ? Error{ErrorCode::kInternal, "accepted", {}, {}, 0} : checked.error();
}

TEST(ExtraArgs, OrdinaryOnesPass) {
  EXPECT_TRUE(check_extra_args({}));
  EXPECT_TRUE(check_extra_args({"--temp", "0.5", "--rope-scaling", "yarn", "--no-warmup", "-lv", "4", "--mlock"}));
  EXPECT_TRUE(check_extra_args({"--model-draft", "/models/draft.gguf", "--lora", "/models/a.gguf"}));
  EXPECT_TRUE(check_extra_args({"--modelx", "hostess", "-", "", "--"}));
}

class ReservedArg : public ::testing::TestWithParam<std::string> {};

TEST_P(ReservedArg, IsRefusedInEverySpelling) {
  const std::string arg = GetParam();
  EXPECT_EQ(refused({"--temp", "1", arg}).pointer, "/extra_args/2");
  EXPECT_EQ(refused({arg + "=x"}).pointer, "/extra_args/0");
  if (!arg.starts_with("--")) return;
  std::string underscores = arg;
  std::replace(underscores.begin() + 2, underscores.end(), '-', '_');
  EXPECT_EQ(refused({underscores}).pointer, "/extra_args/0");
}

INSTANTIATE_TEST_SUITE_P(
    All, ReservedArg,
    ::testing::Values("-m", "--model", "-mu", "--model-url", "-dr", "--docker-repo", "-hf", "-hfr", "--hf-repo", "-hff",
                      "--hf-file", "-hft", "--hf-token", "-hfd", "-hfrd", "--hf-repo-draft", "--spec-draft-hf", "-mmu",
                      "--mmproj-url", "-a", "--alias", "--host", "--port", "--reuse-port", "--path", "--api-prefix",
                      "--api-key", "--api-key-file", "--ssl-key-file", "--ssl-cert-file", "--cors-origins",
                      "--cors-methods", "--cors-headers", "--cors-credentials", "--rpc", "--log-file", "--log-disable",
                      "--log-jsonl", "--log-prompts-dir", "--log-colors", "--tools", "--tools-runtime", "--agent",
                      "-ag", "--mcp-servers-config", "--mcp-servers-json", "--ui", "--webui", "--ui-mcp-proxy",
                      "--webui-mcp-proxy", "--ui-config-file", "--models-dir", "--models-preset", "--models-max",
                      "--slot-save-path", "--media-path", "--props", "-h", "--help", "--usage", "--version",
                      "--completion-bash", "-cl", "--cache-list", "--list-devices", "--offline", "--sleep-idle-seconds",
                      "-lcd", "--lookup-cache-dynamic", "--gpt-oss-20b-default", "--fim-qwen-7b-spec",
                      "--vision-gemma-4b-default", "--embd-gemma-default"));

TEST(ExtraArgs, WhatASettingStandsForNamesIt) {
  EXPECT_THAT(refused({"-c", "99999999"}).message, HasSubstr("use the setting context"));
  EXPECT_THAT(refused({"--ctx_size=99999999"}).message, HasSubstr("use the setting context"));
  EXPECT_THAT(refused({"-np"}).message, HasSubstr("use the setting parallel"));
  EXPECT_THAT(refused({"-ctk", "q8_0"}).message, HasSubstr("use the setting cache_type_k"));
  EXPECT_THAT(refused({"--cache-ram", "-1"}).message, HasSubstr("use the setting cache_ram"));
  EXPECT_THAT(refused({"--n-gpu-layers", "9"}).message, HasSubstr("use the setting gpu_layers"));
  EXPECT_THAT(refused({"--reranking"}).message, HasSubstr("use the setting mode"));
  EXPECT_THAT(refused({"--chat-template-file", "/x"}).message, HasSubstr("use the setting chat_template"));
}

TEST(ExtraArgs, HoldNoLineBreaksAndNoNul) {
  for (const std::string& bad : {std::string("a\0b", 3), std::string("a\nb"), std::string("a\r")}) {
    EXPECT_EQ(refused({"--temp", bad}).pointer, "/extra_args/1");
  }
}

TEST(ModelSettings, DecodeWithPlaces) {
  const auto good = json::decode<ModelSettings>(
      json::parse(R"({"context":4096,"parallel":2,"mode":"embedding","keep_alive":"10m","flash_attention":"off",
                      "cache_ram":"64MiB","extra_args":["--mlock"]})")
          ->as_object());
  ASSERT_TRUE(good);
  EXPECT_EQ(good->context, 4096U);
  EXPECT_EQ(good->mode, EngineMode::kEmbedding);
  EXPECT_EQ(good->keep_alive->ms, 600'000);
  EXPECT_EQ(good->cache_ram.bytes, 64U << 20);
  for (const auto& [text, pointer] :
       std::vector<std::pair<std::string, std::string>>{{R"({"parallel":0})", "/parallel"},
                                                        {R"({"parallel":65})", "/parallel"},
                                                        {R"({"gpu_layers":-2})", "/gpu_layers"},
                                                        {R"({"mode":"chat"})", "/mode"},
                                                        {R"({"ctx":1})", "/ctx"},
                                                        {R"({"extra_args":"--mlock"})", "/extra_args"}}) {
    const auto bad = json::decode<ModelSettings>(json::parse(text)->as_object());
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().pointer, pointer);
  }
}

}  // namespace
}  // namespace llm::engines
