// The field tables of results.h.
#include "tools/results.h"

namespace llm {

using namespace tools;  // NOLINT: the tables below are this file's subject

namespace {

// A field of the common base in the table of T.
template <class T, class M>
json::Field<T> generation(std::string_view name, M GenerateOutput::* member, json::FieldOptions options) {
  return json::field<T, M>(name, member, options);
}

constexpr json::FieldOptions kModel{.description = "The model that answered.", .required = true};
constexpr json::FieldOptions kText{.description = "What it wrote.", .required = true};
constexpr json::FieldOptions kFinishReason{
    .description = "Why it ended: stop (done), length (max_tokens or the context is used up), tool_calls.",
    .required = true};
constexpr json::FieldOptions kUsage{.description = "Tokens read and written.", .required = true};

}  // namespace

const json::Table<Usage>& json::Fields<Usage>::table() {
  using T = Usage;
  static const Table<T> table{"usage",
                              {
                                  field("prompt_tokens", &T::prompt_tokens, {.required = true}),
                                  field("completion_tokens", &T::completion_tokens, {.required = true}),
                                  field("total_tokens", &T::total_tokens, {.required = true}),
                              }};
  return table;
}

const json::Table<GenerateOutput>& json::Fields<GenerateOutput>::table() {
  using T = GenerateOutput;
  static const Table<T> table{"generation",
                              {
                                  field("model", &T::model, kModel),
                                  field("text", &T::text, kText),
                                  field("finish_reason", &T::finish_reason, kFinishReason),
                                  field("usage", &T::usage, kUsage),
                              }};
  return table;
}

const json::Table<ChatOutput>& json::Fields<ChatOutput>::table() {
  using T = ChatOutput;
  static const Table<T> table{
      "answer",
      {
          generation<T>("model", &GenerateOutput::model, kModel),
          generation<T>("text", &GenerateOutput::text, kText),
          generation<T>("finish_reason", &GenerateOutput::finish_reason, kFinishReason),
          generation<T>("usage", &GenerateOutput::usage, kUsage),
          field(
              "tool_calls", &T::tool_calls,
              {.description = "Functions to run: {id, type, function: {name, arguments as JSON text}}. Send what they "
                              "return as tool messages."}),
          field("reasoning", &T::reasoning,
                {.description = "What it thought before it answered; not part of the answer."}),
          field("tool_calls_made", &T::tool_calls_made,
                {.description = "With use_tools: what the model ran, in order, and what came of it."}),
      }};
  return table;
}

const json::Table<EmbedUsage>& json::Fields<EmbedUsage>::table() {
  using T = EmbedUsage;
  static const Table<T> table{"usage",
                              {
                                  field("prompt_tokens", &T::prompt_tokens, {.required = true}),
                                  field("total_tokens", &T::total_tokens, {.required = true}),
                              }};
  return table;
}

const json::Table<EmbedOutput>& json::Fields<EmbedOutput>::table() {
  using T = EmbedOutput;
  static const Table<T> table{
      "embeddings",
      {
          field("model", &T::model, kModel),
          field("dimensions", &T::dimensions, {.description = "Length of each vector.", .required = true}),
          field("embeddings", &T::embeddings,
                {.description = "One vector for each text, in the order of the texts.", .required = true}),
          field("usage", &T::usage, {.description = "Tokens read.", .required = true}),
      }};
  return table;
}

const json::Table<RankedDocument>& json::Fields<RankedDocument>::table() {
  using T = RankedDocument;
  static const Table<T> table{
      "ranked document",
      {
          field("index", &T::index, {.description = "Place in the list of documents, from 0.", .required = true}),
          field("relevance_score", &T::relevance_score,
                {.description = "Higher is nearer to the query; comparable within one call only.", .required = true}),
      }};
  return table;
}

const json::Table<RerankOutput>& json::Fields<RerankOutput>::table() {
  using T = RerankOutput;
  static const Table<T> table{"ranking",
                              {
                                  field("model", &T::model, kModel),
                                  field("results", &T::results, {.description = "The best first.", .required = true}),
                                  field("usage", &T::usage, {.description = "Tokens read.", .required = true}),
                              }};
  return table;
}

const json::Table<TokenizeOutput>& json::Fields<TokenizeOutput>::table() {
  using T = TokenizeOutput;
  static const Table<T> table{
      "tokens",
      {
          field("model", &T::model, {.description = "Whose tokens they are.", .required = true}),
          field("count", &T::count, {.description = "How many tokens the text is.", .required = true}),
          field("tokens", &T::tokens, {.description = "Only if asked for."}),
      }};
  return table;
}

const json::Table<ModelEntry>& json::Fields<ModelEntry>::table() {
  using T = ModelEntry;
  static const Table<T> table{
      "model",
      {
          field("name", &T::name, {.description = "What to give as model.", .required = true}),
          field("version", &T::version, {}),
          field("state", &T::state, {.description = "ready when it is loaded; others are loaded when first used."}),
          field("mode", &T::mode, {.description = "What it can do: text generation, embedding or reranking."}),
          field("size", &T::size, {.description = "Bytes of the file."}),
          field("parameters", &T::parameters, {.description = "Number of weights."}),
          field("quantisation", &T::quantisation, {}),
          field("context_length", &T::context_length, {.description = "Most tokens of prompt and answer together."}),
          field("architecture", &T::architecture, {}),
          field("license", &T::license, {}),
          field("source", &T::source, {.description = "Where it came from."}),
          field("created", &T::created, {.description = "When it was installed (RFC 3339)."}),
          field("digest", &T::digest, {}),
          field("aliases", &T::aliases, {.description = "Other names of it."}),
          field("external", &T::external, {.description = "Served by another program that the gateway only reaches."}),
      }};
  return table;
}

const json::Table<ModelList>& json::Fields<ModelList>::table() {
  using T = ModelList;
  static const Table<T> table{
      "models",
      {
          field("models", &T::models, {.description = "The models there are.", .required = true}),
          field("aliases", &T::aliases, {.description = "Other names, and what each stands for.", .required = true}),
          field("default", &T::default_model, {.description = "What llm_chat takes when no model is named."}),
      }};
  return table;
}

const json::Table<ModelInfo>& json::Fields<ModelInfo>::table() {
  using T = ModelInfo;
  static const Table<T> table{
      "model info",
      {
          field("model", &T::model, {.description = "The entry of llm_list_models.", .required = true}),
          field("settings", &T::settings, {.description = "How it is loaded."}),
          field("estimate", &T::estimate, {.description = "Memory it is expected to need, in bytes."}),
          field("engine", &T::engine, {.description = "The process that runs it, if it is loaded."}),
          field("chat_template", &T::chat_template, {.description = "Only if asked for."}),
      }};
  return table;
}

const json::Table<LoadOutput>& json::Fields<LoadOutput>::table() {
  using T = LoadOutput;
  static const Table<T> table{
      "load",
      {
          field("model", &T::model, {.required = true}),
          field("state", &T::state, {.description = "ready: requests are answered at once.", .required = true}),
          field("seconds", &T::seconds, {.description = "How long it took."}),
          field("context", &T::context, {.description = "Most tokens of prompt and answer together."}),
          field("slots", &T::slots, {.description = "Requests it works on at once."}),
          field("memory_bytes", &T::memory_bytes, {}),
      }};
  return table;
}

const json::Table<UnloadOutput>& json::Fields<UnloadOutput>::table() {
  using T = UnloadOutput;
  static const Table<T> table{
      "unload", {field("model", &T::model, {.required = true}), field("state", &T::state, {.required = true})}};
  return table;
}

const json::Table<RemoveOutput>& json::Fields<RemoveOutput>::table() {
  using T = RemoveOutput;
  static const Table<T> table{"removal",
                              {
                                  field("model", &T::model, {.required = true}),
                                  field("removed", &T::removed, {.description = "Is it gone?", .required = true}),
                                  field("reason", &T::reason, {.description = "Why it is still there."}),
                              }};
  return table;
}

const json::Table<EngineEntry>& json::Fields<EngineEntry>::table() {
  using T = EngineEntry;
  static const Table<T> table{"engine",
                              {
                                  field("model", &T::model, {.required = true}),
                                  field("state", &T::state, {.required = true}),
                                  field("progress", &T::progress, {.description = "Of loading, 0 to 1."}),
                                  field("phase", &T::phase, {}),
                                  field("error", &T::error, {.description = "Why it failed."}),
                                  field("context", &T::context, {}),
                                  field("slots", &T::slots, {.description = "Requests it works on at once."}),
                                  field("in_flight", &T::in_flight, {.description = "Requests it works on now."}),
                                  field("memory_bytes", &T::memory_bytes, {}),
                                  field("restarts", &T::restarts, {}),
                                  field("idle_s", &T::idle_s, {.description = "Seconds since its last request."}),
                              }};
  return table;
}

const json::Table<EngineList>& json::Fields<EngineList>::table() {
  static const Table<EngineList> table{"engines", {field("engines", &EngineList::engines, {.required = true})}};
  return table;
}

const json::Table<MemoryStatus>& json::Fields<MemoryStatus>::table() {
  using T = MemoryStatus;
  static const Table<T> table{"memory", {field("total", &T::total, {}), field("available", &T::available, {})}};
  return table;
}

const json::Table<CpuStatus>& json::Fields<CpuStatus>::table() {
  using T = CpuStatus;
  static const Table<T> table{"cpu", {field("cores", &T::cores, {}), field("threads", &T::threads, {})}};
  return table;
}

const json::Table<StatusOutput>& json::Fields<StatusOutput>::table() {
  using T = StatusOutput;
  static const Table<T> table{
      "status",
      {
          field("status", &T::status, {.required = true}),
          field("version", &T::version, {.description = "Of the gateway.", .required = true}),
          field("uptime_s", &T::uptime_s, {.description = "Seconds since the gateway started."}),
          field("models", &T::models, {.description = "Installed models."}),
          field("engines_ready", &T::engines_ready, {.description = "Loaded models."}),
          field("requests_in_flight", &T::requests_in_flight, {}),
          field("memory", &T::memory, {.description = "Of the machine, in bytes."}),
          field("cpu", &T::cpu, {}),
          field("gpus", &T::gpus, {.required = true}),
          field("engines", &T::engines,
                {.description = "Models that are loaded, being loaded, or failed.", .required = true}),
      }};
  return table;
}

const json::Table<HelpOutput>& json::Fields<HelpOutput>::table() {
  using T = HelpOutput;
  static const Table<T> table{"help",
                              {
                                  field("topic", &T::topic, {.required = true}),
                                  field("text", &T::text, {.required = true}),
                                  field("topics", &T::topics, {.description = "What else there is.", .required = true}),
                              }};
  return table;
}

}  // namespace llm
