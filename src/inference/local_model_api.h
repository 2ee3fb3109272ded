#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "async/blocking_pool.h"
#include "engines/gpu/gpu_inventory.h"
#include "inference/answer_cache.h"
#include "inference/model_api.h"
#include "inference/service.h"
#include "models/pull_jobs.h"
#include "models/store.h"
#include "router/router.h"

namespace llm::inference {

// What every front end of this process shares.
struct Backend {
  Service& service;
  router::Catalogue& catalogue;
  engines::Supervisor& supervisor;
  models::ModelStore& store;
  models::PullJobs& pulls;
  BlockingPool& files;         // the store
  BlockingPool& pull_waiters;  // one thread for each caller that waits for a pull
  observe::Log& log;
  observe::GatewayMetrics& metrics;
  access::AccessControl* access = nullptr;  // null: nothing is audited
  router::Router* router = nullptr;         // null: a test without one
  AnswerCache* cache = nullptr;             // null: nothing is kept
  engines::GpuInventory* gpus = nullptr;    // null: a test without one
  std::chrono::milliseconds load_timeout{600'000};
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

// ModelApi inside the process, for the callers of one loop and one principal. It sees and touches the models that the
// principal may; whether it may call an operation at all is for the front end's table of routes or tools.
class LocalModelApi final : public ModelApi {
 public:
  LocalModelApi(Backend& backend, Loop& loop, access::Principal principal, std::string request_id = {},
                CallOptions options = {});

  Task<Result<json::object>> generate(json::object request, EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> embed(json::object request, EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> rerank(json::object request, EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> tokenize(json::object request, EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> list_models() override;
  Task<Result<json::object>> model_info(std::string name) override;
  Task<Result<json::object>> load_model(json::object request, EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> unload_model(json::object request) override;
  Task<Result<json::object>> pull_model(json::object request, EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> remove_model(std::string name) override;
  Task<Result<json::object>> engines() override;
  Task<Result<json::object>> engine_logs(std::string name) override;
  Task<Result<json::object>> status() override;
  Task<Result<json::object>> operate(std::string operation, json::object arguments, EventSink sink,
                                     CancelToken cancel) override;

 private:
  // `model`: where the name of what answered goes, if it is wanted.
  Task<Result<json::object>> forward(Operation operation, json::object request, EventSink sink, CancelToken cancel,
                                     std::string* model = nullptr);
  std::string next_request_id() const;
  // What resolve() gives, if the principal may do that to it.
  Task<Result<std::shared_ptr<const router::CatalogueEntry>>> find(access::Permission permission, std::string name,
                                                                   bool default_too);
  Task<Result<json::object>> load(const router::CatalogueEntry& entry, std::optional<json::Duration> keep_alive,
                                  EventSink& sink, CancelToken cancel);
  Task<Result<bool>> unload(const router::CatalogueEntry& entry, bool force);
  Task<Result<json::object>> remove(std::string name);
  Task<Result<json::object>> pull(json::object request, EventSink sink, CancelToken cancel);
  // What changes models goes into the audit trail.
  void audit(std::string_view action, std::string_view model, const Result<json::object>& result) const;

  Backend& backend_;
  Loop& loop_;
  access::Principal principal_;
  std::string request_id_;  // of the request this serves; empty: each call gets its own
  CallOptions options_;     // of its requests
};

// The request ids' prefix tells where a request came from.
std::string new_request_id();

}  // namespace llm::inference
