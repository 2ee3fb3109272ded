#include "engines/vllm/vllm_driver.h"

#include <algorithm>
#include <fmt/format.h>

#include "async/event.h"
#include "base/random.h"
#include "engines/vllm/cluster_launcher.h"
#include "engines/vllm/plan.h"
#include "engines/vllm/process_launcher.h"
#include "engines/vllm/vllm_commands.h"
#include "engines/vllm/vllm_features.h"

namespace llm::engines {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kReapPatience{1'000};
constexpr milliseconds kShortestPause{20};
constexpr milliseconds kLongestPause{200};
constexpr std::uint32_t kDefaultCapacity = 256;  // vLLM's own max_num_seqs
constexpr double kPullShare = 0.3;               // of the progress, where an image is pulled first

class VllmDriver final : public Driver {
 public:
  VllmDriver(Loop& control, net::HttpClient& client, VllmDriverSettings settings, EngineSpec spec,
             std::unique_ptr<Launcher> launcher)
      : control_(control),
        client_(client),
        settings_(std::move(settings)),
        spec_(std::move(spec)),
        engine_(spec_.name.empty() ? spec_.key : spec_.name),
        launcher_(std::move(launcher)),
        log_(settings_.start_times->find(key())),
        changed_(control.executor()) {}

  Task<Result<EngineInfo>> start(OnProgress on_progress, OnExit on_exit, CancelToken cancel) override {
    on_progress_ = std::move(on_progress);
    on_exit_ = std::move(on_exit);
    CancelSource give_up;  // the caller's cancel or the deadline, whichever comes first
    bool late = false;
    Deadline deadline([&late, &give_up] {
      late = true;
      give_up.cancel();
    });
    begin_again_ = [this, &deadline] { control_.wheel().arm(deadline, milliseconds(config().start_timeout.ms)); };
    begin_again_();
    const auto forwarded = cancel.on_cancel([&give_up] { give_up.cancel(); });
    Result<EngineInfo> ready = launcher_ ? co_await launch_and_wait(give_up.token()) : co_await find(give_up.token());
    on_progress_ = nullptr;
    begin_again_ = nullptr;
    if (ready && exit_) ready = fail(explain());
    if (ready) {
      serving_ = true;
      log_.ready();
      co_return ready;
    }
    if (cancel.cancelled()) {
      ready = fail(ErrorCode::kCancelled, "the load was cancelled");
    } else if (late) {
      ready = fail(too_late());
    }
    co_await end(Launcher::Ending::kSoon);
    co_return ready;
  }

  Task<void> stop() override { co_await end(keeps_running() ? Launcher::Ending::kKeep : Launcher::Ending::kDrain); }

  std::uint64_t memory_bytes() const override { return launcher_ && !exit_ ? launcher_->memory_bytes() : 0; }
  std::vector<std::string> last_log_lines() const override { return log_.last_lines(); }
  bool keeps_running() const override { return config().keep_running && config().runtime == VllmRuntime::kContainer; }

  Task<Result<json::object>> command(EngineCommand command, CancelToken cancel) override {
    if (!probe_ || exit_) {
      co_return fail(ErrorCode::kUnavailable, fmt::format("the engine \"{}\" does not run", engine_));
    }
    const VllmTarget target{*probe_, api_, engine_, settings_.adapters, sleep_level_, settings_.work_timeout};
    auto result = co_await run_vllm_command(target, std::move(command), cancel);
    if (!result && exit_) result = fail(explain());
    co_return result;
  }

 private:
  const VllmSettings& config() const { return *spec_.vllm; }
  std::string key() const { return fmt::format("{}#{}", engine_, spec_.replica); }

  // ---- bringing it up ----

  Task<Result<EngineInfo>> launch_and_wait(CancelToken cancel) {
    on_progress({"starting", 0.01});
    auto plan = co_await make_plan(cancel);
    if (!plan) co_return fail(std::move(plan.error()));
    if (settings_.adapters) settings_.adapters->reset(engine_, config().lora_modules);
    auto launched = co_await launcher_->launch(std::move(*plan), events(), cancel);
    if (!launched) {
      auto error = std::move(launched.error());
      if (exit_) error = explain();
      co_return fail(std::move(error));
    }
    launched_ = std::move(*launched);
    co_return co_await wait_until_ready(launched_, cancel);
  }

  Task<Result<LaunchPlan>> make_plan(CancelToken cancel) {
    VllmPlanInput input{.name = engine_, .replica = spec_.replica, .settings = config()};
    input.environment = settings_.environment;
    input.api_key = config().api_key.empty() ? random_id() : config().api_key;
    if (settings_.choose_gpus) {
      auto chosen = settings_.choose_gpus(spec_);
      if (!chosen) co_return fail(std::move(chosen.error()));
      input.gpus = std::move(chosen->indexes);
      input.gpu_uuids = std::move(chosen->uuids);
    }
    if (settings_.model_folder) input.model_folder = settings_.model_folder(spec_);
    if (config().runtime == VllmRuntime::kContainer) {
      input.known.version = version_of_image(config().container.image);
      co_return make_launch_plan(input);
    }
    auto plan = make_launch_plan(input);
    if (!plan || plan->argv.empty()) co_return plan;
    const auto environment = process_environment_for(settings_.environment, plan->environment);
    input.known.version =
        co_await installed_vllm_version(control_, plan->argv.front(), environment, settings_.version_timeout, cancel);
    co_return make_launch_plan(input);
  }

