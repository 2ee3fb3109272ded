// Driver and process launcher together, with a stand-in for vLLM that speaks as old and new versions do.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <stdlib.h>

#include "async/run_task.h"
#include "engines/vllm/vllm_driver.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = EngineCommand::Kind;

class VllmProcessTest : public ::testing::TestWithParam<const char*> {
 protected:
  VllmProcessTest() {
    std::string pattern = (fs::temp_directory_path() / "vllmXXXXXX").string();
    folder = mkdtemp(pattern.data());
    const fs::path program = folder / "vllm";
    std::ofstream(program) << "#!/bin/sh\nexec python3 '" << LLM_TESTDATA "/../../../tests/vllm_standin.py"
                           << "' \"$@\"\n";
    fs::permissions(program, fs::perms::owner_all);
    spec.key = spec.model = spec.name = "big";
    spec.vllm.emplace();
    spec.vllm->runtime = VllmRuntime::kProcess;
    spec.vllm->model = "acme/big";
    spec.vllm->process.program = program.string();
    spec.vllm->environment = {{"VLLM_STANDIN_VERSION", GetParam()}, {"VLLM_STANDIN_CORE", "1"}};
    settings.environment = process_environment();
    settings.adapters = &adapters;
  }
  ~VllmProcessTest() override {
    driver.reset();
    fs::remove_all(folder);
  }

  Result<EngineInfo> start() {
    driver = make_vllm_driver(loop, client, settings, spec);
    Result<EngineInfo> out;
    run_task(loop, start_into(out));
    return out;
  }
  Task<void> start_into(Result<EngineInfo>& out) {
    out = co_await driver->start([this](LoadProgress one) { phases.push_back(one.phase); }, [](Error) {}, {});
  }
  Result<json::object> command(Kind kind, json::object arguments = {}) {
    Result<json::object> out;
    run_task(loop, command_into(out, {.kind = kind, .arguments = std::move(arguments)}));
    return out;
  }
  Task<void> command_into(Result<json::object>& out, EngineCommand command) {
    out = co_await driver->command(std::move(command), {});
  }

  Loop loop{"test"};
  net::HttpClient client{loop, {}};
  VllmAdapters adapters;
  VllmDriverSettings settings;
  EngineSpec spec;
  fs::path folder;
  std::vector<std::string> phases;
  std::unique_ptr<Driver> driver;
};
INSTANTIATE_TEST_SUITE_P(Versions, VllmProcessTest, ::testing::Values("0.10.1", "0.33.0"),
                         [](const auto& info) { return info.index == 0 ? "old" : "newest"; });

TEST_P(VllmProcessTest, LivesItsWholeLife) {
  spec.vllm->sleep_mode = true;
  spec.vllm->enable_lora = true;
  const auto info = start();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->version, GetParam());
  EXPECT_TRUE(info->can_sleep);
  EXPECT_GT(info->pid, 0);
  EXPECT_GT(driver->memory_bytes(), 0U);
  EXPECT_THAT(phases, Contains("loading weights 2/4 shards"));
  EXPECT_THAT(phases, Contains(HasSubstr("capturing CUDA graphs ")));
  EXPECT_THAT(driver->last_log_lines(), Contains(HasSubstr("Application startup complete")));

  for (const int level : {1, 2}) {
    ASSERT_TRUE(command(Kind::kSleep, {{"level", level}}));
    EXPECT_EQ(command(Kind::kServerInfo)->at("sleeping"), true);
    const auto awake = command(Kind::kWake);
    ASSERT_TRUE(awake) << awake.error().message;
    EXPECT_EQ(command(Kind::kServerInfo)->at("sleeping"), false);
  }

  ASSERT_TRUE(command(Kind::kLoadAdapter, {{"name", "sql"}, {"path", folder.string()}}));
  EXPECT_TRUE(adapters.has("big", "sql"));
  EXPECT_EQ(command(Kind::kLoadAdapter, {{"name", "sql"}, {"path", folder.string()}}).error().code,
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(command(Kind::kLoadAdapter, {{"name", "x"}, {"path", "/nowhere"}}).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(command(Kind::kUnloadAdapter, {{"name", "sql"}}));
  EXPECT_EQ(command(Kind::kUnloadAdapter, {{"name", "sql"}}).error().code, ErrorCode::kNotFound);

  const auto metrics = command(Kind::kMetrics);
  ASSERT_TRUE(metrics) << metrics.error().message;
  EXPECT_EQ(metrics->at("generation_tokens"), 1.0);
  EXPECT_TRUE(metrics->contains("inter_token_latency_seconds_sum"));
  run_task(loop, driver->stop());
  EXPECT_EQ(driver->memory_bytes(), 0U);
}

TEST_P(VllmProcessTest, FailuresHaveTheirCauses) {
  const std::pair<const char*, const char*> causes[] = {
      {"oom", "gpu_memory_utilization"},  {"kv_cache", "lower max_model_len"},
      {"no_gpu", "sees no GPU"},          {"gated", "accept its licence"},
      {"arch", "NovelForCausalLM"},       {"port", "port is taken"},
      {"shm", "container.shared_memory"}, {"kill9", "signal 9"}};
  for (const auto& [name, part] : causes) {
    spec.vllm->environment["VLLM_STANDIN_FAIL"] = name;
    const auto info = start();
    ASSERT_FALSE(info) << name;
    EXPECT_THAT(info.error().message, HasSubstr(part));
  }
}

TEST_P(VllmProcessTest, AnUnknownOptionIsNamed) {
  spec.vllm->extra_args = {"--frobnicate", "3"};
  const auto info = start();
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(info.error().message, HasSubstr("--frobnicate 3"));
}

}  // namespace
}  // namespace llm::engines
