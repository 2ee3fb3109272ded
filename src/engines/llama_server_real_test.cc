// The driver with the real engine and a tiny model. Skipped where there is no llama-server or no Python to make one.
#include <fstream>
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>

#include "async/child_process.h"
#include "async/event.h"
#include "async/run_task.h"
#include "base/strings.h"
#include "engines/llama_server.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// LLM_MCP_LLAMA_SERVER, or what the build left in the user's cache.
fs::path find_llama_server() {
  if (const char* given = std::getenv("LLM_MCP_LLAMA_SERVER")) return given;
  const char* home = std::getenv("HOME");
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(home ? home : "/") / ".cache/llm-mcp-build", error)) {
    if (fs::exists(entry.path() / "llama-server")) return entry.path() / "llama-server";
  }
  return {};
}

// Runs a program to its end; its output by lines, empty if it failed.
Task<std::vector<std::string>> output_of(Loop& loop, std::vector<std::string> argv) {
  std::vector<std::string> lines;
  std::optional<ExitStatus> status;
  Event ended(loop.executor());
  const char* path = std::getenv("PATH");
  auto child = ChildProcess::start(
      loop.executor(), ChildSpec{std::move(argv), {{"PATH", path ? path : "/usr/bin:/bin"}}, "", true},
      [&](std::string_view line) { lines.emplace_back(line); },
      [&](ExitStatus exit) {
        status = exit;
        ended.notify();
      });
  if (!child) co_return std::vector<std::string>();
  while (!status) co_await ended.wait();
  if (!status->success()) lines.clear();
  if (status->success() && lines.empty()) lines.emplace_back();
  co_return lines;
}

