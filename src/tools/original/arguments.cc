#include "tools/original/arguments.h"

namespace llm {

using namespace tools::original;  // NOLINT: the tables below are this file's subject

namespace {

constexpr json::FieldOptions kOperation{.description = "What to do; see the tool's description.", .required = true};
constexpr json::FieldOptions kUnused{.description = "Taken as in the original; no operation here needs it."};

}  // namespace

const json::Table<HealthArguments>& json::Fields<HealthArguments>::table() {
  using T = HealthArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("detail", &T::detail,
                {.description = "list_tools: 1 names, 2 with descriptions.", .minimum = 0, .maximum = 10}),
          field("tool_name", &T::tool_name, {.description = "tool_help, tool_signature: which tool."}),
          field("query", &T::query, {.description = "search_tools: words to look for."}),
          field("name", &T::name,
                {.description = "hardware_requirements: which model; get_metrics: which number. Default: all."}),
          field("since_minutes", &T::since_minutes,
                {.description = "get_metric_stats: how far back.", .minimum = 0, .maximum = 1e9}),
          field("tags", &T::tags, kUnused),
          field("logger_name", &T::logger_name, {.description = "set_log_level: which logger."}),
          field("level", &T::level, {.description = "set_log_level: the level."}),
          field("confirm", &T::confirm, {.description = "shutdown: true, or nothing happens."}),
      }};
  return table;
}

const json::Table<ModelsArguments>& json::Fields<ModelsArguments>::table() {
  using T = ModelsArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("model_id", &T::model_id,
                {.description = "The model's name; for pull_model where it comes from, such as "
                                "hf:owner/repo:Q4_K_M."}),
          field("provider", &T::provider,
                {.description = "list_models: llama.cpp (this gateway's own), ollama, lmstudio, vllm or "
                                "external. Default: all."}),
          field("name", &T::name, {.description = "pull_model: what to call it here."}),
          field("context_length", &T::context_length, kUnused),
          field("max_tokens", &T::max_tokens, kUnused),
          field("description", &T::description, kUnused),
          field("parameters", &T::parameters, kUnused),
          field("confirm", &T::confirm,
                {.description = "remove_model: true, after the user has agreed. The file is deleted."}),
      }};
  return table;
}

const json::Table<GenerationArguments>& json::Fields<GenerationArguments>::table() {
  using T = GenerationArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("model", &T::model, {.description = "Model name or alias. Leave out for the default model."}),
          field("prompt", &T::prompt, {.description = "generate_text: what to say to the model."}),
          field("messages", &T::messages,
                {.description = "chat_completion: the conversation, oldest first: [{\"role\": \"user\", "
                                "\"content\": \"…\"}]."}),
          field("temperature", &T::temperature,
                {.description = "Randomness: 0 always takes the likeliest token.", .minimum = 0, .maximum = 100}),
          field("max_tokens", &T::max_tokens,
                {.description = "Most tokens to generate. Default: until the model ends.",
                 .minimum = 1,
                 .maximum = 1'000'000'000}),
          field("top_p", &T::top_p,
                {.description = "Only the likeliest tokens that together have this probability.",
                 .minimum = 0,
                 .maximum = 1}),
          field("stream", &T::stream,
                {.description = "Not needed: a client that asks for progress sees the text grow."}),
          field("text", &T::text,
                {.description = "embed_text: a text, or a list of texts; each gets one vector.", .max_items = 2048}),
          field("frequency_penalty", &T::frequency_penalty,
                {.description = "Above 0: tokens get less likely the more often they came.",
                 .minimum = -2,
                 .maximum = 2}),
          field("presence_penalty", &T::presence_penalty,
                {.description = "Above 0: tokens get less likely once they came.", .minimum = -2, .maximum = 2}),
          field("stop", &T::stop, {.description = "A text or texts at which generation ends.", .max_items = 64}),
      }};
  return table;
}

