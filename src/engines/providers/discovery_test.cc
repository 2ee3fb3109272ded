#include "engines/providers/discovery.h"

#include <algorithm>
#include <fmt/format.h>

#include "engines/providers/scripted_provider.h"

namespace llm::engines {
namespace {

using enum dialects::ProviderKind;

class Discovery : public testing::Test {
 protected:
  std::vector<Discovered> look(std::vector<PortGuess> ports) {
    std::vector<Discovered> found;
    const auto test = [&]() -> Task<void> {
      found = co_await discover(loop, {.ports = ports, .most = std::chrono::seconds(30)}, {});
      co_await server.stop();
    };
    run_task(loop, test());
    return found;
  }

  Loop loop{"test"};
  ScriptedProvider server{loop};
};

TEST_F(Discovery, WhatIsExpectedIsAskedFirst) {
  server.answer("GET /api/version", R"({"version":"0.11.4"})");
  server.answer("GET /v1/models", R"({"data":[{"id":"qwen3:8b","owned_by":"library"}]})");
  const auto found = look({{server.port(), {kOllama}}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].known);
  EXPECT_FALSE(found[0].wrong);
  EXPECT_EQ(found[0].kind, kOllama);
  EXPECT_EQ(found[0].message, fmt::format("port {}: Ollama 0.11.4", server.port()));
  EXPECT_EQ(found[0].models, std::vector<std::string>{"qwen3:8b"});
  EXPECT_EQ(server.asked, (std::vector<std::string>{"GET /api/version", "GET /v1/models"}));
  EXPECT_EQ(configuration_of(found[0], "ollama"),
            fmt::format("providers:\n  ollama:\n    preset: ollama\n    base_url: http://127.0.0.1:{}/v1\n    models:\n"
                        "      - \"qwen3:8b\"\n",
                        server.port()));
}

TEST_F(Discovery, AWrongServiceIsNamed) {
  server.answer("GET /api/version", R"({"version":"0.11.4"})");
  const auto found = look({{server.port(), {kLmStudio}}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].wrong);
  EXPECT_EQ(found[0].message, fmt::format("port {} answers, but as Ollama 0.11.4, not LM Studio", server.port()));
}

TEST_F(Discovery, AStrangerIsSaidToBeOne) {
  const auto found = look({{server.port(), {kVllm}}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found[0].known);
  EXPECT_EQ(found[0].message,
            fmt::format("port {} answers, but as a server that is none we know, not vLLM", server.port()));
}

TEST_F(Discovery, AVersionAloneMakesNoVllm) {
  server.answer("GET /version", R"({"version":"1.0"})");
  server.answer("GET /v1/models", R"({"data":[{"id":"m","owned_by":"me"}]})");
  const auto found = look({{server.port(), {}}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, kOpenAiCompatible);
}

TEST_F(Discovery, AKeyIsAskedFor) {
  server.answer("GET /version", R"({"version":"0.10.1"})");
  server.answer("GET /v1/models", R"({"error":"Unauthorized"})", 401);
  const auto found = look({{server.port(), {kVllm}}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].wants_key);
  EXPECT_NE(configuration_of(found[0], "vllm").find("api_key_env: "), std::string::npos);
}

TEST_F(Discovery, WhereNobodyListensIsLeftOut) {
  const int fd = net::listen_tcp("127.0.0.1", 0).value();
  const auto port = net::local_port(fd);
  ::close(fd);
  EXPECT_TRUE(look({{port, {kVllm}}}).empty());
}

TEST(KnownPorts, AreThoseOfThePresets) {
  for (const PortGuess& guess : known_ports()) {
    EXPECT_FALSE(guess.kinds.empty());
    for (const auto kind : guess.kinds) EXPECT_FALSE(dialects::preset_of(kind).cloud);
  }
}

}  // namespace
}  // namespace llm::engines
