#include "engines/llama_log.h"

#include <array>
#include <csignal>
#include <fmt/format.h>

namespace llm::engines {
namespace {

struct PhaseMark {
  std::string_view text;  // found in a log line
  std::string_view phase;
  double fraction;
};
constexpr auto kPhases = std::to_array<PhaseMark>({
    {"loading model '", "loading weights", 0.1},
    {"load_tensors", "loading weights", 0.4},
    {"llama_context", "allocating the KV cache", 0.7},
    {"threadpool init", "allocating the KV cache", 0.75},
    {"initializing, n_slots", "warming up", 0.85},
    {"model loaded", "warming up", 0.95},
});

struct Cause {
  std::string_view text;  // found in a log line
  ErrorCode code;
  std::string_view meaning;
  bool quote;  // append the log line itself
};
// The first row that fits any kept line counts: what says more stands before what merely follows from it. The lines are
// those of llama.cpp v0.5.0.
constexpr auto kCauses = std::to_array<Cause>({
    {"unknown model architecture", ErrorCode::kUnsupported,
     "the engine does not know this model's architecture; a newer engine may", true},
    {"failed to load multimodal model", ErrorCode::kInvalidArgument,
     "the file that --mmproj names is not a multimodal projector of this model", true},
    {"failed to load lora adapter '", ErrorCode::kInvalidArgument,
     "the file that --lora names is no adapter of this model", true},
    {"invalid magic characters", ErrorCode::kEngineFailed, "the model file is not a GGUF file", true},
    {"this GGUF file is version", ErrorCode::kEngineFailed, "the model file's version is unknown to the engine", true},
    {"failed to open GGUF file", ErrorCode::kEngineFailed, "the model file cannot be opened", true},
    {"cudaMalloc failed", ErrorCode::kInsufficientMemory,
     "GPU memory ran out; set fewer gpu_layers, a smaller context, or unload another model", false},
    {"insufficient memory", ErrorCode::kInsufficientMemory,
     "memory ran out; set a smaller context or fewer parallel slots, or unload another model", true},
    {"failed to allocate", ErrorCode::kInsufficientMemory,
     "memory ran out; set a smaller context or fewer parallel slots, or unload another model", true},
    {"unable to allocate", ErrorCode::kInsufficientMemory,
     "memory ran out; set a smaller context or fewer parallel slots, or unload another model", true},
    {"bad_alloc", ErrorCode::kInsufficientMemory, "memory ran out; set a smaller context", false},
    {"quantized V cache requires flash_attn", ErrorCode::kInvalidArgument,
     "cache_type_v needs flash_attention \"on\" or \"auto\"", true},
    {"error: invalid argument", ErrorCode::kInvalidArgument, "the engine refused an entry of extra_args", true},
    {"error while handling argument", ErrorCode::kInvalidArgument,
     "the engine refused a setting of the model or an entry of extra_args", true},
    {"error while handling environment variable", ErrorCode::kInvalidArgument, "the engine refused a setting", true},
    {"the supplied chat template is not supported", ErrorCode::kInvalidArgument,
     "chat_template is neither a template that parses nor the name of a built-in one", false},
    {"failed to initialize chat template", ErrorCode::kInvalidArgument, "the chat template does not parse", false},
    {"couldn't bind", ErrorCode::kEngineFailed, "the engine could not listen on its socket", true},
    {"error loading model", ErrorCode::kEngineFailed, "the model file is damaged or not supported", true},
    {"failed to load model", ErrorCode::kEngineFailed, "the model could not be loaded", false},
    {"GGML_ASSERT", ErrorCode::kEngineFailed, "the engine met an internal error", true},
});

// The line without llama.cpp's "0.01.234.567 E srv  " prefix.
std::string_view without_prefix(std::string_view line) {
  const auto colon = line.find(": ");
  if (!line.empty() && line.front() >= '0' && line.front() <= '9' && colon != std::string_view::npos && colon < 60) {
    return line.substr(colon + 2);
  }
  return line;
}

}  // namespace

void LlamaLog::add(std::string_view line) {
  lines_.emplace_back(line);
  if (lines_.size() > kKeep) lines_.pop_front();
  for (const auto& mark : kPhases) {
    if (mark.fraction > progress_.fraction && line.find(mark.text) != std::string_view::npos) {
      progress_ = {std::string(mark.phase), mark.fraction};
    }
  }
}

Error LlamaLog::explain(std::string_view model, std::optional<ExitStatus> exit, bool oom_killed) const {
  std::string how = "did not become ready";
  if (exit) how = exit->text();
  std::string message = fmt::format("the engine of model \"{}\" {}", model, how);
  if (exit && exit->kind == ExitStatus::Kind::kSignalled && exit->code == SIGKILL) {
    message += oom_killed
                   ? ": the system's memory ran out (out-of-memory kill). Set a smaller context or load a smaller model"
                   : ": somebody killed it, or the system's memory ran out";
    Error error{oom_killed ? ErrorCode::kInsufficientMemory : ErrorCode::kEngineFailed, message, {}, {}, 0};
    return error;
  }
  if (exit && exit->kind == ExitStatus::Kind::kSignalled &&
      (exit->code == SIGSEGV || exit->code == SIGILL || exit->code == SIGBUS)) {
    message +=
        exit->code == SIGILL ? ": the engine was built for another processor; build it again here" : ": it crashed";
  }
  for (const auto& cause : kCauses) {
    for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
      if (line->find(cause.text) == std::string::npos) continue;
      message += fmt::format(": {}", cause.meaning);
      if (cause.quote) message += fmt::format(" ({})", without_prefix(*line));
      return {cause.code, message, {}, {}, 0};
    }
  }
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
    if (line->find(" E ") == std::string::npos && !line->starts_with("error")) continue;
    return {ErrorCode::kEngineFailed, fmt::format("{}: {}", message, without_prefix(*line)), {}, {}, 0};
  }
  return {ErrorCode::kEngineFailed, message, {}, {}, 0};
}

}  // namespace llm::engines
