#include "engines/llama_log.h"

#include <csignal>
#include <gmock/gmock.h>

namespace llm::engines {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LlamaLog log_of(const std::vector<std::string>& lines) {
  LlamaLog log;
  for (const auto& line : lines) log.add(line);
  return log;
}

constexpr ExitStatus kFailed{ExitStatus::Kind::kExited, 1};

// A start as llama-server v0.5.0 reports it.
TEST(LlamaLog, FollowsALoad) {
  LlamaLog log;
  EXPECT_EQ(log.progress(), (LoadProgress{"starting", 0.02}));
  log.add("0.00.000.319 I srv  llama_server: initializing ...");
  log.add("0.00.002.636 I srv  init_listene: The UI is disabled");
  EXPECT_EQ(log.progress(), (LoadProgress{"starting", 0.02}));
  log.add("0.00.004.343 I srv    load_model: loading model 'tiny.gguf'");
  EXPECT_EQ(log.progress(), (LoadProgress{"loading weights", 0.1}));
  log.add("0.00.009.911 W llama_context: n_ctx_seq (8192) > n_ctx_train (2048) -- possible training context overflow");
  EXPECT_EQ(log.progress(), (LoadProgress{"allocating the KV cache", 0.7}));
  log.add("0.00.008.122 I cmn          init: llama threadpool init, n_threads = 2");
  log.add("0.00.015.535 I srv    load_model: initializing, n_slots = 2, n_ctx_slot = 1024, kv_unified = 'false'");
  EXPECT_EQ(log.progress(), (LoadProgress{"warming up", 0.85}));
  log.add("0.00.017.431 I srv  llama_server: model loaded");
  EXPECT_EQ(log.progress(), (LoadProgress{"warming up", 0.95}));
  log.add("0.00.004.343 I srv    load_model: loading model 'tiny.gguf'");
  EXPECT_EQ(log.progress().fraction, 0.95) << "never backwards";
}

TEST(LlamaLog, KeepsTheLastLinesOnly) {
  LlamaLog log;
  for (int i = 0; i < 1000; ++i) log.add("line " + std::to_string(i));
  const auto lines = log.last_lines();
  EXPECT_EQ(lines.size(), 200U);
  EXPECT_EQ(lines.back(), "line 999");
}

struct CauseRow {
  std::string name;
  std::vector<std::string> lines;  // as the real engine wrote them
  ErrorCode code;
  std::string says;
};

class LlamaLogCause : public ::testing::TestWithParam<CauseRow> {};

TEST_P(LlamaLogCause, IsExplained) {
  const Error error = log_of(GetParam().lines).explain("m", kFailed, false);
  EXPECT_EQ(error.code, GetParam().code);
  EXPECT_THAT(error.message, HasSubstr("the engine of model \"m\" exited with code 1: "));
  EXPECT_THAT(error.message, HasSubstr(GetParam().says));
  EXPECT_THAT(error.message, Not(HasSubstr("0.00.")));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, LlamaLogCause,
    ::testing::Values(
        CauseRow{
            "CutFile",
            {"0.00.004.378 E llama_model_load: error loading model: tensor 'blk.0.attn_k.weight' data is not within "
             "the file bounds, model is corrupted or incomplete",
             "0.00.004.382 E llama_model_load_from_file_impl: failed to load model",
             "0.00.004.470 E srv    load_model: failed to load model, 'cut.gguf'",
             "0.00.004.997 E srv  llama_server: exiting due to model loading error"},
            ErrorCode::kEngineFailed,
            "damaged or not supported (error loading model: tensor 'blk.0.attn_k.weight'"},
        CauseRow{"NoGguf",
                 {"0.00.003.119 E gguf_init_from_reader: invalid magic characters: 'not ', expected 'GGUF'",
                  "0.00.003.212 E llama_model_load: error loading model: llama_model_loader: failed to load model"},
                 ErrorCode::kEngineFailed,
                 "not a GGUF file"},
        CauseRow{
            "NewerVersion",
            {"0.00.004.644 E gguf_init_from_reader: this GGUF file is version 99 but this software only supports up "
             "to version 3",
             "0.00.004.664 E gguf_init_from_reader: failed to read header"},
            ErrorCode::kEngineFailed,
            "version 99"},
        CauseRow{"Architecture",
                 {"0.00.004.439 E llama_model_load: error loading model: unknown model architecture: 'qqqqq'",
                  "0.00.004.442 E llama_model_load_from_file_impl: failed to load model"},
                 ErrorCode::kUnsupported,
                 "'qqqqq'"},
        CauseRow{"MissingFile",
                 {"0.00.005.048 E gguf_init_from_file: failed to open GGUF file 'missing.gguf' (No such file or "
                  "directory)",
                  "0.00.005.163 E llama_model_load: error loading model: llama_model_loader: failed to load model"},
                 ErrorCode::kEngineFailed,
                 "cannot be opened"},
        CauseRow{"Projector",
                 {"0.00.018.103 E gguf_init_from_reader: invalid magic characters: 'not ', expected 'GGUF'",
                  "0.00.018.161 E srv    load_model: failed to load multimodal model, 'junk.gguf'"},
                 ErrorCode::kInvalidArgument,
                 "--mmproj"},
        CauseRow{"Adapter",
                 {"0.00.017.246 E gguf_init_from_reader: invalid magic characters: 'not ', expected 'GGUF'",
                  "0.00.017.385 E cmn  common_init_: failed to load lora adapter 'junk.gguf'"},
                 ErrorCode::kInvalidArgument,
                 "--lora"},
        CauseRow{
            "CpuMemory",
            {"0.03.453.377 E ggml_aligned_malloc: insufficient memory (attempted to allocate 3907.26 MB)",
             "0.03.453.469 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 4097060896",
             "0.03.611.515 E llama_init_from_model: failed to initialize the context: failed to allocate compute pp "
             "buffers"},
            ErrorCode::kInsufficientMemory,
            "3907.26 MB"},
        CauseRow{"GpuMemory",
                 {"0.01.000.000 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: "
                  "cudaMalloc failed: out of memory",
                  "0.01.000.100 E alloc_tensor_range: failed to allocate CUDA0 buffer of size 9437184000"},
                 ErrorCode::kInsufficientMemory,
                 "gpu_layers"},
        CauseRow{"Buffer",
                 {"0.01.000.100 E llama_model_load: error loading model: unable to allocate CPU buffer"},
                 ErrorCode::kInsufficientMemory,
                 "unload another model"},
        CauseRow{"BadAlloc",
                 {"terminate called after throwing an instance of 'std::bad_alloc'"},
                 ErrorCode::kInsufficientMemory,
                 "smaller context"},
        CauseRow{"QuantizedCache",
                 {"0.00.008.926 E llama_init_from_model: quantized V cache requires flash_attn to be enabled",
                  "0.00.008.963 E cmn  common_init_: failed to create context with model 'tiny.gguf'"},
                 ErrorCode::kInvalidArgument,
                 "cache_type_v"},
        CauseRow{"Argument", {"error: invalid argument: --bogus-arg"}, ErrorCode::kInvalidArgument, "--bogus-arg"},
        CauseRow{"ArgumentValue",
                 {"error while handling argument \"--top-k\": stoi", "",
                  "usage:", "--top-k N                               top-k sampling (default: 40, 0 = disabled)"},
                 ErrorCode::kInvalidArgument,
                 "\"--top-k\": stoi"},
        CauseRow{"Template",
                 {"error: the supplied chat template is not supported: {% for x %}",
                  "0.00.006.405 E common_chat_templates_init: error: Expected 'in'",
                  "0.00.006.405 E common_chat_templates_init: failed to initialize chat template"},
                 ErrorCode::kInvalidArgument,
                 "chat_template"},
        CauseRow{"ModelsTemplate",
                 {"0.00.006.405 E common_chat_templates_init: failed to initialize chat template"},
                 ErrorCode::kInvalidArgument,
                 "does not parse"},
        CauseRow{
            "Socket",
            {"0.00.004.054 E srv         start: couldn't bind HTTP server socket, hostname: /run/x.sock, port: 8080",
             "0.00.004.205 E srv  llama_server: exiting due to HTTP server error"},
            ErrorCode::kEngineFailed,
            "/run/x.sock"},
        CauseRow{"Assertion",
                 {"ggml.c:1234: GGML_ASSERT(a->ne[2] == b->ne[0]) failed"},
                 ErrorCode::kEngineFailed,
                 "a->ne[2]"},
        CauseRow{
            "LastError",
            {"0.00.004.054 E srv  something: went wrong", "0.00.004.205 E srv  llama_server: in a way nobody knows",
             "0.00.004.300 I srv  llama_server: cleaning up"},
            ErrorCode::kEngineFailed,
            "in a way nobody knows"}),
    [](const auto& row) { return row.param.name; });

TEST(LlamaLog, ASilentEndIsToldAsItIs) {
  EXPECT_EQ(log_of({}).explain("m", kFailed, false).message, "the engine of model \"m\" exited with code 1");
  EXPECT_THAT(log_of({}).explain("m", std::nullopt, false).message, HasSubstr("did not become ready"));
}

TEST(LlamaLog, KillsAreToldApart) {
  constexpr ExitStatus kKilled{ExitStatus::Kind::kSignalled, SIGKILL};
  const Error killed = log_of({}).explain("m", kKilled, false);
  EXPECT_EQ(killed.code, ErrorCode::kEngineFailed);
  EXPECT_THAT(killed.message, HasSubstr("somebody killed it"));
  const Error oom = log_of({}).explain("m", kKilled, true);
  EXPECT_EQ(oom.code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(oom.message, HasSubstr("smaller context"));
  EXPECT_THAT(log_of({}).explain("m", ExitStatus{ExitStatus::Kind::kSignalled, SIGSEGV}, false).message,
              HasSubstr("it crashed"));
  EXPECT_THAT(log_of({}).explain("m", ExitStatus{ExitStatus::Kind::kSignalled, SIGILL}, false).message,
              HasSubstr("another processor"));
}

}  // namespace
}  // namespace llm::engines
