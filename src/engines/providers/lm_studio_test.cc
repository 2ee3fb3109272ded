#include "engines/providers/lm_studio.h"

#include "engines/providers/scripted_provider.h"

namespace llm::engines {
namespace {

class LmStudio : public testing::Test {
 protected:
  template <class Test>
  void play(Test test) {
    run_task(loop, run(std::move(test)));
  }
  template <class Test>
  Task<void> run(Test test) {
    const auto client = ProviderClient::make(loop, http, server.settings(dialects::ProviderKind::kLmStudio));
    EXPECT_TRUE(client);
    if (client) co_await test(*client);
    co_await server.stop();
  }

  Loop loop{"test"};
  ScriptedProvider server{loop};
  net::HttpClient http{loop, {}};
};

constexpr std::string_view kModels =
    R"({"models":[{"type":"llm","key":"g","size_bytes":24,"params_string":"270M","quantization":{"name":"Q4_0"},)"
    R"("loaded_instances":[{"id":"g","config":{}},{"id":"g:2","config":{}}],"max_context_length":32768},)"
    R"({"type":"embedding","key":"n","size_bytes":7,"params_string":null,"loaded_instances":[],)"
    R"("max_context_length":2048}]})";
constexpr std::string_view kUnknown = R"j({"error":"Unexpected endpoint or method. (GET /x)"})j";

Task<void> expect_list(const ProviderClient& client) {
  const auto listed = co_await lm_studio::list(client, {});
  EXPECT_TRUE(listed);
  if (!listed) co_return;
  EXPECT_EQ(json::write(*listed),
            R"({"models":[{"name":"g","size_bytes":24,"type":"llm","context_length":32768,"loaded":true,)"
            R"("instances":["g","g:2"],"parameters":"270M","quantisation":"Q4_0"},{"name":"n","size_bytes":7,)"
            R"("type":"embedding","context_length":2048,"loaded":false,"instances":[]}]})");
}

TEST_F(LmStudio, ListsItsModels) {
  server.answer("GET /api/v1/models", std::string(kModels));
  play(expect_list);
}

Task<void> expect_old_list(const ProviderClient& client) {
  const auto listed = co_await lm_studio::list(client, {});
  EXPECT_TRUE(listed);
  if (!listed) co_return;
  EXPECT_EQ(json::write(*listed),
            R"({"models":[{"name":"q","type":"vlm","quantisation":"4bit","context_length":32768,"loaded":true,)"
            R"("instances":["q"]}]})");
  const auto loaded = co_await lm_studio::load(client, "q", 0, {});
  EXPECT_EQ(loaded.error().code, ErrorCode::kUnsupported);
}

TEST_F(LmStudio, AnOlderOneCanOnlyList) {
  server.answer("GET /api/v1/models", std::string(kUnknown));
  server.answer("GET /api/v0/models",
                R"({"object":"list","data":[{"id":"q","type":"vlm","quantization":"4bit","state":"loaded",)"
                R"("max_context_length":32768}]})");
  server.answer("POST /api/v1/models/load", std::string(kUnknown));
  play(expect_old_list);
}

Task<void> expect_memory(const ProviderClient& client) {
  const auto loaded = co_await lm_studio::load(client, "g", 4096, {});
  EXPECT_TRUE(loaded);
  if (loaded) {
    EXPECT_EQ(json::write(*loaded), R"({"instance":"g","seconds":1.5})");
  }
  const auto all = co_await lm_studio::unload(client, "g", {});
  EXPECT_TRUE(all);
  if (all) {
    EXPECT_EQ(json::write(*all), R"({"instances":["g","g:2"]})");
  }
  const auto one = co_await lm_studio::unload(client, "g:2", {});
  EXPECT_TRUE(one);
  if (one) {
    EXPECT_EQ(json::write(*one), R"({"instances":["g:2"]})");
  }
  EXPECT_EQ((co_await lm_studio::unload(client, "n", {})).error().code, ErrorCode::kNotFound);
}

TEST_F(LmStudio, LoadsAndUnloadsInstances) {
  server.answer("GET /api/v1/models", std::string(kModels));
  server.answer("POST /api/v1/models/load",
                R"({"type":"llm","instance_id":"g","load_time_seconds":1.5,"status":"loaded"})");
  server.answer("POST /api/v1/models/unload", R"({"instance_id":"g"})");
  play(expect_memory);
  EXPECT_EQ(server.asked.front(), R"(POST /api/v1/models/load {"model":"g","context_length":4096})");
  EXPECT_EQ(server.asked.back(), "GET /api/v1/models");
}

Task<void> expect_no_such_model(const ProviderClient& client) {
  const auto loaded = co_await lm_studio::load(client, "nosuch", 0, {});
  EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(loaded.error().pointer, "/model");
  EXPECT_EQ(loaded.error().message, "LM Studio: Model nosuch not found");
  EXPECT_EQ((co_await lm_studio::download(client, "nosuch", nullptr, {})).error().pointer, "/model");
}

TEST_F(LmStudio, AModelThatIsNotThereIsNoOldVersion) {
  const std::string answer = R"({"error":{"type":"invalid_request","message":"Model nosuch not found"}})";
  server.answer("POST /api/v1/models/load", answer, 404);
  server.answer("POST /api/v1/models/download", answer, 404);
  play(expect_no_such_model);
}

Task<void> expect_download(const ProviderClient& client) {
  std::vector<std::uint64_t> heard;
  const auto hear = [&heard](std::uint64_t done, std::uint64_t) -> Task<Result<void>> {
    heard.push_back(done);
    co_return Result<void>();
  };
  EXPECT_TRUE(co_await lm_studio::download(client, "a/b", hear, {}));
  EXPECT_EQ(heard, (std::vector<std::uint64_t>{5, 10}));
  EXPECT_TRUE(co_await lm_studio::download(client, "a/b", nullptr, {}));
  EXPECT_EQ((co_await lm_studio::download(client, "a/b", nullptr, {})).error().code, ErrorCode::kEngineFailed);
}

TEST_F(LmStudio, FollowsADownload) {
  server.answer("POST /api/v1/models/download",
                R"({"job_id":"job_1","status":"downloading","total_size_bytes":10,"downloaded_bytes":5})");
  server.answer("POST /api/v1/models/download", R"({"status":"already_downloaded"})");
  server.answer("POST /api/v1/models/download", R"({"job_id":"job_2","status":"failed"})");
  server.answer("GET /api/v1/models/download/status/job_1",
                R"({"job_id":"job_1","status":"completed","total_size_bytes":10,"downloaded_bytes":10})");
  play(expect_download);
}

}  // namespace
}  // namespace llm::engines
