#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"
#include "tools/agent_loop.h"

// What the tools give back: the table of each struct is the tool's output schema and writes its structured content, so
// the two cannot differ. Members that the gateway did not tell are left out; nothing is ever null.
namespace llm::tools {

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t total_tokens = 0;
};

struct GenerateOutput {
  std::string model;
  std::string text;
  std::string finish_reason;
  Usage usage;
};

struct ChatOutput : GenerateOutput {
  std::optional<std::vector<json::object>> tool_calls;
  std::optional<std::string> reasoning;
  std::optional<std::vector<ToolCallMade>> tool_calls_made;  // with use_tools
};

struct EmbedUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t total_tokens = 0;
};

struct EmbedOutput {
  std::string model;
  std::int64_t dimensions = 0;
  std::vector<std::vector<double>> embeddings;
  EmbedUsage usage;
};

struct RankedDocument {
  std::int64_t index = 0;
  double relevance_score = 0;
};

struct RerankOutput {
  std::string model;
  std::vector<RankedDocument> results;
  EmbedUsage usage;
};

struct TokenizeOutput {
  std::string model;
  std::int64_t count = 0;
  std::optional<std::vector<std::int64_t>> tokens;
};

struct ModelEntry {
  std::string name;
  std::optional<std::string> version;
  std::optional<std::string> state;
  std::optional<std::string> mode;
  std::optional<std::int64_t> size;
  std::optional<std::int64_t> parameters;
  std::optional<std::string> quantisation;
  std::optional<std::int64_t> context_length;
  std::optional<std::string> architecture;
  std::optional<std::string> license;
  std::optional<std::string> source;
  std::optional<std::string> created;
  std::optional<std::string> digest;
  std::optional<std::vector<std::string>> aliases;
  std::optional<bool> external;
};

struct ModelList {
  std::vector<ModelEntry> models;
  std::map<std::string, std::string> aliases;
  std::optional<std::string> default_model;
};

struct ModelInfo {
  ModelEntry model;
  std::optional<json::object> settings;
  std::optional<json::object> estimate;
  std::optional<json::object> engine;
  std::optional<std::string> chat_template;
};

struct LoadOutput {
  std::string model;
  std::string state;
  std::optional<double> seconds;
  std::optional<std::int64_t> context;
  std::optional<std::int64_t> slots;
  std::optional<std::int64_t> memory_bytes;
};

struct UnloadOutput {
  std::string model;
  std::string state;
};

struct RemoveOutput {
  std::string model;
  bool removed = false;
  std::optional<std::string> reason;
};

struct EngineEntry {
  std::string model;
  std::string state;
  std::optional<double> progress;
  std::optional<std::string> phase;
  std::optional<std::string> error;
  std::optional<std::int64_t> context;
  std::optional<std::int64_t> slots;
  std::optional<std::int64_t> in_flight;
  std::optional<std::int64_t> memory_bytes;
  std::optional<std::int64_t> restarts;
  std::optional<double> idle_s;
};

struct EngineList {
  std::vector<EngineEntry> engines;
};

struct MemoryStatus {
  std::optional<std::int64_t> total;
  std::optional<std::int64_t> available;
};

struct CpuStatus {
  std::optional<double> cores;
  std::optional<std::int64_t> threads;
};

struct StatusOutput {
  std::string status;
  std::string version;
  std::optional<double> uptime_s;
  std::optional<std::int64_t> models;
  std::optional<std::int64_t> engines_ready;
  std::optional<std::int64_t> requests_in_flight;
  std::optional<MemoryStatus> memory;
  std::optional<CpuStatus> cpu;
  std::vector<json::object> gpus;
  std::vector<EngineEntry> engines;
};

struct HelpOutput {
  std::string topic;
  std::string text;
  std::vector<std::string> topics;
};

// From the gateway's answers. Members that are missing or of another type than ours stay unset.
GenerateOutput read_generation(const json::object& answer);
ChatOutput read_chat(const json::object& answer);
// A call of an answer in the OpenAI form, whether it is told in that form or in the gateway's own {id, name,
// arguments}.
json::object openai_call(const json::object& call);
EmbedOutput read_embeddings(const json::object& answer);
RerankOutput read_ranking(const json::object& answer);  // the best first
TokenizeOutput read_tokens(const json::object& answer);
ModelEntry read_model(const json::object& answer);
ModelList read_model_list(const json::object& answer);
ModelInfo read_model_info(const json::object& answer);
LoadOutput read_load(const json::object& answer);
UnloadOutput read_unload(const json::object& answer);
EngineList read_engines(const json::object& answer);
StatusOutput read_status(const json::object& status, const json::object& engines);

}  // namespace llm::tools

template <>
struct llm::json::Fields<llm::tools::Usage> {
  static const Table<tools::Usage>& table();
};
template <>
struct llm::json::Fields<llm::tools::GenerateOutput> {
  static const Table<tools::GenerateOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::ChatOutput> {
  static const Table<tools::ChatOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::EmbedUsage> {
  static const Table<tools::EmbedUsage>& table();
};
template <>
struct llm::json::Fields<llm::tools::EmbedOutput> {
  static const Table<tools::EmbedOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::ModelEntry> {
  static const Table<tools::ModelEntry>& table();
};
template <>
struct llm::json::Fields<llm::tools::ModelList> {
  static const Table<tools::ModelList>& table();
};
template <>
struct llm::json::Fields<llm::tools::ModelInfo> {
  static const Table<tools::ModelInfo>& table();
};
template <>
struct llm::json::Fields<llm::tools::LoadOutput> {
  static const Table<tools::LoadOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::UnloadOutput> {
  static const Table<tools::UnloadOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::EngineEntry> {
  static const Table<tools::EngineEntry>& table();
};
template <>
struct llm::json::Fields<llm::tools::MemoryStatus> {
  static const Table<tools::MemoryStatus>& table();
};
template <>
struct llm::json::Fields<llm::tools::CpuStatus> {
  static const Table<tools::CpuStatus>& table();
};
template <>
struct llm::json::Fields<llm::tools::StatusOutput> {
  static const Table<tools::StatusOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::RankedDocument> {
  static const Table<tools::RankedDocument>& table();
};
template <>
struct llm::json::Fields<llm::tools::RerankOutput> {
  static const Table<tools::RerankOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::TokenizeOutput> {
  static const Table<tools::TokenizeOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::RemoveOutput> {
  static const Table<tools::RemoveOutput>& table();
};
template <>
struct llm::json::Fields<llm::tools::EngineList> {
  static const Table<tools::EngineList>& table();
};
template <>
struct llm::json::Fields<llm::tools::HelpOutput> {
  static const Table<tools::HelpOutput>& table();
};
