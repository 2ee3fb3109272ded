#include "cli/standalone_backend.h"

#include "async/task_group.h"
#include "async/watch.h"
#include "cli/wiring.h"

namespace llm::cli {
namespace {

class StandaloneBackend final : public ModelBackend {
 public:
  static Result<std::unique_ptr<ModelBackend>> make(Loop& loop, const Settings& settings,
                                                    const Installation& installation, observe::Log& log) {
    auto gateway = Gateway::build(settings, installation, nullptr, log);
    if (!gateway) return fail(std::move(gateway.error()));
    return std::make_unique<StandaloneBackend>(loop, std::move(*gateway));
  }

  StandaloneBackend(Loop& loop, std::unique_ptr<Gateway> gateway)
      : http_(loop, net::ClientSettings{}),
        gateway_(std::move(gateway)),
        api_(gateway_->backend(), loop, access::Principal{}),
        stopping_(gateway_->control().executor()) {
    gateway_->backend().service.add_loop(loop, http_);
    gateway_->control().start();
    gateway_->start();
  }
  // Without stop() before, engines end with the thread that started them.
  ~StandaloneBackend() override {
    gateway_->control().stop();
    gateway_->control().join();
  }

  inference::ModelApi& models() override { return api_; }

  Task<void> stop() override {
    gateway_->control().post([this] { stopping_.spawn(stop_gateway(this)); });
    for (auto seen = stopped_.get(); !seen.value; seen = stopped_.get()) {
      co_await stopped_.changed(seen.version, {}, std::nullopt);
    }
  }

 private:
  static Task<void> stop_gateway(StandaloneBackend* self) {
    co_await self->gateway_->stop(std::chrono::milliseconds(0), {});
    self->stopped_.set(true);
  }

  net::HttpClient http_;
  std::unique_ptr<Gateway> gateway_;
  inference::LocalModelApi api_;
  TaskGroup stopping_;  // of the control loop
  Watch<bool> stopped_;
};

}  // namespace

BackendFactory standalone_backend(const Settings& settings, const Installation& installation, observe::Log& log) {
  return [&](Loop& loop) { return StandaloneBackend::make(loop, settings, installation, log); };
}

}  // namespace llm::cli
