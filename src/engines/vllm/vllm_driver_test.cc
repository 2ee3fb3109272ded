#include "engines/vllm/vllm_driver.h"

#include <csignal>
#include <gmock/gmock.h>

#include "engines/vllm/vllm_under_test.h"

namespace llm::engines {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = EngineCommand::Kind;

class VllmDriverTest : public ::testing::Test {
 protected:
  VllmDriverTest() {
    spec.key = spec.model = spec.name = "big";
    spec.vllm.emplace();
    spec.vllm->model = "acme/big";
    spec.vllm->container.image = "vllm/vllm-openai:v0.10.1";
    launches.outcome->endpoint = server.endpoint;
    settings.adapters = &adapters;
    settings.work_timeout = settings.probe_timeout;
  }
  ~VllmDriverTest() override {
    driver.reset();
    run_task(loop, server.stop());
  }

  Result<EngineInfo> start(CancelToken cancel = {}) {
    std::unique_ptr<Launcher> launcher;
    if (spec.vllm->runtime != VllmRuntime::kRemote) launcher = std::make_unique<ScriptedLauncher>(launches);
    driver = make_vllm_driver(loop, client, settings, spec, std::move(launcher));
    Result<EngineInfo> out = fail(ErrorCode::kInternal, "not run");
    run_task(loop, start_into(out, cancel));
    return out;
  }
  Task<void> start_into(Result<EngineInfo>& out, CancelToken cancel) {
    out = co_await driver->start([this](LoadProgress one) { progress.push_back(one); },
                                 [this](Error error) { exits.push_back(std::move(error)); }, cancel);
  }
  Result<json::object> command(Kind kind, json::object arguments = {}) {
    Result<json::object> out;
    run_task(loop, command_into(out, {.kind = kind, .arguments = std::move(arguments)}));
    return out;
  }
  Task<void> command_into(Result<json::object>& out, EngineCommand command) {
    out = co_await driver->command(std::move(command), {});
  }
  void stop() { run_task(loop, driver->stop()); }

  Loop loop{"test"};
  net::HttpClient client{loop, {}};
  ScriptedVllm server{loop};
  Launches launches;
  VllmAdapters adapters;
  VllmDriverSettings settings;
  EngineSpec spec;
  std::vector<LoadProgress> progress;
  std::vector<Error> exits;
  std::unique_ptr<Driver> driver;
};

TEST_F(VllmDriverTest, IsReadyAfterARealRequest) {
  spec.vllm->max_num_seqs = 8;
  spec.vllm->stall_timeout = {7'000};
  launches.outcome->pid = 77;
  launches.log = {"(EngineCore_0 pid=9) INFO 08-20 14:01:02 [weight_utils.py:296] Using model weights format [x]",
                  "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:00<00:00,  2.06it/s]"};
  const auto info = start();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->kind, dialects::ProviderKind::kVllm);
  EXPECT_EQ(info->upstream_model, "big");
  EXPECT_EQ(info->context, 4096U);
  EXPECT_EQ(info->slots, 8U);
  EXPECT_EQ(info->capacity, 8U);
  EXPECT_EQ(info->version, "0.10.1");
  EXPECT_EQ(info->mode, EngineMode::kGeneration);
  EXPECT_EQ(info->endpoint.base_path, "/v1");
  EXPECT_EQ(info->pid, 77);
  EXPECT_EQ(info->stall_timeout, std::chrono::seconds(7));
  EXPECT_EQ(info->supports_tools, std::optional(false)) << "no parser is set";
  EXPECT_FALSE(info->can_sleep);
  EXPECT_FALSE(info->external);
  EXPECT_EQ(info->api_key.size(), 32U) << "made up";
  EXPECT_EQ(launches.plan.environment.at("VLLM_API_KEY"), info->api_key);
  EXPECT_EQ(server.authorization, "Bearer " + info->api_key);
  EXPECT_THAT(server.posts, ElementsAre("/v1/completions"));
  std::vector<std::string> phases;
  for (const auto& one : progress) phases.push_back(one.phase);
  EXPECT_THAT(phases,
              ElementsAre("starting", "downloading weights", "loading weights 2/4 shards", "starting to serve"));
  EXPECT_EQ(driver->memory_bytes(), 1234U);
  stop();
  EXPECT_EQ(launches.stops, 1);
  EXPECT_FALSE(launches.kept);
  EXPECT_THAT(exits, IsEmpty());
}

TEST_F(VllmDriverTest, TheSecondStartHasAnEstimate) {
  launches.log = {"INFO Using model weights format [x]"};
  ASSERT_TRUE(start());
  stop();
  progress.clear();
  ASSERT_TRUE(start());
  ASSERT_FALSE(progress.empty());
  EXPECT_THAT(progress.back().phase, HasSubstr("starting to serve (about "));
  stop();
}

TEST_F(VllmDriverTest, EmbeddingModelsAreFoundOut) {
  server.answers["/v1/completions"] = {400, R"({"error":{"message":"The model does not support Completions API"}})"};
  server.answers["/v1/embeddings"] = {200, "{}"};
  server.list({"/v1/completions", "/v1/embeddings", "/v1/rerank"});
  const auto info = start();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->mode, EngineMode::kEmbedding);
}

