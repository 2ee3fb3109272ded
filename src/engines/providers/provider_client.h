#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "async/task.h"
#include "engines/provider_settings.h"
#include "json/json.h"
#include "net/http_client.h"

namespace llm::engines {

// One question to a provider's own API.
struct ProviderCall {
  std::string method = "GET";
  std::string target = {};  // such as "/api/tags"
  std::optional<json::object> body = std::nullopt;
  bool at_root = true;  // above the "/v1" of the base URL, where servers have their own API; false: below the base URL
  std::chrono::milliseconds head_timeout{10'000};  // until the answer begins
  std::chrono::milliseconds most{15'000};          // for all of it; 0: as long as something comes in `head_timeout`
};

// Speaks to one provider, on one loop. Every answer is JSON and at most 8 MiB. Errors: kUnavailable (not reachable, no
// key), what the provider's dialect makes of an error answer, kEngineFailed (no JSON), kEngineTimeout, kCancelled.
class ProviderClient {
 public:
  // kUnavailable: its address or key is not there.
  static Result<ProviderClient> make(Loop& loop, net::HttpClient& client, const ProviderSettings& settings);

  Task<Result<json::value>> ask(ProviderCall call, CancelToken cancel) const;
  // An answer of one JSON object a line (application/x-ndjson), as Ollama reports progress. An error of `on_line` ends
  // the call.
  using OnLine = std::function<Task<Result<void>>(json::object line)>;
  Task<Result<void>> ask_lines(ProviderCall call, OnLine on_line, CancelToken cancel) const;

  const ProviderSettings& settings() const { return settings_; }
  std::string_view title() const { return dialects::preset_of(settings_.preset).title; }
  std::string address() const { return api_.text(); }
  Loop& loop() const { return *loop_; }

 private:
  ProviderClient(Loop& loop, net::HttpClient& client, ProviderSettings settings)
      : loop_(&loop), client_(&client), settings_(std::move(settings)) {}
  // What was answered, with status 200 to 299.
  Task<Result<net::ClientResponse>> send(const ProviderCall& call, CancelToken cancel) const;

  Loop* loop_;
  net::HttpClient* client_;
  ProviderSettings settings_;
  net::Endpoint api_;
  net::Endpoint root_;
  std::vector<std::pair<std::string, std::string>> headers_;
};

// What a JSON answer must be to be of use: `object`'s list of that name, null if there is none.
const json::array* list_in(const json::value& answer, std::string_view name);

}  // namespace llm::engines
