#include "engines/providers/ollama.h"

#include <algorithm>
#include <fmt/format.h>

#include "engines/providers/scripted_provider.h"

namespace llm::engines {
namespace {

using dialects::ProviderKind;

// A provider, a client of it, and one coroutine that uses them.
class Ollama : public testing::Test {
 protected:
  template <class Test>
  void play(Test test) {
    run_task(loop, run(std::move(test)));
  }
  template <class Test>
  Task<void> run(Test test) {
    auto settings = server.settings(ProviderKind::kOllama);
    settings.api_key = "KEY";
    const auto client = ProviderClient::make(loop, http, settings);
    EXPECT_TRUE(client);
    if (client) co_await test(*client);
    co_await server.stop();
  }

  Loop loop{"test"};
  ScriptedProvider server{loop};
  net::HttpClient http{loop, {}};
};

constexpr std::string_view kPs =
    R"({"models":[{"name":"a:1","size":700,"size_vram":500,"expires_at":"2026-11-23T10:00:00Z"}]})";

Task<void> expect_list(const ProviderClient& client) {
  const auto listed = co_await ollama::list(client, {});
  EXPECT_TRUE(listed);
  if (!listed) co_return;
  EXPECT_EQ(json::write(*listed),
            R"({"version":"0.11.4","models":[{"name":"a:1","size_bytes":400,"digest":"d","modified":"t","family":"f",)"
            R"("parameters":"8B","quantisation":"Q4_K_M","loaded":true,"memory_bytes":700,"gpu_bytes":500,)"
            R"("expires":"2026-11-23T10:00:00Z"},{"name":"b","size_bytes":0,"digest":null,"modified":null,)"
            R"("loaded":false}]})");
}

TEST_F(Ollama, ListsWhatItHasAndWhatIsInMemory) {
  server.answer("GET /api/version", R"({"version":"0.11.4"})");
  server.answer("GET /api/tags",
                R"({"models":[{"name":"b"},{"name":"a:1","size":400,"digest":"d","modified_at":"t","details":)"
                R"({"family":"f","parameter_size":"8B","quantization_level":"Q4_K_M"}},{"name":3},7]})");
  server.answer("GET /api/ps", std::string(kPs));
  play(expect_list);
  EXPECT_EQ(server.keys.front(), "Bearer KEY");
}

Task<void> expect_pull(const ProviderClient& client) {
  std::vector<std::string> heard;
  const auto hear = [&heard](ollama::PullProgress progress) -> Task<Result<void>> {
    heard.push_back(fmt::format("{} {}/{}", progress.status, progress.bytes_done, progress.bytes_total));
    co_return Result<void>();
  };
  EXPECT_TRUE(co_await ollama::pull(client, "a", hear, {}));
  EXPECT_EQ(heard, (std::vector<std::string>{"pulling manifest 0/0", "pulling abc 5/10", "success 0/0"}));
  const auto gone = co_await ollama::pull(client, "a", nullptr, {});
  EXPECT_EQ(gone.error().code, ErrorCode::kNotFound);
  const auto cut = co_await ollama::pull(client, "a", nullptr, {});
  EXPECT_EQ(cut.error().code, ErrorCode::kEngineFailed);
  const auto odd = co_await ollama::pull(client, "a", nullptr, {});
  EXPECT_EQ(odd.error().code, ErrorCode::kEngineFailed);
  const auto refuses = [](ollama::PullProgress) -> Task<Result<void>> { co_return fail(ErrorCode::kCancelled, "no"); };
  EXPECT_EQ((co_await ollama::pull(client, "a", refuses, {})).error().code, ErrorCode::kCancelled);
}

TEST_F(Ollama, ReportsAPullLineByLine) {
  server.answer("POST /api/pull",
                "{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling abc\",\"total\":10,\"completed\":5}\n\n"
                "{\"status\":\"success\"}");
  server.answer("POST /api/pull", R"({"error":"pull model manifest: file does not exist"})");
  server.answer("POST /api/pull", "{\"status\":\"pulling manifest\"}\n");
  server.answer("POST /api/pull", "<html>\n");
  server.answer("POST /api/pull", "{\"status\":\"success\"}\n");
  play(expect_pull);
  EXPECT_EQ(server.asked.front(), R"(POST /api/pull {"model":"a","stream":true})");
}

Task<void> expect_memory(const ProviderClient& client) {
  EXPECT_TRUE(co_await ollama::load(client, "a", json::Duration{3'600'000}, {}));
  EXPECT_TRUE(co_await ollama::load(client, "a", json::Duration{json::Duration::kNever}, {}));
  EXPECT_TRUE(co_await ollama::load(client, "a", std::nullopt, {}));
  EXPECT_TRUE(co_await ollama::unload(client, "a", {}));
  EXPECT_TRUE(co_await ollama::remove(client, "a", {}));
  EXPECT_EQ((co_await ollama::remove(client, "a", {})).error().code, ErrorCode::kNotFound);
}

TEST_F(Ollama, LoadsAndUnloadsByHowLongAModelStays) {
  server.answer("POST /api/generate", R"({"done":true,"done_reason":"load"})");
  server.answer("DELETE /api/delete", "");
  server.answer("DELETE /api/delete", R"({"error":"model 'a' not found"})", 404);
  play(expect_memory);
  EXPECT_EQ(server.asked,
            (std::vector<std::string>{R"(POST /api/generate {"model":"a","stream":false,"keep_alive":"3600000ms"})",
                                      R"(POST /api/generate {"model":"a","stream":false,"keep_alive":"-1s"})",
                                      R"(POST /api/generate {"model":"a","stream":false})",
                                      R"(POST /api/generate {"model":"a","stream":false,"keep_alive":"0s"})",
                                      R"(DELETE /api/delete {"model":"a"})", R"(DELETE /api/delete {"model":"a"})"}));
}

Task<void> expect_vectors(const ProviderClient& client) {
  EXPECT_TRUE(co_await ollama::unload(client, "e", {}));
}

TEST_F(Ollama, UnloadsAModelForVectorsByTheCallForVectors) {
  server.answer("POST /api/generate", R"({"error":"\"e\" does not support generate"})", 400);
  server.answer("POST /api/embed", R"({"model":"e","embeddings":[]})");
  play(expect_vectors);
  EXPECT_EQ(server.asked.back(), R"(POST /api/embed {"model":"e","input":[],"keep_alive":"0s"})");
}

TEST_F(Ollama, GivesItsMemoryBack) {
  server.answer("GET /api/ps",
                R"({"models":[{"name":"a","size":700},{"name":"kept","size":9},{"name":"b","size":30}]})");
  server.answer("GET /api/ps", R"({"models":[{"name":"kept","size":9},{"name":"b","size":30}]})");
  server.answer("GET /api/ps", R"({"models":[{"name":"kept","size":9}]})");
  server.answer("POST /api/generate", R"({"done":true,"done_reason":"unload"})");
  const auto test = [this](const ProviderClient& client) -> Task<void> {
    const auto freed = co_await ollama::unload_idle(loop, http, client.settings(), {"kept"}, {});
    EXPECT_EQ(freed, 730U);
  };
  play(test);
  EXPECT_EQ(std::ranges::count(server.asked, "GET /api/ps"), 3);
}

TEST_F(Ollama, HasNothingToGive) {
  server.answer("GET /api/ps", R"({"models":[]})");
  const auto test = [this](const ProviderClient& client) -> Task<void> {
    EXPECT_EQ(co_await ollama::unload_idle(loop, http, client.settings(), {}, {}), 0U);
  };
  play(test);
  EXPECT_EQ(server.asked.size(), 1U);
}

TEST(ProviderClient, SaysThatNobodyIsThere) {
  Loop loop{"test"};
  net::HttpClient http{loop, {}};
  ProviderSettings settings;
  settings.preset = ProviderKind::kOllama;
  const int fd = net::listen_tcp("127.0.0.1", 0).value();
  settings.base_url = fmt::format("http://127.0.0.1:{}/v1", net::local_port(fd));
  ::close(fd);
  const auto test = [&]() -> Task<void> {
    const auto client = ProviderClient::make(loop, http, settings);
    const auto answer = co_await client->ask({.target = "/api/version"}, {});
    EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
    EXPECT_TRUE(answer.error().message.starts_with("Ollama cannot be reached: ")) << answer.error().message;
  };
  run_task(loop, test());
}

// A server that takes the question and says nothing.
TEST(ProviderClient, DoesNotWaitForEver) {
  Loop loop{"test"};
  net::HttpClient http{loop, {}};
  const int fd = net::listen_tcp("127.0.0.1", 0).value();
  ProviderSettings settings;
  settings.base_url = fmt::format("http://127.0.0.1:{}/v1", net::local_port(fd));
  const auto test = [&]() -> Task<void> {
    const auto client = ProviderClient::make(loop, http, settings);
    const auto answer = co_await client->ask({.target = "/x", .most = std::chrono::milliseconds(1)}, {});
    EXPECT_EQ(answer.error().code, ErrorCode::kEngineTimeout);
  };
  run_task(loop, test());
  ::close(fd);
}

}  // namespace
}  // namespace llm::engines