TEST_F(VllmDriverTest, AModelThatServesNothingIsAFailure) {
  server.answers["/v1/completions"] = {500, R"({"error":{"message":"EngineCore encountered an issue"}})"};
  const auto info = start();
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kEngineFailed);
  EXPECT_THAT(info.error().message, HasSubstr("EngineCore encountered an issue"));
  EXPECT_EQ(launches.stops, 1) << "nothing is left behind";
}

TEST_F(VllmDriverTest, ACrashDuringTheStartHasItsCause) {
  server.answers["/health"] = {503, ""};
  launches.on_launch = [this] {
    launches.events.on_line("ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.");
    launches.events.on_exit({.status = 1});
  };
  const auto info = start();
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(info.error().message, HasSubstr("Tried to allocate 2.00 GiB"));
  EXPECT_THAT(exits, IsEmpty()) << "start() tells it";
  EXPECT_EQ(launches.stops, 1);
}

TEST_F(VllmDriverTest, ACrashAfterTheStartIsTold) {
  launches.log = {"RuntimeError: Found no NVIDIA driver on your system."};
  ASSERT_TRUE(start());
  launches.events.on_exit({.status = {}, .signal = SIGKILL, .out_of_memory = true});
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(exits[0].message, HasSubstr("out-of-memory kill"));
  EXPECT_THAT(exits[0].message, Not(HasSubstr("driver is missing"))) << "a line of the start";
  const auto asked = command(Kind::kMetrics);
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ErrorCode::kUnavailable);
  stop();
}

TEST_F(VllmDriverTest, TheStartHasADeadline) {
  server.answers["/health"] = {503, ""};
  spec.vllm->start_timeout = {50};
  const auto info = start();
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kEngineTimeout);
  EXPECT_THAT(info.error().message, HasSubstr("start_timeout"));
  EXPECT_EQ(launches.stops, 1);
}

TEST_F(VllmDriverTest, TheStartCanBeCancelled) {
  server.answers["/health"] = {503, ""};
  CancelSource cancel;
  launches.on_launch = [&cancel] { cancel.cancel(); };
  const auto info = start(cancel.token());
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(launches.stops, 1);
}

TEST_F(VllmDriverTest, AnImagePullIsProgressToo) {
  launches.on_launch = [this] {
    launches.events.on_progress({"pulling image", 0.5});
    launches.events.on_line("INFO Using model weights format [x]");
  };
  ASSERT_TRUE(start());
  double before = 0;
  for (const auto& one : progress) {
    EXPECT_GE(one.fraction, before) << one.phase;
    before = one.fraction;
  }
  EXPECT_EQ(progress[1].phase, "pulling image");
}

TEST_F(VllmDriverTest, LeftRunningOnlyIfWanted) {
  spec.vllm->keep_running = true;
  ASSERT_TRUE(start());
  EXPECT_TRUE(driver->keeps_running());
  stop();
  EXPECT_TRUE(launches.kept);
}

