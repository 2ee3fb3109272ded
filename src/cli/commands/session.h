#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/blocking_pool.h"
#include "async/loop.h"
#include "cli/commands/context.h"
#include "cli/interrupt.h"
#include "cli/progress_bar.h"
#include "client/remote_model_api.h"
#include "inference/model_api.h"
#include "models/store.h"
#include "net/http_client.h"
#include "router/catalogue.h"

namespace llm::cli {

// Runs the loop in the calling thread until `task` is done. With an interrupt, Ctrl-C cancels through `cancel`; the
// task then ends by itself.
Result<json::object> run_until_done(Loop& loop, Task<Result<json::object>> task, Interrupt* interrupt = nullptr,
                                    const CancelSource& cancel = {});

// An EventSink that calls a plain function.
inference::EventSink sink_of(std::function<Result<void>(const json::object& event)> handler);

// One command's conversation with a gateway; everything runs in the calling thread.
class GatewaySession {
 public:
  // The gateway that runs; nullptr if there is none.
  static std::unique_ptr<GatewaySession> attach(const Setup& setup);
  // The gateway that runs, or one started in the background.
  static Result<std::unique_ptr<GatewaySession>> attach_or_start(CommandContext& context, const Setup& setup);

  using Call = std::function<Task<Result<json::object>>(inference::ModelApi& api, CancelToken cancel)>;
  // `interrupt`: Ctrl-C cancels the call, which then is kCancelled.
  Result<json::object> call(const Call& call, Interrupt* interrupt = nullptr);
  // RemoteModelApi::request().
  Result<json::object> request(std::string method, std::string target, std::string body);

  explicit GatewaySession(const Installation& installation);

 private:
  Loop loop_{"cli"};
  net::HttpClient http_;
  client::RemoteModelApi api_;
};

// The models of this machine by way of the gateway that runs, or of the store when there is none. Answers have the
// shapes of inference::ModelApi in either case.
class ModelAccess {
 public:
  static Result<std::unique_ptr<ModelAccess>> open(const Setup& setup);

  Result<json::object> list();
  Result<json::object> info(const std::string& name);
  Result<json::object> remove(const std::string& name);

 private:
  // What stands in for a gateway.
  struct Local {
    Local(std::unique_ptr<models::ModelStore> opened, router::CatalogueSettings settings)
        : store(std::move(opened)), catalogue(*store, pool, std::move(settings)) {}
    std::unique_ptr<models::ModelStore> store;
    Loop loop{"cli"};
    BlockingPool pool{1};
    router::Catalogue catalogue;
  };
  static Task<Result<json::object>> list_local(Local& local);
  static Task<Result<json::object>> info_local(Local& local, std::string name);
  static Task<Result<json::object>> remove_local(Local& local, std::string name);

  std::unique_ptr<GatewaySession> gateway_;  // one of the two
  std::unique_ptr<Local> local_;
};

// The model store of this installation.
Result<std::unique_ptr<models::ModelStore>> open_store(const Setup& setup);

}  // namespace llm::cli
