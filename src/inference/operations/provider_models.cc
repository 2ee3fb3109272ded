// provider.models, .pull, .load, .unload, .delete: what Ollama and LM Studio do beside answering.
#include <fmt/format.h>

#include "engines/providers/lm_studio.h"
#include "engines/providers/ollama.h"
#include "inference/model_rights.h"
#include "inference/operations/provider_calls.h"

namespace llm::inference {
namespace {

using dialects::ProviderKind;
using engines::ProviderClient;

// One request to one provider's model, by who may do that to it.
struct Work {
  NamedProvider provider;
  ProviderModelRequest request;
  net::HttpClient client;
  std::optional<ProviderClient> server;

  Work(OperationContext& context, NamedProvider named, ProviderModelRequest wanted)
      : provider(std::move(named)), request(std::move(wanted)), client(context.loop, {}) {}
  ProviderKind kind() const { return provider.settings.preset; }
  json::object answer(std::string_view state) const {
    return {{"provider", provider.name}, {"model", request.model}, {"state", state}};
  }
};

Result<std::unique_ptr<Work>> begin(OperationContext& context, const json::object& arguments,
                                    access::Permission permission) {
  auto request = json::decode<ProviderModelRequest>(arguments);
  if (!request) return fail(request.error());
  auto provider = find_provider(context.backend, request->name);
  if (!provider) return fail(std::move(provider.error()));
  const std::string model = fmt::format("{}/{}", provider->name, request->model);
  if (auto may = check_model_right(context.principal, permission, model, request->model); !may) {
    return fail(std::move(may.error()).at("/model"));
  }
  auto work = std::make_unique<Work>(context, std::move(*provider), std::move(*request));
  auto server = ProviderClient::make(context.loop, work->client, work->provider.settings);
  if (!server) return fail(std::move(server.error()));
  work->server.emplace(std::move(*server));
  return work;
}

std::unexpected<Error> cannot(const NamedProvider& provider, std::string_view what) {
  return fail(ErrorCode::kUnsupported,
              fmt::format("{} ({}) cannot be asked to {}; Ollama and LM Studio can", provider.name,
                          preset_of(provider.settings.preset).title, what),
              "/name");
}

Task<Result<void>> tell(const EventSink& sink, std::string status, std::uint64_t done, std::uint64_t total) {
  if (!sink) co_return Result<void>();
  co_return co_await sink(json::object{{"status", status}, {"bytes_done", done}, {"bytes_total", total}});
}

// Ollama reports each layer of a model for itself; a reader wants one number that grows.
class LayerSum {
 public:
  engines::ollama::PullProgress add(engines::ollama::PullProgress progress) {
    if (progress.status != layer_) {
      done_ += last_;
      last_ = 0;
      layer_ = progress.status;
      total_ += progress.bytes_total;
    }
    last_ = progress.bytes_done;
    return {progress.bytes_total > 0 ? "downloading" : progress.status, done_ + last_, total_};
  }

