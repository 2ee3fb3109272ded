#include "engines/vllm/vllm_features.h"

#include <fmt/format.h>

#include "json/json.h"

namespace llm::engines {
namespace {

constexpr std::size_t kMostAnswer = 8 * 1024 * 1024;
constexpr std::size_t kMostMessage = 300;
constexpr int kFound = 200;

net::Endpoint root_of(net::Endpoint endpoint) {
  auto& path = endpoint.base_path;
  if (path.ends_with("/v1")) path.erase(path.size() - 3);
  return endpoint;
}

std::uint32_t context_of(const json::object& model) {
  const auto length = json::int_or(model, "max_model_len");
  return length > 0 && length <= INT32_MAX ? static_cast<std::uint32_t>(length) : 0;
}

// A request that costs next to nothing, for each kind of model.
struct TinyRequest {
  EngineMode mode;
  const char* path;
  const char* body;  // without the model
};
constexpr std::array<TinyRequest, 3> kTinyRequests{{
    {EngineMode::kGeneration, "/v1/completions", R"({"prompt":"a","max_tokens":1,"temperature":0})"},
    {EngineMode::kEmbedding, "/v1/embeddings", R"({"input":"a"})"},
    {EngineMode::kRerank, "/v1/rerank", R"({"query":"a","documents":["a"]})"},
}};

}  // namespace

std::set<std::string> paths_of_openapi(std::string_view document) {
  std::set<std::string> out;
  const auto parsed = json::parse(document);
  if (!parsed || !parsed->is_object()) return out;
  const auto* paths = json::find(parsed->get_object(), "paths");
  if (!paths || !paths->is_object()) return out;
  for (const auto& path : paths->get_object()) out.emplace(path.key());
  return out;
}

Result<std::vector<VllmModel>> vllm_models_of(std::string_view document) {
  const auto parsed = json::parse(document);
  const auto* data = parsed && parsed->is_object() ? json::find(parsed->get_object(), "data") : nullptr;
  if (!data || !data->is_array()) {
    return fail(ErrorCode::kEngineFailed, "the engine's /v1/models answers something else than a list of models");
  }
  std::vector<VllmModel> out;
  for (const auto& item : data->get_array()) {
    if (!item.is_object()) continue;
    const auto& model = item.get_object();
    VllmModel one{std::string(json::string_or(model, "id")), std::string(json::string_or(model, "root")),
                  std::string(json::string_or(model, "parent")), context_of(model)};
    if (!one.id.empty()) out.push_back(std::move(one));
  }
  return out;
}

VllmProbe::VllmProbe(net::HttpClient& client, net::Endpoint endpoint, std::string api_key,
                     std::chrono::milliseconds timeout)
    : client_(client),
      root_(root_of(std::move(endpoint))),
      authorization_(api_key.empty() ? std::string() : "Bearer " + api_key),
      timeout_(timeout) {}

Task<Result<VllmProbe::Answer>> VllmProbe::send(net::ClientRequest request, CancelToken cancel) const {
  if (!authorization_.empty()) request.headers.emplace_back("Authorization", authorization_);
  auto response = co_await client_.send(root_, request, cancel);
  if (!response) co_return fail(std::move(response.error()));
  auto body = co_await response->read_all(kMostAnswer);
  if (!body) co_return fail(std::move(body.error()));
  co_return Answer{response->status(), std::move(*body)};
}

Task<Result<VllmProbe::Answer>> VllmProbe::get(std::string target, CancelToken cancel) const {
  net::ClientRequest request{.target = target};
  request.head_timeout = request.stall_timeout = timeout_;
  co_return co_await send(std::move(request), cancel);
}

Task<Result<VllmProbe::Answer>> VllmProbe::post(std::string target, std::string body, std::chrono::milliseconds timeout,
                                                CancelToken cancel) const {
  net::ClientRequest request{.method = "POST", .target = target, .body = body, .repeatable = false};
  if (!body.empty()) request.content_type = "application/json";
  request.head_timeout = request.stall_timeout = timeout.count() > 0 ? timeout : timeout_;
  co_return co_await send(std::move(request), cancel);
}

Task<Result<VllmApi>> VllmProbe::api(CancelToken cancel) const {
  VllmApi out;
  auto version = co_await get("/version", cancel);
  if (!version) co_return fail(std::move(version.error()));
  if (version->status == kFound) {
    if (const auto document = json::parse(version->body); document && document->is_object()) {
      out.version = json::string_or(document->get_object(), "version");
    }
  }
  auto openapi = co_await get("/openapi.json", cancel);
  if (!openapi) co_return fail(std::move(openapi.error()));
  if (openapi->status == kFound) out.paths = paths_of_openapi(openapi->body);
  co_return out;
}

Task<Result<std::vector<VllmModel>>> VllmProbe::models(CancelToken cancel) const {
  auto answer = co_await get("/v1/models", cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  if (answer->status == kFound) co_return vllm_models_of(answer->body);
  co_return fail(ErrorCode::kUnavailable, fmt::format("the engine's /v1/models answers with status {}: {}",
                                                      answer->status, message_of(*answer)));
}

Task<Result<EngineMode>> VllmProbe::serve_one(std::string model, const VllmApi& api, EngineMode wanted,
                                              std::chrono::milliseconds timeout, CancelToken cancel) const {
  std::string refused = "it offers no endpoint for that";
  for (const auto& tiny : kTinyRequests) {
    if (wanted != EngineMode::kAuto && wanted != tiny.mode) continue;
    if (api.lists() && !api.has(tiny.path)) continue;
    auto body = json::parse(tiny.body);
    body->get_object()["model"] = model;
    auto answer = co_await post(tiny.path, json::write(*body), timeout, cancel);
    if (!answer) co_return fail(std::move(answer.error()));
    if (answer->status == kFound) co_return tiny.mode;
    // Each kind of model refuses the requests of the others; its own kind's answer says the most.
    if (tiny.mode == EngineMode::kGeneration || answer->status >= 500) {
      refused = fmt::format("status {}: {}", answer->status, message_of(*answer));
    }
    if (answer->status >= 500) break;
  }
  co_return fail(ErrorCode::kEngineFailed, fmt::format("the engine refused its first request ({})", refused));
}

std::string message_of(const VllmProbe::Answer& answer) {
  std::string out;
  if (const auto document = json::parse(answer.body); document && document->is_object()) {
    const auto& object = document->get_object();
    out = json::string_or(object, "message");
    if (out.empty()) out = json::string_or(object, "detail");
    if (out.empty()) out = json::string_or(object, "error");
    if (const auto* error = json::find(object, "error"); out.empty() && error && error->is_object()) {
      out = json::string_or(error->get_object(), "message");
    }
  }
  if (out.empty()) out = answer.body;
  if (out.size() > kMostMessage) out.resize(kMostMessage);
  return out;
}

}  // namespace llm::engines
