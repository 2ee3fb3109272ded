#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"
#include "base/error.h"
#include "engines/model_settings.h"
#include "net/http_client.h"

namespace llm::engines {

// What one vLLM server offers, read from its /version and /openapi.json. Nothing follows from the version alone: dev
// mode, LoRA and the kind of model decide as well.
struct VllmApi {
  std::string version;          // "0.10.1"; empty: it does not say
  std::set<std::string> paths;  // "/v1/chat/completions"; empty: it does not list them

  bool lists() const { return !paths.empty(); }
  bool has(const std::string& path) const { return paths.contains(path); }
  bool sleep() const { return has("/sleep") && has("/wake_up"); }
  bool adapters() const { return has("/v1/load_lora_adapter") && has("/v1/unload_lora_adapter"); }
  bool tokenize() const { return has("/tokenize"); }
  bool generation() const { return has("/v1/completions") || has("/v1/chat/completions"); }
  bool embedding() const { return has("/v1/embeddings"); }
  bool rerank() const { return has("/v1/rerank") || has("/rerank"); }
  bool responses() const { return has("/v1/responses"); }
  bool messages() const { return has("/v1/messages"); }
};

// The document of /openapi.json; what is no such document lists nothing.
std::set<std::string> paths_of_openapi(std::string_view document);

// One line of /v1/models.
struct VllmModel {
  std::string id;
  std::string root;           // the repository or folder; an adapter's path
  std::string parent;         // of an adapter: its base model
  std::uint32_t context = 0;  // max_model_len; 0 unknown
  bool adapter() const { return !parent.empty(); }
  friend bool operator==(const VllmModel&, const VllmModel&) = default;
};
// kEngineFailed: no such document.
Result<std::vector<VllmModel>> vllm_models_of(std::string_view document);

// Asks one vLLM server what no client asks. `endpoint` may have the base path /v1, as providers do. Lives on the
// client's loop; every call ends within `timeout`.
class VllmProbe {
 public:
  VllmProbe(net::HttpClient& client, net::Endpoint endpoint, std::string api_key, std::chrono::milliseconds timeout);

  struct Answer {
    int status = 0;
    std::string body;
  };
  // Any path of the server's root. Errors: those of HttpClient::send.
  Task<Result<Answer>> get(std::string target, CancelToken cancel) const;
  // `timeout` zero: the probe's own. Never sent twice.
  Task<Result<Answer>> post(std::string target, std::string body, std::chrono::milliseconds timeout,
                            CancelToken cancel) const;

  // Version and paths; a server that does not tell them has none.
  Task<Result<VllmApi>> api(CancelToken cancel) const;
  Task<Result<std::vector<VllmModel>>> models(CancelToken cancel) const;
  // Which kind of requests the model answers, proven by a tiny one. `wanted` kAuto: the first of generation,
  // embeddings and reranking that works. kEngineFailed with the server's words if none does.
  Task<Result<EngineMode>> serve_one(std::string model, const VllmApi& api, EngineMode wanted,
                                     std::chrono::milliseconds timeout, CancelToken cancel) const;

  const net::Endpoint& root() const { return root_; }

 private:
  Task<Result<Answer>> send(net::ClientRequest request, CancelToken cancel) const;

  net::HttpClient& client_;
  net::Endpoint root_;
  std::string authorization_;  // empty: no key
  std::chrono::milliseconds timeout_;
};

// What an error body of vLLM says, in the shapes of old and new versions; else the body's beginning.
std::string message_of(const VllmProbe::Answer& answer);

}  // namespace llm::engines