const json::Table<MultimodalArguments>& json::Fields<MultimodalArguments>::table() {
  using T = MultimodalArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("image", &T::image, {.description = "analyze_image: base64 or a data: URL."}),
          field("image1", &T::image1, {.description = "compare_images: the first, as base64 or a data: URL."}),
          field("image2", &T::image2, {.description = "compare_images: the second."}),
          field("model_name", &T::model_name, {.description = "A model with vision. Default: the default model."}),
          field("prompt", &T::prompt, {.description = "What to find out. Default: describe, or compare."}),
          field("negative_prompt", &T::negative_prompt, kUnused),
          field("width", &T::width, kUnused),
          field("height", &T::height, kUnused),
          field("num_inference_steps", &T::num_inference_steps, kUnused),
          field("guidance_scale", &T::guidance_scale, kUnused),
      }};
  return table;
}

const json::Table<OllamaArguments>& json::Fields<OllamaArguments>::table() {
  using T = OllamaArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("model", &T::model, {.description = "A model of Ollama."}),
          field("model_path", &T::model_path, kUnused),
          field("confirm", &T::confirm, {.description = "delete_model: true, after the user has agreed."}),
      }};
  return table;
}

const json::Table<LmStudioArguments>& json::Fields<LmStudioArguments>::table() {
  using T = LmStudioArguments;
  static const Table<T> table{"arguments",
                              {
                                  field("operation", &T::operation, kOperation),
                                  field("model_path", &T::model_path, {.description = "In place of model_name."}),
                                  field("model_name", &T::model_name, {.description = "A model of LM Studio."}),
                                  field("device", &T::device, kUnused),
                              }};
  return table;
}

const json::Table<VllmArguments>& json::Fields<VllmArguments>::table() {
  using T = VllmArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("model_name", &T::model_name, {.description = "An engine or its model. Default: the only one."}),
          field("model_config", &T::model_config, kUnused),
      }};
  return table;
}

const json::Table<EngineArguments>& json::Fields<EngineArguments>::table() {
  using T = EngineArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, {.description = kOperation.description}),
          field("engine", &T::engine,
                {.description = "all, llama.cpp, ollama, lmstudio or vllm. Each loaded model of llama.cpp has an "
                                "engine process of its own."}),
          field("model", &T::model,
                {.description = "Which model. start, load_model: the default model if left out; stop: all."}),
      }};
  return table;
}

const json::Table<GpuArguments>& json::Fields<GpuArguments>::table() {
  using T = GpuArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("gpu_id", &T::gpu_id, {.description = "Which GPU, from 0.", .minimum = 0, .maximum = 1023}),
      }};
  return table;
}

const json::Table<HuggingFaceArguments>& json::Fields<HuggingFaceArguments>::table() {
  using T = HuggingFaceArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, kOperation),
          field("model_id", &T::model_id, {.description = "owner/repo of a model."}),
          field("dataset_id", &T::dataset_id, kUnused),
          field("repo_id", &T::repo_id, {.description = "Where model_id is meant: owner/repo."}),
          field("repo_type", &T::repo_type, kUnused),
          field("local_path", &T::local_path, kUnused),
          field("filename", &T::filename,
                {.description = "download_model: a GGUF file of the repository, or a quantisation such as Q4_K_M."}),
          field("query", &T::query, {.description = "search_…: words to look for."}),
          field("author", &T::author, {.description = "Only of this user or organisation."}),
          field("path_in_repo", &T::path_in_repo, kUnused),
          field("commit_message", &T::commit_message, kUnused),
          field("token", &T::token,
                {.description = "Not taken here: the hub's token is the setting models.hub_token.", .secret = true}),
      }};
  return table;
}

const json::Table<HelpArguments>& json::Fields<HelpArguments>::table() {
  using T = HelpArguments;
  static const Table<T> table{
      "arguments",
      {
          field("operation", &T::operation, {.description = kOperation.description}),
          field("tool_name", &T::tool_name, {.description = "tool_help: which tool."}),
          field("query", &T::query, {.description = "search_tools: words to look for."}),
          field("topic", &T::topic,
                {.description = "help: overview, models, chat, structured_output, vectors, errors or resources."}),
      }};
  return table;
}

}  // namespace llm