TEST_F(VllmDriverTest, SomebodyElsesEngineIsOnlyWatched) {
  spec.vllm->runtime = VllmRuntime::kRemote;
  spec.vllm->base_url = "http://127.0.0.1:" + std::to_string(server.endpoint.port) + "/v1";
  spec.vllm->api_key = "secret";
  const auto info = start();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_TRUE(info->external);
  EXPECT_FALSE(info->leaves_machine);
  EXPECT_EQ(info->endpoint.base_path, "/v1");
  EXPECT_EQ(server.authorization, "Bearer secret");
  EXPECT_EQ(info->supports_tools, std::nullopt);
  stop();
  server.answers["/health"] = {503, ""};
  const auto sick = start();
  ASSERT_FALSE(sick);
  EXPECT_EQ(sick.error().code, ErrorCode::kUnavailable);
}

TEST_F(VllmDriverTest, SleepAndWakeAreOnlyWhereOffered) {
  ASSERT_TRUE(start());
  const auto refused = command(Kind::kSleep);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("sleep_mode: true"));
  EXPECT_FALSE(command(Kind::kWake));
}

class SleepyVllmTest : public VllmDriverTest {
 protected:
  SleepyVllmTest() {
    spec.vllm->sleep_mode = true;
    server.list({"/v1/completions", "/sleep", "/wake_up", "/is_sleeping", "/collective_rpc", "/reset_prefix_cache"});
    server.acts["/is_sleeping"] = [this](const std::string&) {
      return ScriptedVllm::Answer{200, asleep > 0 ? R"({"is_sleeping":true})" : R"({"is_sleeping":false})"};
    };
    for (const char* level : {"1", "2"}) {
      server.acts[std::string("/sleep?level=") + level] = [this](const std::string&) {
        asleep = 2;
        return ScriptedVllm::Answer{};
      };
    }
    server.acts["/wake_up"] = [this](const std::string&) {
      asleep = 0;
      return ScriptedVllm::Answer{};
    };
    for (const char* tag : {"weights", "kv_cache"}) {
      server.acts[std::string("/wake_up?tags=") + tag] = [this](const std::string&) {
        --asleep;
        return ScriptedVllm::Answer{};
      };
    }
    server.answers["/collective_rpc"] = {200, R"({"results":[null]})"};
    server.answers["/reset_prefix_cache"] = {};
  }
  int asleep = 0;
};

TEST_F(SleepyVllmTest, LevelOne) {
  const auto info = start();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_TRUE(info->can_sleep);
  server.posts.clear();
  ASSERT_TRUE(command(Kind::kSleep));
  ASSERT_TRUE(command(Kind::kWake));
  EXPECT_THAT(server.posts, ElementsAre("/sleep?level=1", "/wake_up"));
}

TEST_F(SleepyVllmTest, LevelTwoReadsTheWeightsAgain) {
  ASSERT_TRUE(start());
  server.posts.clear();
  ASSERT_TRUE(command(Kind::kSleep, {{"level", 2}}));
  ASSERT_TRUE(command(Kind::kWake));
  EXPECT_THAT(server.posts, ElementsAre("/sleep?level=2", "/wake_up?tags=weights", "/collective_rpc",
                                        "/wake_up?tags=kv_cache", "/reset_prefix_cache"));
  EXPECT_EQ(command(Kind::kSleep, {{"level", 3}}).error().pointer, "/level");
}

TEST_F(SleepyVllmTest, LevelTwoIsRefusedWhereItCouldNotWake) {
  server.list({"/v1/completions", "/sleep", "/wake_up", "/is_sleeping"});
  ASSERT_TRUE(start());
  const auto refused = command(Kind::kSleep, {{"level", 2}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused.error().pointer, "/level");
  EXPECT_TRUE(command(Kind::kSleep, {{"level", 1}}));
}

TEST_F(SleepyVllmTest, AnAdoptedOneIsWoken) {
  asleep = 2;
  launches.outcome->adopted = true;
  ASSERT_TRUE(start());
  EXPECT_EQ(asleep, 0);
  EXPECT_THAT(server.posts, Contains("/collective_rpc")) << "nobody knows how deep it slept";
}

TEST_F(SleepyVllmTest, ARefusalIsToldInTheEnginesWords) {
  ASSERT_TRUE(start());
  server.acts["/sleep?level=1"] = [](const std::string&) {
    return ScriptedVllm::Answer{500, R"({"error":{"message":"Sleep mode is not enabled."}})"};
  };
  const auto refused = command(Kind::kSleep);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kEngineFailed);
  EXPECT_THAT(refused.error().message, HasSubstr("Sleep mode is not enabled."));
}

