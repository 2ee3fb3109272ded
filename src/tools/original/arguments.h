#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"

// The arguments of the Python original's tools: its names and its defaults. An operation uses those that fit it; the
// others are taken and left alone, as there.
namespace llm::tools::original {

struct HealthArguments {
  std::string operation;
  std::int64_t detail = 1;
  std::optional<std::string> tool_name;
  std::optional<std::string> query;
  std::optional<std::string> name;
  double since_minutes = 60;
  std::optional<json::value> tags;
  std::string logger_name;
  std::string level = "INFO";
  bool confirm = false;
};

struct ModelsArguments {
  std::string operation;
  std::optional<std::string> model_id;
  std::optional<std::string> provider;
  std::optional<std::string> name;
  std::optional<std::int64_t> context_length;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::string> description;
  std::optional<json::object> parameters;
  bool confirm = false;  // ours: for remove_model
};

struct GenerationArguments {
  std::string operation;
  std::optional<std::string> model;
  std::optional<std::string> prompt;
  std::optional<std::vector<json::object>> messages;
  double temperature = 0.7;
  std::optional<std::int64_t> max_tokens;
  double top_p = 1.0;
  bool stream = false;
  json::StringOrList text;
  double frequency_penalty = 0;
  double presence_penalty = 0;
  json::StringOrList stop;
};

struct MultimodalArguments {
  std::string operation;
  std::optional<std::string> image;
  std::optional<std::string> image1;
  std::optional<std::string> image2;
  std::optional<std::string> model_name;
  std::optional<std::string> prompt;
  std::optional<std::string> negative_prompt;
  std::int64_t width = 512;
  std::int64_t height = 512;
  std::int64_t num_inference_steps = 50;
  double guidance_scale = 7.5;
};

struct OllamaArguments {
  std::string operation;
  std::optional<std::string> model;
  std::optional<std::string> model_path;
  bool confirm = false;  // ours: for delete_model
};

struct LmStudioArguments {
  std::string operation;
  std::optional<std::string> model_path;
  std::optional<std::string> model_name;
  std::optional<std::string> device;
};

struct VllmArguments {
  std::string operation;
  std::optional<std::string> model_name;
  std::optional<json::object> model_config;
};

struct EngineArguments {
  std::string operation = "status";
  std::string engine = "all";
  std::optional<std::string> model;
};

struct GpuArguments {
  std::string operation;
  std::int64_t gpu_id = 0;
};

struct HuggingFaceArguments {
  std::string operation;
  std::optional<std::string> model_id;
  std::optional<std::string> dataset_id;
  std::optional<std::string> repo_id;
  std::string repo_type = "model";
  std::optional<std::string> local_path;
  std::optional<std::string> filename;
  std::optional<std::string> query;
  std::optional<std::string> author;
  std::optional<std::string> path_in_repo;
  std::optional<std::string> commit_message;
  std::optional<std::string> token;
};

struct HelpArguments {
  std::string operation = "help";
  std::optional<std::string> tool_name;
  std::optional<std::string> query;
  std::optional<std::string> topic;  // ours: of the llm_help that this one takes the place of
};

}  // namespace llm::tools::original

#define LLM_ORIGINAL_ARGUMENTS(T)                     \
  template <>                                         \
  struct llm::json::Fields<llm::tools::original::T> { \
    static const Table<tools::original::T>& table();  \
  }
LLM_ORIGINAL_ARGUMENTS(HealthArguments);
LLM_ORIGINAL_ARGUMENTS(ModelsArguments);
LLM_ORIGINAL_ARGUMENTS(GenerationArguments);
LLM_ORIGINAL_ARGUMENTS(MultimodalArguments);
LLM_ORIGINAL_ARGUMENTS(OllamaArguments);
LLM_ORIGINAL_ARGUMENTS(LmStudioArguments);
LLM_ORIGINAL_ARGUMENTS(VllmArguments);
LLM_ORIGINAL_ARGUMENTS(EngineArguments);
LLM_ORIGINAL_ARGUMENTS(GpuArguments);
LLM_ORIGINAL_ARGUMENTS(HuggingFaceArguments);
LLM_ORIGINAL_ARGUMENTS(HelpArguments);
#undef LLM_ORIGINAL_ARGUMENTS
