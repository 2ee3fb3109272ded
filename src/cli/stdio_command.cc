#include "cli/stdio_command.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "async/task_group.h"
#include "async/watch.h"
#include "cli/mcp_service.h"
#include "client/remote_model_api.h"
#include "mcp/stdio_transport.h"

namespace llm::cli {
namespace {

using Signals = boost::asio::basic_signal_set<Executor>;

// The user's gateway. Looks for it, and starts it if need be, before every call; calls that come while that is under
// way wait for the same attempt.
class AttachedBackend final : public ModelBackend {
 public:
  AttachedBackend(Loop& loop, AttachSettings settings, observe::Log& log, const CancelToken& stop)
      : settings_(std::move(settings)),
        log_(log),
        stopping_(stop.on_cancel([this] { stop_.cancel(); })),
        http_(loop, {}),
        api_(http_, settings_.endpoint(), {},
             {.before_call = [this](CancelToken cancel) { return ready(this, std::move(cancel)); },
              .lost_hint =
                  fmt::format("Call again: the gateway is started anew. Its log is {}.", settings_.log_file.string())}),
        tasks_(loop.executor()) {}

  inference::ModelApi& models() override { return api_; }

  Task<void> stop() override {
    stop_.cancel();
    return tasks_.join();
  }

  // Begins an attempt unless one is under way.
  void look() {
    if (std::exchange(looking_, true)) return;
    tasks_.spawn(attach(this));
  }

 private:
  static Task<void> attach(AttachedBackend* self) {
    auto endpoint = co_await ensure_gateway(self->http_, self->settings_, self->stop_.token());
    self->looking_ = false;
    if (!endpoint && endpoint.error().code != ErrorCode::kCancelled) {
      self->log_.error("no gateway", {{"error", endpoint.error().message}});
    }
    self->outcome_.set(endpoint ? Result<void>() : fail(std::move(endpoint.error())));
  }

  static Task<Result<void>> ready(AttachedBackend* self, CancelToken cancel) {
    const auto before = self->outcome_.get().version;
    self->look();
    if (!co_await self->outcome_.changed(before, std::move(cancel), std::nullopt)) {
      co_return fail(ErrorCode::kCancelled, "cancelled while waiting for the gateway");
    }
    co_return self->outcome_.get().value;
  }

  AttachSettings settings_;
  observe::Log& log_;
  CancelSource stop_;
  CancelRegistration stopping_;
  net::HttpClient http_;
  client::RemoteModelApi api_;
  Watch<Result<void>> outcome_;  // of the last attempt
  bool looking_ = false;
  TaskGroup tasks_;
};

// The first signal ends us politely, the next one as if we did not catch it.
void stop_on_signals(Signals& signals, CancelSource stop) {
  signals.async_wait([&signals, stop](const boost::system::error_code& error, int) {
    if (error) return;
    boost::system::error_code ignored;
    signals.clear(ignored);
    stop.cancel();
  });
}

Task<void> serve(McpService& service, const StdioOptions& options, ModelBackend& backend, CancelToken stop, Loop& loop,
                 Result<void>& outcome) {
  outcome = co_await mcp::run_stdio(service.server(), loop, options.in, options.out, {}, std::move(stop));
  co_await service.stop();
  co_await backend.stop();
  loop.stop();
}

Result<void> run(const StdioOptions& options, const BackendFactory& standalone, observe::Log& log) {
  Loop loop("stdio");
  CancelSource stop;
  std::unique_ptr<ModelBackend> backend;
  if (options.standalone) {
    auto made = standalone(loop);
    if (!made) return fail(std::move(made.error()));
    backend = std::move(*made);
  } else {
    auto attached = std::make_unique<AttachedBackend>(loop, options.attach, log, stop.token());
    loop.post([gateway = attached.get()] { gateway->look(); });  // first of all, beside the client's first messages
    backend = std::move(attached);
  }
  auto service = McpService::build(options.mcp, tools::same_model_api(backend->models()), tools::hub_query(options.hub),
                                   loop, options.tasks_dir, options.env, log);
  if (!service) return fail(std::move(service.error()));
  (*service)->start();

  Signals signals(loop.executor(), SIGINT, SIGTERM, SIGHUP);
  stop_on_signals(signals, stop);
  Result<void> outcome;
  boost::asio::co_spawn(loop.executor(), serve(**service, options, *backend, stop.token(), loop, outcome),
                        [](std::exception_ptr error) {
                          if (error) std::terminate();  // an exception that leaves a Task is a bug
                        });
  loop.run();
  return outcome;
}

}  // namespace

int run_stdio_command(const StdioOptions& options, const BackendFactory& standalone, observe::Log& log) {
  const auto outcome = run(options, standalone, log);
  if (outcome) return EXIT_SUCCESS;
  log.error("cannot serve MCP over stdio", {{"error", to_string(outcome.error())}});
  return EXIT_FAILURE;
}

}  // namespace llm::cli
