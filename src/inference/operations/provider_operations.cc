// The rows of the operations on providers, and the tables of their arguments.
#include <array>

#include "inference/operations/provider_calls.h"

namespace llm {

using inference::DiscoverRequest;
using inference::ProviderHealthQuery;
using inference::ProviderListQuery;
using inference::ProviderModelRequest;
using inference::ProviderQuery;
using json::field;

namespace {
constexpr std::string_view kName = "Entry of the configuration, or the kind if there is one of it only.";
}

const json::Table<ProviderQuery>& json::Fields<ProviderQuery>::table() {
  using R = ProviderQuery;
  static const Table<R> table{"provider query",
                              {field("name", &R::name, {.description = kName, .required = true, .min_length = 1})}};
  return table;
}

const json::Table<ProviderListQuery>& json::Fields<ProviderListQuery>::table() {
  using R = ProviderListQuery;
  static const Table<R> table{
      "provider query",
      {field("check", &R::check,
             {.description = "Ask those on this machine how they are. Others are asked by the health query only."})}};
  return table;
}

const json::Table<ProviderHealthQuery>& json::Fields<ProviderHealthQuery>::table() {
  using R = ProviderHealthQuery;
  static const Table<R> table{"provider query", {field("name", &R::name, {.description = kName})}};
  return table;
}

const json::Table<ProviderModelRequest>& json::Fields<ProviderModelRequest>::table() {
  using R = ProviderModelRequest;
  static const Table<R> table{
      "provider request",
      {
          field("name", &R::name, {.description = kName, .required = true, .min_length = 1}),
          field("model", &R::model,
                {.description = "As the provider calls it.", .required = true, .min_length = 1, .max_length = 512}),
          field("keep_alive", &R::keep_alive,
                {.description = "load: how long it stays after a request; -1 for ever. Default: as the provider is set "
                                "up here, else as it is set up itself.",
                 .minimum = -1}),
          field("context", &R::context, {.description = "load: tokens of context (LM Studio); 0: its own default."}),
      }};
  return table;
}

const json::Table<DiscoverRequest>& json::Fields<DiscoverRequest>::table() {
  using R = DiscoverRequest;
  static const Table<R> table{
      "discovery",
      {
          field("ports", &R::ports,
                {.description = "More ports of this machine to ask.", .minimum = 1, .maximum = 65535, .max_items = 64}),
          field("known", &R::known, {.description = "Ask the usual ports of the servers we know."}),
          field("timeout", &R::timeout, {.description = "For one port.", .minimum = 50, .maximum = 30'000}),
      }};
  return table;
}

namespace inference {

std::span<const OperationRow> provider_operations() {
  using enum access::Permission;
  static constexpr auto kRows = std::to_array<OperationRow>({
      {"provider.list", "GET", "/api/v1/providers", kEnginesRead, false,
       "the servers that somebody else runs: where they are, and how those on this machine are", list_providers},
      {"provider.health", "GET", "/api/v1/providers/health", kEnginesRead, false, "ask every provider how it is",
       check_providers},
      {"provider.discover", "POST", "/api/v1/providers/discover", kAdmin, false,
       "what servers run on this machine, and how to configure them", discover_providers},
      {"provider.models", "GET", "/api/v1/providers/{name}/models", kModelsRead, false,
       "models that a provider has, and which are in its memory", provider_models},
      {"provider.pull", "POST", "/api/v1/providers/{name}/pull", kModelsWrite, true,
       "let Ollama or LM Studio download a model", pull_with_provider},
      {"provider.load", "POST", "/api/v1/providers/{name}/load", kModelsWrite, true,
       "let Ollama or LM Studio load a model into memory", load_with_provider},
      {"provider.unload", "POST", "/api/v1/providers/{name}/unload", kModelsWrite, false,
       "let Ollama or LM Studio free a model's memory", unload_with_provider},
      {"provider.delete", "POST", "/api/v1/providers/{name}/delete", kAdmin, false, "let Ollama delete a model",
       delete_with_provider},
      // The original's paths.
      {"gateway.providers", "GET", "/v1/gateway/providers", kEnginesRead, false, "the same as /api/v1/providers",
       list_providers},
      {"gateway.providers_health", "GET", "/v1/gateway/providers/health", kEnginesRead, false,
       "the same as /api/v1/providers/health", check_providers},
  });
  return kRows;
}

}  // namespace inference
}  // namespace llm
