#include "tools/resources.h"

#include <utility>

#include "tools/model_names.h"
#include "tools/results.h"

namespace llm::tools {
namespace {

using access::Permission;

constexpr std::string_view kJson = "application/json";

using Contents = Result<mcp::ResourceContents>;
// Reads one kind of resource; `name` is the template's variable, if there is one.
using Body = Task<Contents> (*)(SharedApi api, std::string uri, std::string name);

mcp::ResourceContents json_contents(std::string uri, const json::object& document) {
  return {.parts = {{.uri = std::move(uri), .mime_type = std::string(kJson), .data = json::write(document)}}};
}

Task<Contents> read_models(SharedApi api, std::string uri, std::string) {
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  co_return json_contents(std::move(uri), json::encode(read_model_list(*answer)));
}

Task<Contents> read_card(SharedApi api, std::string uri, std::string name) {
  auto answer = co_await api->model_info(std::move(name));
  if (!answer) co_return fail(std::move(answer.error()));
  co_return json_contents(std::move(uri), json::encode(read_model_info(*answer)));
}

Task<Contents> read_engine_list(SharedApi api, std::string uri, std::string) {
  auto answer = co_await api->engines();
  if (!answer) co_return fail(std::move(answer.error()));
  co_return json_contents(std::move(uri), json::encode(read_engines(*answer)));
}

Task<Contents> read_state(SharedApi api, std::string uri, std::string) {
  auto status = co_await api->status();
  if (!status) co_return fail(std::move(status.error()));
  auto engines = co_await api->engines();
  if (!engines) co_return fail(std::move(engines.error()));
  co_return json_contents(std::move(uri), json::encode(read_status(*status, *engines)));
}

Task<Contents> read_log(SharedApi api, std::string uri, std::string name) {
  auto answer = co_await api->engine_logs(std::move(name));
  if (!answer) co_return fail(std::move(answer.error()));
  std::string text;
  if (const auto* lines = json::find(*answer, "lines"); lines != nullptr && lines->is_array()) {
    for (const auto& line : lines->get_array()) {
      if (const auto* words = line.if_string()) text.append(*words).append("\n");
    }
  }
  co_return mcp::ResourceContents{
      .parts = {{.uri = std::move(uri), .mime_type = "text/plain", .data = std::move(text)}}};
}

// `variable`: of the template; empty if the URI is fixed.
mcp::ResourceReader reader(const ToolContext& context, Body body, std::string_view variable = {}) {
  return [api = context.api, body, variable](mcp::ResourceRead read) {
    std::string name;
    if (const auto found = read.variables.find(variable); found != read.variables.end()) name = found->second;
    return body(api(read), std::move(read.uri), std::move(name));
  };
}

Task<Result<std::vector<mcp::Resource>>> list_cards(SharedApi api) {
  std::vector<mcp::Resource> listed;
  auto answer = co_await api->list_models();
  if (!answer) co_return fail(std::move(answer.error()));
  for (const auto& model : read_model_list(*answer).models) {
    mcp::Resource resource;
    resource.uri = model_uri(model.name);
    resource.name = model.name;
    resource.title = model.name;
    resource.description = "Card of the model " + model.name;
    if (model.mode) resource.description += ", for " + *model.mode;
    resource.mime_type = kJson;
    resource.icons = icons(Picture::kModel);
    listed.push_back(std::move(resource));
  }
  co_return listed;
}

// Who may not use a model does not hear of it either.
auto about(Permission permission, std::string_view variable) {
  return [permission, variable](const access::Principal& caller, const mcp::UriVariables& variables) {
    const auto model = variables.find(variable);
    return model != variables.end() && caller.may(permission, model->second);
  };
}

mcp::Resource fixed(std::string_view uri, std::string_view name, std::string_view title, std::string_view description,
                    Picture picture, Permission permission) {
  return {.uri = std::string(uri),
          .name = std::string(name),
          .title = std::string(title),
          .description = std::string(description),
          .mime_type = std::string(kJson),
          .icons = icons(picture),
          .permission = permission};
}

}  // namespace

Result<void> add_resources(mcp::Server& server, const ToolContext& context) {
  auto& registry = server.resources();
  Result<void> added =
      registry.add(fixed(kModelsUri, "models", "Local models", "The installed models and which are loaded.",
                         Picture::kModel, Permission::kModelsRead),
                   reader(context, read_models));
  if (added) {
    added = registry.add(fixed(kEnginesUri, "engines", "Engines", "The processes that run models, and what they do.",
                               Picture::kStatus, Permission::kEnginesRead),
                         reader(context, read_engine_list));
  }
  if (added) {
    added = registry.add(
        fixed(kStatusUri, "status", "State of the gateway", "Memory, processors, GPUs, requests at work, engines.",
              Picture::kStatus, Permission::kEnginesRead),
        reader(context, read_state));
  }
  if (added) {
    added = registry.add({.uri_template = "llm://models/{name}",
                          .name = "model",
                          .title = "Card of a model",
                          .description = "Facts, licence, parameters, settings, memory estimate and chat template.",
                          .mime_type = std::string(kJson),
                          .icons = icons(Picture::kModel),
                          .permission = Permission::kModelsRead,
                          .watchable = about(Permission::kModelsRead, "name")},
                         reader(context, read_card, "name"), {{"name", complete_models(context)}});
  }
  if (added) {
    added =
        registry.add({.uri_template = "llm://logs/{engine}",
                      .name = "logs",
                      .title = "Log of an engine",
                      .description = "The last lines that the engine of a model wrote. Neither prompts nor answers.",
                      .mime_type = "text/plain",
                      .icons = icons(Picture::kStatus),
                      .permission = Permission::kEnginesRead,
                      .watchable = about(Permission::kEnginesRead, "engine")},
                     reader(context, read_log, "engine"), {{"engine", complete_engines(context)}});
  }
  registry.add_lister(Permission::kModelsRead,
                      [api = context.api](mcp::Context call) { return list_cards(api(call)); });
  registry.allow_subscriptions();
  return added;
}

}  // namespace llm::tools
