#include "engines/provider_settings.h"

#include <cstdlib>
#include <gtest/gtest.h>

namespace llm::engines {
namespace {

using dialects::ProviderKind;

// A variable of the environment for the time of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name);
  }
  ~Variable() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

ProviderSettings of(ProviderKind kind, std::string base_url = {}) {
  ProviderSettings settings;
  settings.preset = kind;
  settings.base_url = std::move(base_url);
  return settings;
}

TEST(ProviderSettings, ServicesWantAKey) {
  const Variable none("OPENAI_API_KEY", nullptr);
  const auto checked = check_provider(of(ProviderKind::kOpenAi));
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().pointer, "/api_key");
  EXPECT_NE(checked.error().message.find("OPENAI_API_KEY"), std::string::npos);
  auto off = of(ProviderKind::kOpenAi);
  off.enabled = false;
  EXPECT_TRUE(check_provider(off));
  auto with = of(ProviderKind::kOpenAi);
  with.api_key = "k";
  EXPECT_TRUE(check_provider(with));
  EXPECT_EQ(api_key_of(with).value(), "k");
}

TEST(ProviderSettings, ThePresetsVariableIsOnlyForThePresetsAddress) {
  const Variable key("OPENAI_API_KEY", "secret");
  EXPECT_EQ(api_key_of(of(ProviderKind::kOpenAi)).value(), "secret");
  EXPECT_EQ(api_key_of(of(ProviderKind::kOpenAi, "https://api.openai.com/v1/")).value(), "secret");
  EXPECT_EQ(api_key_of(of(ProviderKind::kOpenAi, "https://elsewhere.example/v1")).value(), "");
  EXPECT_TRUE(check_provider(of(ProviderKind::kOpenAi)));
}

TEST(ProviderSettings, ANamedVariable) {
  const Variable key("LLM_MCP_TEST_KEY", "secret");
  auto settings = of(ProviderKind::kVllm);
  settings.api_key_env = "LLM_MCP_TEST_KEY";
  EXPECT_EQ(api_key_of(settings).value(), "secret");
  settings.api_key_env = "LLM_MCP_TEST_KEY_NOT_SET";
  EXPECT_EQ(api_key_of(settings).error().code, ErrorCode::kUnavailable);
}

TEST(ProviderSettings, WhatLeavesTheMachine) {
  EXPECT_FALSE(leaves_machine(of(ProviderKind::kOllama)));
  EXPECT_FALSE(leaves_machine(of(ProviderKind::kVllm, "unix:/run/engine.sock:/v1")));
  EXPECT_FALSE(leaves_machine(of(ProviderKind::kVllm, "http://[::1]:8000/v1")));
  EXPECT_FALSE(leaves_machine(of(ProviderKind::kVllm, "http://localhost:8000/v1")));
  EXPECT_TRUE(leaves_machine(of(ProviderKind::kVllm, "http://gpu-box:8000/v1")));
  EXPECT_TRUE(leaves_machine(of(ProviderKind::kVllm, "http://127.0.0.1.example:8000/v1")));
  EXPECT_TRUE(leaves_machine(of(ProviderKind::kAnthropic)));
  auto tunnel = of(ProviderKind::kVllm);
  tunnel.locality = Locality::kRemote;
  EXPECT_TRUE(leaves_machine(tunnel));
  auto trusted = of(ProviderKind::kVllm, "http://gpu-box:8000/v1");
  trusted.locality = Locality::kLocal;
  EXPECT_FALSE(leaves_machine(trusted));
}

TEST(ProviderSettings, HealthPaths) {
  EXPECT_EQ(health_path_of(of(ProviderKind::kOllama)), "/models");
  auto settings = of(ProviderKind::kOllama);
  settings.health_path = "/ok";
  EXPECT_EQ(health_path_of(settings), "/ok");
}

}  // namespace
}  // namespace llm::engines