class RealLlamaServer : public ::testing::Test {
 protected:
  void SetUp() override {
    program_ = find_llama_server();
    if (program_.empty()) GTEST_SKIP() << "no llama-server; build one or set LLM_MCP_LLAMA_SERVER";
    std::string pattern = (fs::temp_directory_path() / "llm-engine-XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
    fs::create_directory(dir_ / "run");
    const fs::path script = fs::path(LLM_TESTDATA).parent_path().parent_path().parent_path() / "tests/tiny_gguf.py";
    auto make = [&]() -> Task<void> {
      made_ = !(co_await output_of(loop_, {"python3", script.string(), model().string()})).empty();
    };
    run_task(loop_, make());
    if (!made_) GTEST_SKIP() << "no python3 to make a model";
  }
  void TearDown() override {
    if (!dir_.empty()) fs::remove_all(dir_);
  }

  fs::path model() const { return dir_ / "tiny.gguf"; }
  std::unique_ptr<Driver> driver(ModelSettings settings = {}, fs::path file = {}) {
    EngineSpec spec;
    spec.key = "tiny:latest";
    spec.model = "tiny";
    spec.file = file.empty() ? model() : file;
    spec.facts.context_length = 2048;
    spec.settings = std::move(settings);
    return make_llama_server(loop_, client_, {.program = program_, .socket_dir = dir_ / "run"}, std::move(spec));
  }
  bool left_nothing() const { return fs::is_empty(dir_ / "run"); }

  Loop loop_{"control"};
  net::HttpClient client_{loop_, net::ClientSettings{}};
  fs::path program_;
  fs::path dir_;
  bool made_ = false;
};

TEST_F(RealLlamaServer, StartsAnswersAndLeavesNothing) {
  auto body = [&]() -> Task<void> {
    ModelSettings settings;
    settings.parallel = 2;
    settings.threads = settings.threads_batch = 1;
    auto engine = driver(settings);
    std::vector<LoadProgress> progress;
    const auto info = co_await engine->start([&](LoadProgress step) { progress.push_back(step); },
                                             [](Error error) { ADD_FAILURE() << error.message; }, {});
    EXPECT_TRUE(info) << info.error().message;
    if (!info) co_return;
    EXPECT_EQ(info->context, 2048U);
    EXPECT_EQ(info->slots, 2U);
    EXPECT_EQ(info->threads, 1U);
    EXPECT_EQ(info->mode, EngineMode::kGeneration);
    EXPECT_EQ(info->supports_images, false);
    EXPECT_GT(engine->memory_bytes(), 1'000'000U);
    EXPECT_TRUE(std::ranges::is_sorted(progress, {}, &LoadProgress::fraction));
    EXPECT_FALSE(progress.empty());
    EXPECT_EQ(::kill(info->pid, 0), 0);
    EXPECT_FALSE(left_nothing());
    co_await engine->stop();
    EXPECT_EQ(::kill(info->pid, 0), -1);
    EXPECT_TRUE(left_nothing());
    EXPECT_EQ(engine->memory_bytes(), 0U);
  };
  run_task(loop_, body());
}

TEST_F(RealLlamaServer, ItsDestructionEndsTheProcess) {
  auto body = [&]() -> Task<void> {
    auto engine = driver();
    const auto info = co_await engine->start({}, {}, {});
    EXPECT_TRUE(info);
    engine.reset();
    if (info) EXPECT_EQ(::kill(info->pid, 0), -1);
    EXPECT_TRUE(left_nothing());
  };
  run_task(loop_, body());
}

TEST_F(RealLlamaServer, ACrashIsToldWithItsCause) {
  auto body = [&]() -> Task<void> {
    auto engine = driver();
    std::vector<Error> exits;
    Event told(loop_.executor());
    const auto info = co_await engine->start({},
                                             [&](Error error) {
                                               exits.push_back(std::move(error));
                                               told.notify();
                                             },
                                             {});
    EXPECT_TRUE(info);
    if (!info) co_return;
    ::kill(info->pid, SIGKILL);
    while (exits.empty()) co_await told.wait();
    EXPECT_EQ(exits.size(), 1U);
    EXPECT_EQ(exits[0].code, ErrorCode::kEngineFailed);
    EXPECT_THAT(exits[0].message, HasSubstr("signal 9"));
    co_await engine->stop();
    EXPECT_TRUE(left_nothing());
  };
  run_task(loop_, body());
}

TEST_F(RealLlamaServer, ADamagedFileIsAClearError) {
  auto body = [&]() -> Task<void> {
    fs::resize_file(model(), 100'000);
    auto engine = driver();
    const auto info = co_await engine->start({}, [](Error) { ADD_FAILURE() << "it never ran"; }, {});
    EXPECT_FALSE(info);
    EXPECT_EQ(info.error().code, ErrorCode::kEngineFailed);
    EXPECT_THAT(info.error().message, HasSubstr("exited with code 1"));
    EXPECT_THAT(info.error().message, HasSubstr("damaged"));
    EXPECT_TRUE(left_nothing());
  };
  run_task(loop_, body());
}

TEST_F(RealLlamaServer, AWrongArgumentIsNamed) {
  auto body = [&]() -> Task<void> {
    ModelSettings settings;
    settings.extra_args = {"--bogus-arg"};
    auto engine = driver(settings);
    const auto info = co_await engine->start({}, {}, {});
    EXPECT_FALSE(info);
    EXPECT_EQ(info.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(info.error().message, HasSubstr("--bogus-arg"));
  };
  run_task(loop_, body());
}

TEST_F(RealLlamaServer, ACancelledStartLeavesNothing) {
  auto body = [&]() -> Task<void> {
    auto engine = driver();
    CancelSource cancel;
    loop_.post([&] { cancel.cancel(); });
    const auto info = co_await engine->start({}, {}, cancel.token());
    EXPECT_FALSE(info);
    EXPECT_EQ(info.error().code, ErrorCode::kCancelled);
    EXPECT_TRUE(left_nothing());
  };
  run_task(loop_, body());
}

TEST_F(RealLlamaServer, AMissingProgramIsNamed) {
  program_ = "/nonexistent/llama-server";
  auto body = [&]() -> Task<void> {
    const auto info = co_await driver()->start({}, {}, {});
    EXPECT_FALSE(info);
    EXPECT_THAT(info.error().message, HasSubstr("/nonexistent/llama-server"));
  };
  run_task(loop_, body());
}

// The engine knows most options by several names, and a new version brings more: if one is refused, all of them are.
TEST_F(RealLlamaServer, AllNamesOfARefusedArgumentAreRefused) {
  auto body = [&]() -> Task<void> {
    const auto help = co_await output_of(loop_, {program_.string(), "--help"});
    EXPECT_GT(help.size(), 100U);
    for (const auto& line : help) {
      if (!line.starts_with('-') || line.starts_with("-----")) continue;
      std::vector<std::string> names;
      for (const auto word : split(line, ' ')) {
        if (word.empty()) continue;
        if (!word.starts_with('-')) break;
        names.emplace_back(word.ends_with(',') ? word.substr(0, word.size() - 1) : word);
      }
      const auto refused = [](const std::string& name) { return !check_extra_args({name}); };
      // "--no-…" switches off what "--…" switches on; one of the two may be harmless.
      std::erase_if(names,
                    [](const std::string& name) { return name.starts_with("--no-") || name.starts_with("-no"); });
      const auto count = std::ranges::count_if(names, refused);
      EXPECT_TRUE(count == 0 || count == static_cast<std::ptrdiff_t>(names.size())) << line;
      for (const std::string_view word : {"download", "SSL", "CORS", "API key"}) {
        if (line.find(word) != std::string::npos) EXPECT_GT(count, 0) << line;
      }
    }
  };
  run_task(loop_, body());
}

}  // namespace
}  // namespace llm::engines
