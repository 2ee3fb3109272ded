#include "cli/commands/session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <exception>
#include <fmt/format.h>
#include <unistd.h>

#include "cli/commands/gateway_probe.h"
#include "inference/describe.h"

namespace llm::cli {
namespace {

using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;

Task<Result<void>> answered(Result<void> answer) {
  co_return answer;
}

net::Endpoint socket_endpoint(const Installation& installation) {
  net::Endpoint endpoint;
  endpoint.unix_path = installation.socket;
  return endpoint;
}

Task<Result<json::object>> started_gateway(net::HttpClient& http, AttachSettings settings, CancelToken cancel) {
  auto endpoint = co_await ensure_gateway(http, std::move(settings), std::move(cancel));
  if (!endpoint) co_return fail(std::move(endpoint.error()));
  co_return json::object{{"endpoint", endpoint->text()}};
}

}  // namespace

Result<json::object> run_until_done(Loop& loop, Task<Result<json::object>> task, Interrupt* interrupt,
                                    const CancelSource& cancel) {
  std::optional<Result<json::object>> result;
  boost::asio::co_spawn(loop.executor(), std::move(task),
                        [&result](std::exception_ptr error, Result<json::object> done) {
                          if (error) std::terminate();  // an exception that leaves a Task is a bug
                          result = std::move(done);
                        });
  std::optional<Descriptor> watched;
  if (interrupt && interrupt->fd() >= 0) {
    if (const int fd = ::dup(interrupt->fd()); fd >= 0) {
      watched.emplace(loop.executor(), fd);
      watched->async_wait(Descriptor::wait_read, [cancel](const boost::system::error_code& error) {
        if (!error) cancel.cancel();
      });
    }
  }
  while (!result) loop.context().run_one();
  return std::move(*result);
}

inference::EventSink sink_of(std::function<Result<void>(const json::object& event)> handler) {
  return [handler = std::move(handler)](json::object event) { return answered(handler(event)); };
}

GatewaySession::GatewaySession(const Installation& installation)
    : http_(loop_, net::ClientSettings{}),
      api_(http_, socket_endpoint(installation), {},
           {.before_call = {}, .lost_hint = fmt::format("Its log is {}.", installation.log_file.string())}) {}

std::unique_ptr<GatewaySession> GatewaySession::attach(const Setup& setup) {
  if (!probe_gateway(setup.installation.socket).answers) return nullptr;
  return std::make_unique<GatewaySession>(setup.installation);
}

Result<std::unique_ptr<GatewaySession>> GatewaySession::attach_or_start(CommandContext& context, const Setup& setup) {
  auto session = std::make_unique<GatewaySession>(setup.installation);
  if (probe_gateway(setup.installation.socket).answers) return session;
  if (context.terminal.settings().err_is_terminal) {
    context.terminal.note(context.terminal.styled_err(Style::kDim, "(starting the gateway in the background)"));
  }
  Interrupt interrupt;
  const CancelSource cancel;
  auto started = run_until_done(
      session->loop_, started_gateway(session->http_, attach_settings(context, setup.installation), cancel.token()),
      &interrupt, cancel);
  if (!started) return fail(std::move(started.error()));
  return session;
}

Result<json::object> GatewaySession::call(const Call& call, Interrupt* interrupt) {
  const CancelSource cancel;
  return run_until_done(loop_, call(api_, cancel.token()), interrupt, cancel);
}

Result<json::object> GatewaySession::request(std::string method, std::string target, std::string body) {
  return run_until_done(loop_, api_.request(std::move(method), std::move(target), std::move(body)));
}

Result<std::unique_ptr<models::ModelStore>> open_store(const Setup& setup) {
  return models::ModelStore::open({.root = setup.installation.models_dir});
}

Result<std::unique_ptr<ModelAccess>> ModelAccess::open(const Setup& setup) {
  auto access = std::make_unique<ModelAccess>();
  access->gateway_ = GatewaySession::attach(setup);
  if (access->gateway_) return access;
  auto store = open_store(setup);
  if (!store) return fail(std::move(store.error()));
  const Settings& settings = setup.config.settings;
  access->local_ = std::make_unique<Local>(std::move(*store),
                                           router::CatalogueSettings{.default_model = settings.models.default_model,
                                                                     .models = settings.models.settings,
                                                                     .external = enabled_providers(settings),
                                                                     .vllm = settings.engines.vllm});
  return access;
}

Task<Result<json::object>> ModelAccess::list_local(Local& local) {
  auto snapshot = co_await local.catalogue.list(true);
  if (!snapshot) co_return fail(std::move(snapshot.error()));
  json::array models;
  for (const auto& entry : (*snapshot)->entries) models.push_back(inference::model_summary(*entry, {}, **snapshot));
  json::object aliases;
  for (const auto& [alias, target] : (*snapshot)->aliases) aliases[alias] = target;
  co_return json::object{{"models", std::move(models)}, {"aliases", std::move(aliases)}};
}

Task<Result<json::object>> ModelAccess::info_local(Local& local, std::string name) {
  auto entry = co_await local.catalogue.resolve(std::move(name));
  if (!entry) co_return fail(std::move(entry.error()));
  auto snapshot = co_await local.catalogue.list(false);
  if (!snapshot) co_return fail(std::move(snapshot.error()));
  co_return inference::model_details(**entry, {}, **snapshot);
}

Task<Result<json::object>> ModelAccess::remove_local(Local& local, std::string name) {
  auto entry = co_await local.catalogue.resolve(std::move(name));
  if (!entry) co_return fail(std::move(entry.error()));
  const auto& found = **entry;
  if (found.manifest.size == 0) {
    co_return fail(ErrorCode::kConflict, fmt::format("model \"{}\" belongs to an external engine; remove it from the "
                                                     "configuration",
                                                     found.spec->model));
  }
  if (auto removed = local.store->remove(found.manifest.name); !removed) co_return fail(std::move(removed.error()));
  co_return json::object{{"model", found.spec->model}, {"removed", true}};
}

Result<json::object> ModelAccess::list() {
  if (gateway_) return gateway_->call([](inference::ModelApi& api, CancelToken) { return api.list_models(); });
  return run_until_done(local_->loop, list_local(*local_));
}

Result<json::object> ModelAccess::info(const std::string& name) {
  if (gateway_) return gateway_->call([&](inference::ModelApi& api, CancelToken) { return api.model_info(name); });
  return run_until_done(local_->loop, info_local(*local_, name));
}

Result<json::object> ModelAccess::remove(const std::string& name) {
  if (gateway_) return gateway_->call([&](inference::ModelApi& api, CancelToken) { return api.remove_model(name); });
  return run_until_done(local_->loop, remove_local(*local_, name));
}

}  // namespace llm::cli
