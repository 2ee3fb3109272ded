// /v1/models in OpenAI's shape.
#include "api/handlers.h"
#include "inference/model_rights.h"
#include "router/catalogue.h"

namespace llm::api::openai {
namespace {

// Seconds since 1970 from an RFC 3339 text; 0 if it is none.
std::int64_t unix_seconds(const std::string& text) {
  std::tm fields{};
  return strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &fields) ? static_cast<std::int64_t>(timegm(&fields)) : 0;
}

json::object model_json(std::string_view id, const router::CatalogueEntry& entry) {
  return {{"id", id},
          {"object", "model"},
          {"created", unix_seconds(entry.manifest.created)},
          {"owned_by", entry.external.empty() ? "local" : entry.external}};
}

}  // namespace

Task<Result<void>> list_models(Call& call) {
  auto snapshot = co_await call.services.backend.catalogue.list(true);
  if (!snapshot) co_return fail(snapshot.error());
  const auto seen = [&](std::string_view name, const router::CatalogueEntry& entry) {
    return inference::check_model_right(call.principal, access::Permission::kModelsRead, name, entry.name).has_value();
  };
  json::array data;
  for (const auto& entry : (*snapshot)->entries) {
    const auto& name = entry->spec->model;
    if (seen(name, *entry)) data.push_back(model_json(name, *entry));
  }
  for (const auto& [alias, target] : (*snapshot)->aliases) {
    const auto& entry = *(*snapshot)->by_name.find(target)->second;
    if (seen(alias, entry)) data.push_back(model_json(alias, entry));
  }
  const json::object answer{{"object", "list"}, {"data", std::move(data)}};
  co_return co_await call.exchange.respond(200, "application/json", json::write(answer));
}

Task<Result<void>> get_model(Call& call) {
  auto entry = co_await call.services.backend.catalogue.resolve(call.name);
  const std::string_view found = entry ? std::string_view((*entry)->name) : std::string_view();
  if (auto may = inference::check_model_right(call.principal, access::Permission::kModelsRead, call.name, found);
      !may) {
    co_return may;
  }
  if (!entry) co_return fail(entry.error());
  co_return co_await call.exchange.respond(200, "application/json", json::write(model_json(call.name, **entry)));
}

}  // namespace llm::api::openai