 private:
  std::string layer_;
  std::uint64_t done_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t total_ = 0;
};

Task<Result<void>> pull(Work& work, const EventSink& sink, CancelToken cancel) {
  if (work.kind() == ProviderKind::kOllama) {
    LayerSum sum;
    co_return co_await engines::ollama::pull(
        *work.server, work.request.model,
        [&sum, &sink](engines::ollama::PullProgress progress) {
          const auto whole = sum.add(std::move(progress));
          return tell(sink, whole.status, whole.bytes_done, whole.bytes_total);
        },
        std::move(cancel));
  }
  if (work.kind() == ProviderKind::kLmStudio) {
    co_return co_await engines::lm_studio::download(
        *work.server, work.request.model,
        [&sink](std::uint64_t done, std::uint64_t total) { return tell(sink, "downloading", done, total); },
        std::move(cancel));
  }
  co_return cannot(work.provider, "download a model");
}

// A server of the OpenAI API lists its models and says nothing more of them.
Task<Result<json::object>> listed(const ProviderClient& server, CancelToken cancel) {
  const auto answer = co_await server.ask({.target = "/models", .at_root = false}, std::move(cancel));
  if (!answer) co_return fail(answer.error());
  json::array models;
  if (const json::array* data = engines::list_in(*answer, "data")) {
    for (const json::value& model : *data) {
      if (model.is_object()) models.push_back(json::object{{"name", json::string_or(model.get_object(), "id")}});
    }
  }
  co_return json::object{{"models", std::move(models)}};
}

}  // namespace

Task<Result<json::object>> provider_models(OperationContext context, json::object arguments) {
  const auto query = json::decode<ProviderQuery>(arguments);
  if (!query) co_return fail(query.error());
  auto provider = find_provider(context.backend, query->name);
  if (!provider) co_return fail(std::move(provider.error()));
  net::HttpClient client(context.loop, {});
  const auto server = ProviderClient::make(context.loop, client, provider->settings);
  if (!server) co_return fail(server.error());
  const ProviderKind kind = provider->settings.preset;
  Result<json::object> answer;
  if (kind == ProviderKind::kOllama) {
    answer = co_await engines::ollama::list(*server, context.cancel);
  } else if (kind == ProviderKind::kLmStudio) {
    answer = co_await engines::lm_studio::list(*server, context.cancel);
  } else {
    answer = co_await listed(*server, context.cancel);
  }
  if (!answer) co_return fail(std::move(answer.error()));
  json::array visible;
  for (const json::value& model : answer->at("models").get_array()) {
    const std::string name = fmt::format("{}/{}", provider->name, json::string_or(model.get_object(), "name"));
    if (context.principal.may(access::Permission::kModelsRead, name)) visible.push_back(model);
  }
  (*answer)["models"] = std::move(visible);
  (*answer)["provider"] = provider->name;
  (*answer)["preset"] = to_string(kind);
  co_return answer;
}

Task<Result<json::object>> pull_with_provider(OperationContext context, json::object arguments) {
  auto work = begin(context, arguments, access::Permission::kModelsWrite);
  if (!work) co_return fail(std::move(work.error()));
  if (auto done = co_await pull(**work, context.sink, context.cancel); !done) co_return fail(std::move(done.error()));
  co_return (*work)->answer("downloaded");
}

Task<Result<json::object>> load_with_provider(OperationContext context, json::object arguments) {
  auto begun = begin(context, arguments, access::Permission::kModelsWrite);
  if (!begun) co_return fail(std::move(begun.error()));
  Work& work = **begun;
  const std::string model = work.request.model;
  if (work.kind() == ProviderKind::kOllama) {
    const auto keep = work.request.keep_alive ? work.request.keep_alive : work.provider.settings.keep_alive;
    auto done = co_await engines::ollama::load(*work.server, model, keep, context.cancel);
    if (!done) co_return fail(std::move(done.error()));
    co_return work.answer("loaded");
  }
  if (work.kind() == ProviderKind::kLmStudio) {
    auto done = co_await engines::lm_studio::load(*work.server, model, work.request.context, context.cancel);
    if (!done) co_return fail(std::move(done.error()));
    json::object answer = work.answer("loaded");
    for (auto& member : *done) answer[member.key()] = std::move(member.value());
    co_return answer;
  }
  co_return cannot(work.provider, "load a model");
}

Task<Result<json::object>> unload_with_provider(OperationContext context, json::object arguments) {
  auto begun = begin(context, arguments, access::Permission::kModelsWrite);
  if (!begun) co_return fail(std::move(begun.error()));
  Work& work = **begun;
  if (work.kind() == ProviderKind::kOllama) {
    auto done = co_await engines::ollama::unload(*work.server, work.request.model, context.cancel);
    if (!done) co_return fail(std::move(done.error()));
    co_return work.answer("unloaded");
  }
  if (work.kind() == ProviderKind::kLmStudio) {
    auto done = co_await engines::lm_studio::unload(*work.server, work.request.model, context.cancel);
    if (!done) co_return fail(std::move(done.error()));
    json::object answer = work.answer("unloaded");
    answer["instances"] = done->at("instances");
    co_return answer;
  }
  co_return cannot(work.provider, "unload a model");
}

Task<Result<json::object>> delete_with_provider(OperationContext context, json::object arguments) {
  auto begun = begin(context, arguments, access::Permission::kAdmin);
  if (!begun) co_return fail(std::move(begun.error()));
  Work& work = **begun;
  if (work.kind() != ProviderKind::kOllama) {
    co_return fail(ErrorCode::kUnsupported,
                   fmt::format("{} cannot be asked to delete a model; Ollama can", work.provider.name), "/name");
  }
  auto done = co_await engines::ollama::remove(*work.server, work.request.model, context.cancel);
  if (!done) co_return fail(std::move(done.error()));
  co_return work.answer("deleted");
}

}  // namespace llm::inference
