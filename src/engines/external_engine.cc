#include <algorithm>
#include <fmt/format.h>

#include "dialects/dialect.h"
#include "engines/llama_server.h"
#include "engines/vllm/vllm_features.h"

namespace llm::engines {
namespace {

// Everything that is known of a provider's model without asking it.
Result<EngineInfo> described(const EngineSpec& spec) {
  const ProviderSettings& settings = *spec.external;
  const std::string url = base_url_of(settings);
  auto endpoint = net::parse_endpoint(url);
  // The gateway's configuration is wrong, not the client's request.
  if (!endpoint) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the external engine's base_url \"{}\" is wrong: {}", url, endpoint.error().message));
  }
  auto key = api_key_of(settings);
  if (!key) return fail(std::move(key.error()));
  EngineInfo info;
  info.endpoint = std::move(*endpoint);
  info.upstream_model = spec.model;
  info.api_key = std::move(*key);
  info.capacity = settings.max_concurrent;
  info.mode = EngineMode::kAuto;
  info.external = true;
  info.kind = settings.preset;
  info.leaves_machine = leaves_machine(settings);
  info.request_timeout = std::chrono::milliseconds(settings.request_timeout.ms);
  info.first_token_timeout = std::chrono::milliseconds(settings.first_token_timeout.ms);
  info.stall_timeout = std::chrono::milliseconds(settings.stall_timeout.ms);
  return info;
}

// A server that somebody else runs: started when it answers, and never stopped.
class ExternalEngine final : public Driver {
 public:
  ExternalEngine(net::HttpClient& client, EngineSpec spec) : client_(client), spec_(std::move(spec)) {}

  Task<Result<EngineInfo>> start(OnProgress, OnExit, CancelToken cancel) override {
    auto info = described(spec_);
    if (!info) co_return fail(std::move(info.error()));
    const ProviderSettings& settings = *spec_.external;
    const std::string path = health_path_of(settings);
    const auto credentials = dialects::credential_headers(settings.preset, info->api_key);
    net::ClientRequest request{.target = path};
    for (const auto& [name, value] : credentials) request.headers.emplace_back(name, value);
    request.head_timeout = request.stall_timeout = std::chrono::milliseconds(settings.connect_timeout.ms * 2);
    auto response = co_await client_.send(info->endpoint, request, cancel);
    if (!response) {
      if (cancel.cancelled()) co_return fail(response.error());
      co_return fail(ErrorCode::kUnavailable, "the external engine cannot be reached: " + response.error().message);
    }
    if (response->status() != 200) {
      co_return fail(
          ErrorCode::kUnavailable,
          fmt::format("the external engine at {} answered {} with status {}; is health_path right, and the key?",
                      info->endpoint.text(), path, response->status()));
    }
    (void)co_await response->read_all(4 * 1024 * 1024);
    if (settings.preset == dialects::ProviderKind::kVllm) co_await ask_vllm(*info, cancel);
    co_return info;
  }

  Task<void> stop() override { co_return; }

 private:
  // What a vLLM tells that others do not. One that tells nothing serves all the same.
  Task<void> ask_vllm(EngineInfo& info, CancelToken cancel) {
    const std::chrono::milliseconds timeout(spec_.external->connect_timeout.ms * 2);
    const VllmProbe probe(client_, info.endpoint, info.api_key, timeout);
    if (auto api = co_await probe.api(cancel)) info.version = api->version;
    auto models = co_await probe.models(cancel);
    if (!models) co_return;
    const auto own = std::ranges::find(*models, info.upstream_model, &VllmModel::id);
    if (own != models->end()) info.context = own->context;
  }

  net::HttpClient& client_;
  EngineSpec spec_;
};

}  // namespace

std::unique_ptr<Driver> make_external_engine(net::HttpClient& client, EngineSpec spec) {
  return std::make_unique<ExternalEngine>(client, std::move(spec));
}

}  // namespace llm::engines