  Launcher::Events events() {
    return {.on_line =
                [this](std::string_view line) {
                  log_.add(line);
                  on_progress(log_.progress());
                },
            .on_progress =
                [this](LoadProgress pull) {
                  pulled_ = kPullShare;
                  if (begin_again_) begin_again_();  // an image takes as long as it takes
                  if (on_progress_) on_progress_({pull.phase, pull.fraction * kPullShare});
                },
            .on_exit = [this](LaunchExit exit) { on_end(exit); }};
  }

  void on_progress(LoadProgress progress) {
    progress.fraction = pulled_ + (1 - pulled_) * progress.fraction;
    if (!on_progress_ || progress == told_) return;
    told_ = progress;
    on_progress_(progress);
  }

  void on_end(LaunchExit exit) {
    exit_ = exit;
    changed_.notify();
    if (std::exchange(serving_, false) && on_exit_) on_exit_(explain());
  }

  // Somebody else runs it.
  Task<Result<EngineInfo>> find(CancelToken cancel) {
    auto endpoint = net::parse_endpoint(config().base_url);
    if (!endpoint) {
      co_return fail(ErrorCode::kUnavailable,
                     fmt::format("the base_url of engine \"{}\" is wrong: {}", engine_, endpoint.error().message));
    }
    launched_.endpoint = *endpoint;
    launched_.api_key = config().api_key;
    auto alive = co_await VllmProbe(client_, launched_.endpoint, launched_.api_key, settings_.probe_timeout)
                     .get("/health", cancel);
    if (!alive) {
      co_return fail(ErrorCode::kUnavailable,
                     fmt::format("the engine \"{}\" cannot be reached: {}", engine_, alive.error().message));
    }
    if (alive->status != 200) {
      co_return fail(ErrorCode::kUnavailable, fmt::format("the engine \"{}\" at {} is not well: /health answers {}",
                                                          engine_, launched_.endpoint.text(), alive->status));
    }
    co_return co_await wait_until_ready(launched_, cancel);
  }

  // Health first, then its models and what it offers, then one real request: only that proves that it serves.
  Task<Result<EngineInfo>> wait_until_ready(const Launcher::Launched& launched, CancelToken cancel) {
    probe_.emplace(client_, launched.endpoint, launched.api_key, settings_.probe_timeout);
    auto pause = kShortestPause;
    while (true) {
      if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the load was cancelled");
      if (exit_) co_return fail(explain());
      auto health = co_await probe_->get("/health", cancel);
      if (health && health->status == 200) break;
      co_await wait(pause, cancel);
      pause = std::min(pause * 2, kLongestPause);
    }
    log_.serves();
    on_progress(log_.progress());
    auto described = co_await describe(launched, cancel);
    if (!described) co_return fail(co_await cause(std::move(described.error())));
    if (launcher_ && !launched.adopted) settings_.start_times->remember(key(), log_.times());
    co_return described;
  }

  Task<Result<EngineInfo>> describe(const Launcher::Launched& launched, CancelToken cancel) {
    auto api = co_await probe_->api(cancel);
    if (!api) co_return fail(std::move(api.error()));
    api_ = std::move(*api);
    auto models = co_await probe_->models(cancel);
    if (!models) co_return fail(std::move(models.error()));
    const auto base = std::ranges::find_if(*models, [](const VllmModel& model) { return !model.adapter(); });
    if (base == models->end()) co_return fail(ErrorCode::kEngineFailed, "the engine names no model that it serves");
    take_adapters(*models);
    // Adopted, it may have been left asleep.
    if (co_await vllm_is_sleeping(*probe_, api_, cancel)) {
      const VllmTarget target{*probe_, api_, engine_, settings_.adapters, sleep_level_, settings_.work_timeout};
      auto awake = co_await run_vllm_command(target, {.kind = EngineCommand::Kind::kWake}, cancel);
      if (!awake) co_return fail(std::move(awake.error()));
    }
    const auto timeout = milliseconds(config().start_timeout.ms);
    auto mode = co_await probe_->serve_one(base->id, api_, spec_.settings.mode, timeout, cancel);
    if (!mode) co_return fail(std::move(mode.error()));
    co_return info_of(launched, *base, *mode);
  }

