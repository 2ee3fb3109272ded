#include "tools/results.h"

#include <algorithm>
#include <utility>

namespace llm::tools {
namespace {

// Takes over what fits, field by field: one member of a newer gateway that we read differently must not cost the rest.
template <class T>
T read_known(const json::object& answer) {
  T out;
  for (const json::FieldBase& field : json::Fields<T>::table().fields()) {
    const json::value* member = json::find(answer, field.name);
    if (member == nullptr || member->is_null()) continue;
    T attempt;
    const json::DecodeOptions options{.unknown = json::Unknown::kIgnore, .null_is_absent = true};
    const json::FieldOptions anything;
    if (!field.type->decode(*member, field.in(&attempt), anything, json::Path(""), options)) continue;
    (void)field.type->decode(*member, field.in(&out), anything, json::Path(""), options);
  }
  return out;
}

const json::object* object_in(const json::object& document, std::string_view name) {
  const json::value* member = json::find(document, name);
  return member != nullptr ? member->if_object() : nullptr;
}

// The objects of the list called `name`, each handed to `visit`.
template <class Visit>
void each_object(const json::object& document, std::string_view name, Visit visit) {
  const json::value* member = json::find(document, name);
  if (member == nullptr || !member->is_array()) return;
  for (const json::value& item : member->get_array()) {
    if (item.is_object()) visit(item.get_object());
  }
}

template <class T>
T read_part(const json::object& document, std::string_view name) {
  const json::object* part = object_in(document, name);
  return part != nullptr ? read_known<T>(*part) : T{};
}

void read_generation_into(const json::object& answer, GenerateOutput& out) {
  out.model = json::string_or(answer, "model");
  out.text = json::string_or(answer, "text");
  out.finish_reason = json::string_or(answer, "finish_reason", "stop");
  out.usage = read_part<Usage>(answer, "usage");
}

EngineEntry read_engine(const json::object& answer) {
  auto out = read_known<EngineEntry>(answer);
  // The error may be told as text or as an error object.
  if (const auto* error = object_in(answer, "error")) out.error = json::string_or(*error, "message");
  return out;
}

}  // namespace

json::object openai_call(const json::object& call) {
  if (object_in(call, "function") != nullptr) return call;
  return {{"id", json::string_or(call, "id")},
          {"type", "function"},
          {"function",
           json::object{{"name", json::string_or(call, "name")}, {"arguments", json::string_or(call, "arguments")}}}};
}

GenerateOutput read_generation(const json::object& answer) {
  GenerateOutput out;
  read_generation_into(answer, out);
  return out;
}

ChatOutput read_chat(const json::object& answer) {
  ChatOutput out;
  read_generation_into(answer, out);
  std::vector<json::object> calls;
  each_object(answer, "tool_calls", [&calls](const json::object& call) { calls.push_back(openai_call(call)); });
  if (!calls.empty()) out.tool_calls = std::move(calls);
  if (const auto reasoning = json::string_or(answer, "reasoning"); !reasoning.empty()) out.reasoning = reasoning;
  return out;
}

EmbedOutput read_embeddings(const json::object& answer) {
  EmbedOutput out;
  out.model = json::string_or(answer, "model");
  each_object(answer, "data", [&out](const json::object& item) {
    auto& vector = out.embeddings.emplace_back();
    const json::value* numbers = json::find(item, "embedding");
    if (numbers == nullptr || !numbers->is_array()) return;
    vector.reserve(numbers->get_array().size());
    for (const json::value& number : numbers->get_array()) {
      boost::system::error_code not_a_number;
      vector.push_back(number.to_number<double>(not_a_number));
    }
  });
  if (!out.embeddings.empty()) out.dimensions = static_cast<std::int64_t>(out.embeddings.front().size());
  out.usage = read_part<EmbedUsage>(answer, "usage");
  return out;
}

RerankOutput read_ranking(const json::object& answer) {
  RerankOutput out;
  out.model = json::string_or(answer, "model");
  each_object(answer, "results", [&out](const json::object& item) {
    out.results.push_back({json::int_or(item, "index"), json::number_or(item, "relevance_score")});
  });
  std::ranges::sort(out.results, {}, [](const auto& one) { return std::pair(-one.relevance_score, one.index); });
  out.usage = read_part<EmbedUsage>(answer, "usage");
  return out;
}

TokenizeOutput read_tokens(const json::object& answer) {
  return read_known<TokenizeOutput>(answer);
}

ModelEntry read_model(const json::object& answer) {
  return read_known<ModelEntry>(answer);
}

ModelList read_model_list(const json::object& answer) {
  ModelList out;
  if (const auto chosen = json::string_or(answer, "default"); !chosen.empty()) out.default_model = chosen;
  each_object(answer, "models", [&out](const json::object& model) { out.models.push_back(read_model(model)); });
  if (const auto* aliases = object_in(answer, "aliases")) {
    for (const auto& alias : *aliases) {
      if (const auto* target = alias.value().if_string()) out.aliases.emplace(alias.key(), *target);
    }
  }
  return out;
}

ModelInfo read_model_info(const json::object& answer) {
  auto out = read_known<ModelInfo>(answer);
  out.model = read_model(answer);
  return out;
}

LoadOutput read_load(const json::object& answer) {
  return read_known<LoadOutput>(answer);
}

UnloadOutput read_unload(const json::object& answer) {
  return read_known<UnloadOutput>(answer);
}

EngineList read_engines(const json::object& answer) {
  EngineList out;
  each_object(answer, "engines", [&out](const json::object& engine) { out.engines.push_back(read_engine(engine)); });
  return out;
}

StatusOutput read_status(const json::object& status, const json::object& engines) {
  StatusOutput out = read_known<StatusOutput>(status);
  out.engines = read_engines(engines).engines;
  return out;
}

}  // namespace llm::tools
