#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engines/provider_settings.h"
#include "inference/operations/operation.h"
#include "json/fields.h"

// What the operations on providers take and do.
namespace llm::inference {

struct ProviderQuery {
  std::string name;
};
struct ProviderListQuery {
  bool check = true;  // ask those on this machine how they are
};
struct ProviderHealthQuery {
  std::string name;  // empty: all
};
struct ProviderModelRequest {
  std::string name;
  std::string model;
  std::optional<json::Duration> keep_alive;  // load
  std::uint32_t context = 0;                 // load
};
struct DiscoverRequest {
  std::vector<std::uint16_t> ports;
  bool known = true;
  json::Duration timeout{2'000};
};

// provider_reports.cc
Task<Result<json::object>> list_providers(OperationContext context, json::object arguments);
Task<Result<json::object>> check_providers(OperationContext context, json::object arguments);
Task<Result<json::object>> discover_providers(OperationContext context, json::object arguments);
// provider_models.cc
Task<Result<json::object>> provider_models(OperationContext context, json::object arguments);
Task<Result<json::object>> pull_with_provider(OperationContext context, json::object arguments);
Task<Result<json::object>> load_with_provider(OperationContext context, json::object arguments);
Task<Result<json::object>> unload_with_provider(OperationContext context, json::object arguments);
Task<Result<json::object>> delete_with_provider(OperationContext context, json::object arguments);

// The provider of that name, or, if there is none of it, the only one of the kind with that name; kNotFound tells those
// there are. `pointer`: of the name.
struct NamedProvider {
  std::string name;
  engines::ProviderSettings settings;
};
Result<NamedProvider> find_provider(const Backend& backend, std::string_view name, std::string pointer = "/name");

// What provider.discover answers, without a gateway: {found: [{port, known, kind, title, version, wrong, wants_key,
// models, base_url, message, configuration}], ports: [asked]}. `configured`: providers by name, so that their entries
// are named and a new one gets a free name.
Task<Result<json::object>> discover(Loop& loop, DiscoverRequest request,
                                    std::map<std::string, engines::ProviderSettings> configured, CancelToken cancel);

}  // namespace llm::inference

#define LLM_PROVIDER_TABLE(T)                   \
  template <>                                   \
  struct llm::json::Fields<llm::inference::T> { \
    static const Table<inference::T>& table();  \
  }
LLM_PROVIDER_TABLE(ProviderQuery);
LLM_PROVIDER_TABLE(ProviderListQuery);
LLM_PROVIDER_TABLE(ProviderHealthQuery);
LLM_PROVIDER_TABLE(ProviderModelRequest);
LLM_PROVIDER_TABLE(DiscoverRequest);
#undef LLM_PROVIDER_TABLE