  EngineInfo info_of(const Launcher::Launched& launched, const VllmModel& model, EngineMode mode) const {
    const VllmSettings& s = config();
    EngineInfo info;
    info.endpoint = probe_->root();
    info.endpoint.base_path += "/v1";
    info.upstream_model = model.id;
    info.api_key = launched.api_key;
    info.context = model.context;
    info.slots = s.max_num_seqs;
    info.capacity = s.max_concurrent > 0 ? s.max_concurrent : s.max_num_seqs > 0 ? s.max_num_seqs : kDefaultCapacity;
    info.mode = mode;
    info.external = !launcher_;
    info.kind = dialects::ProviderKind::kVllm;
    info.version = api_.version;
    info.can_sleep = launcher_ && s.sleep_mode && api_.sleep();
    if (launcher_) info.supports_tools = !s.tool_call_parser.empty();
    if (!launcher_) {
      ProviderSettings there;
      there.preset = dialects::ProviderKind::kVllm;
      there.base_url = s.base_url;
      info.leaves_machine = leaves_machine(there);
    }
    info.request_timeout = milliseconds(s.request_timeout.ms);
    info.first_token_timeout = milliseconds(s.first_token_timeout.ms);
    info.stall_timeout = milliseconds(s.stall_timeout.ms);
    info.pid = launched.pid;
    return info;
  }

  void take_adapters(const std::vector<VllmModel>& models) const {
    if (!settings_.adapters) return;
    std::vector<LoraModule> known;
    for (const auto& model : models) {
      if (model.adapter()) known.push_back({model.id, model.root});
    }
    settings_.adapters->set(engine_, std::move(known));
  }

  // ---- its end ----

  Task<void> end(Launcher::Ending ending) {
    serving_ = false;
    on_progress_ = nullptr;
    if (launcher_) co_await launcher_->stop(ending);
    if (settings_.adapters && ending != Launcher::Ending::kKeep)
      settings_.adapters->reset(engine_, config().lora_modules);
    if (probe_) client_.forget(probe_->root());
    auto api = launched_.endpoint;
    api.base_path = "/v1";
    client_.forget(api);
  }

  Error explain() const { return log_.explain(key_for_people(), exit_, false); }

  std::string key_for_people() const { return spec_.replica == 0 ? engine_ : key(); }

  Error too_late() const {
    const std::string text = fmt::format(
        "the engine \"{}\" was not ready after {} s (last phase: {}); raise its start_timeout if the model is large",
        key_for_people(), config().start_timeout.ms / 1000, log_.progress().phase);
    return {ErrorCode::kEngineTimeout, text, {}, {}, 0};
  }

  // The better reason for what a request to the engine saw: a connection breaks a moment before the end is noticed.
  Task<Error> cause(Error seen) {
    const bool broken = seen.code == ErrorCode::kEngineFailed || seen.code == ErrorCode::kUnavailable;
    if (broken && launcher_ && !exit_) co_await wait(kReapPatience, {});
    co_return exit_ ? explain() : seen;
  }

  // Until the engine ends, the cancel or the time is over.
  Task<void> wait(milliseconds time, CancelToken cancel) {
    bool over = cancel.cancelled();
    const auto wake = [this, &over] {
      over = true;
      changed_.notify();
    };
    Deadline pause(wake);
    control_.wheel().arm(pause, time);
    const auto cancelled = cancel.on_cancel(wake);
    while (!over && !exit_) co_await changed_.wait();
  }

  Loop& control_;
  net::HttpClient& client_;
  VllmDriverSettings settings_;
  EngineSpec spec_;
  std::string engine_;  // name of the entry
  std::unique_ptr<Launcher> launcher_;
  Launcher::Launched launched_;
  VllmLog log_;
  Event changed_;
  std::function<void()> begin_again_;  // gives the start its whole time once more
  OnProgress on_progress_;
  OnExit on_exit_;
  LoadProgress told_;
  double pulled_ = 0;
  std::optional<VllmProbe> probe_;
  VllmApi api_;
  std::uint32_t sleep_level_ = 0;
  std::optional<LaunchExit> exit_;
  bool serving_ = false;
};

}  // namespace

std::unique_ptr<Driver> make_vllm_driver(Loop& control, net::HttpClient& client, VllmDriverSettings settings,
                                         EngineSpec spec, std::unique_ptr<Launcher> launcher) {
  return std::make_unique<VllmDriver>(control, client, std::move(settings), std::move(spec), std::move(launcher));
}

std::unique_ptr<Driver> make_vllm_driver(Loop& control, net::HttpClient& client, VllmDriverSettings settings,
                                         EngineSpec spec) {
  std::unique_ptr<Launcher> launcher;
  if (spec.vllm->runtime == VllmRuntime::kContainer) {
    const auto make = [&control, &client, container = settings.container] {
      return make_container_launcher(control, client, container);
    };
    launcher = spec.vllm->multi_node.docker_hosts.empty() ? make() : make_cluster_launcher(make);
  } else if (spec.vllm->runtime == VllmRuntime::kProcess) {
    launcher = make_process_launcher(control, settings.environment);
  }
  return make_vllm_driver(control, client, std::move(settings), std::move(spec), std::move(launcher));
}

}  // namespace llm::engines