TEST_F(VllmDriverTest, AdaptersComeAndGo) {
  spec.vllm->enable_lora = true;
  spec.vllm->lora_modules = {{"first", "/lora/first"}};
  server.list({"/v1/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"});
  const std::string one = R"({"data":[{"id":"big","parent":null},{"id":"first","root":"/lora/first","parent":"big"}]})";
  const std::string two = R"({"data":[{"id":"big","parent":null},{"id":"first","root":"/lora/first","parent":"big"},
                                      {"id":"sql","root":"/lora/sql","parent":"big"}]})";
  server.answers["/v1/models"] = {200, one};
  ASSERT_TRUE(start());
  EXPECT_TRUE(adapters.has("big", "first"));
  const auto before = adapters.version();

  std::string sent;
  server.acts["/v1/load_lora_adapter"] = [&](const std::string& body) {
    sent = body;
    server.answers["/v1/models"].body = two;
    return ScriptedVllm::Answer{200, "Success: LoRA adapter 'sql' added successfully."};
  };
  const auto loaded = command(Kind::kLoadAdapter, {{"name", "sql"}, {"path", "/lora/sql"}});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(sent, R"({"lora_name":"sql","lora_path":"/lora/sql"})");
  EXPECT_EQ(loaded->at("adapters").as_array().size(), 2U);
  EXPECT_TRUE(adapters.has("big", "sql"));
  EXPECT_GT(adapters.version(), before);

  server.acts["/v1/load_lora_adapter"] = [](const std::string&) {
    return ScriptedVllm::Answer{400, R"({"error":{"message":"The lora adapter 'sql' has already been loaded."}})"};
  };
  EXPECT_EQ(command(Kind::kLoadAdapter, {{"name", "sql"}, {"path", "/lora/sql"}}).error().code,
            ErrorCode::kAlreadyExists);
  server.acts["/v1/load_lora_adapter"] = [](const std::string&) {
    return ScriptedVllm::Answer{404, R"({"object":"error","message":"No adapter found for /x","code":404})"};
  };
  EXPECT_EQ(command(Kind::kLoadAdapter, {{"name", "x"}, {"path", "/x"}}).error().pointer, "/path");

  server.acts["/v1/unload_lora_adapter"] = [&](const std::string&) {
    server.answers["/v1/models"].body = one;
    return ScriptedVllm::Answer{200, "Success"};
  };
  ASSERT_TRUE(command(Kind::kUnloadAdapter, {{"name", "sql"}}));
  EXPECT_FALSE(adapters.has("big", "sql"));
  server.acts["/v1/unload_lora_adapter"] = [](const std::string&) { return ScriptedVllm::Answer{404, "{}"}; };
  EXPECT_EQ(command(Kind::kUnloadAdapter, {{"name", "sql"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(command(Kind::kUnloadAdapter, {{"name", "../x"}}).error().pointer, "/name");
  EXPECT_EQ(command(Kind::kLoadAdapter, {{"name", "x"}, {"path", "a\nb"}}).error().pointer, "/path");
  stop();
  EXPECT_TRUE(adapters.has("big", "first")) << "what the configuration loads stays a model";
}

TEST_F(VllmDriverTest, ServerInfoKeepsTheEnvironmentToItself) {
  server.list({"/v1/completions", "/server_info", "/load"});
  server.answers["/server_info"] = {200, R"({"vllm_config":"model='x'","vllm_env":{"VLLM_API_KEY":"s3cret"}})"};
  server.answers["/load"] = {200, R"({"server_load":3})"};
  ASSERT_TRUE(start());
  const auto info = command(Kind::kServerInfo);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->at("server_load"), 3);
  EXPECT_EQ(info->at("config"), "model='x'");
  EXPECT_THAT(json::write(*info), Not(HasSubstr("s3cret")));
}

}  // namespace
}  // namespace llm::engines
