#include <cstdlib>
#include <fmt/format.h>

#include "engines/llama_server.h"

namespace llm::engines {
namespace {

class ExternalEngine final : public Driver {
 public:
  ExternalEngine(net::HttpClient& client, EngineSpec spec) : client_(client), spec_(std::move(spec)) {}

  Task<Result<EngineInfo>> start(OnProgress, OnExit, CancelToken cancel) override {
    const ExternalSettings& settings = *spec_.external;
    auto endpoint = net::parse_endpoint(settings.base_url);
    // The gateway's configuration is wrong, not the client's request.
    if (!endpoint) {
      co_return fail(ErrorCode::kUnavailable, fmt::format("the external engine's base_url \"{}\" is wrong: {}",
                                                          settings.base_url, endpoint.error().message));
    }
    EngineInfo info;
    info.endpoint = *endpoint;
    info.upstream_model = spec_.model;
    info.external = true;
    info.mode = EngineMode::kAuto;
    info.request_timeout = std::chrono::milliseconds(settings.request_timeout.ms);
    info.api_key = settings.api_key;
    if (!settings.api_key_env.empty()) {
      const char* key = std::getenv(settings.api_key_env.c_str());
      if (!key) {
        co_return fail(
            ErrorCode::kUnavailable,
            fmt::format("the environment variable {} with the engine's key is not set", settings.api_key_env));
      }
      info.api_key = key;
    }
    const std::string authorization = "Bearer " + info.api_key;
    net::ClientRequest request{.target = settings.health_path};
    if (!info.api_key.empty()) request.headers.emplace_back("Authorization", authorization);
    request.head_timeout = request.stall_timeout = std::chrono::milliseconds(settings.connect_timeout.ms * 2);
    auto response = co_await client_.send(info.endpoint, request, cancel);
    if (!response) {
      if (cancel.cancelled()) co_return fail(response.error());
      co_return fail(ErrorCode::kUnavailable, "the external engine cannot be reached: " + response.error().message);
    }
    if (response->status() != 200) {
      co_return fail(
          ErrorCode::kUnavailable,
          fmt::format("the external engine at {} answered {} with status {}; is health_path right, and the key?",
                      info.endpoint.text(), settings.health_path, response->status()));
    }
    (void)co_await response->read_all(4 * 1024 * 1024);
    co_return info;
  }

  Task<void> stop() override { co_return; }

 private:
  net::HttpClient& client_;
  EngineSpec spec_;
};

}  // namespace

std::unique_ptr<Driver> make_external_engine(net::HttpClient& client, EngineSpec spec) {
  return std::make_unique<ExternalEngine>(client, std::move(spec));
}

}  // namespace llm::engines
