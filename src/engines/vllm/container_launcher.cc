#include "engines/vllm/container_launcher.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "async/task_group.h"
#include "base/random.h"
#include "containers/docker_client.h"
#include "engines/vllm/container_body.h"
#include "engines/vllm/container_keys.h"
#include "engines/vllm/container_watch.h"
#include "engines/vllm/plan.h"

namespace llm::engines {
namespace {

using containers::ContainerDetails;
using containers::ContainerSummary;
using containers::DockerClient;
using std::chrono::milliseconds;

constexpr milliseconds kOrphanPatience{10'000};  // for a container that nobody wants any more to end by itself

std::string label(const ContainerSummary& container, std::string_view name) {
  const auto at = container.labels.find(std::string(name));
  return at == container.labels.end() ? std::string() : at->second;
}

// Ends and removes one; by force where it does not go politely.
Task<Result<void>> end_container(DockerClient& docker, std::string id, milliseconds patience) {
  const auto stopped = co_await docker.stop(id, patience, {});
  if (!stopped && stopped.error().code != ErrorCode::kNotFound) (void)co_await docker.kill(id, {});
  auto removed = co_await docker.remove(id, {});
  if (!removed) removed = co_await docker.remove(id, {});  // a connection that broke is no reason to leave it
  co_return removed;
}

class ContainerLauncher final : public Launcher {
 public:
  ContainerLauncher(Loop& control, net::HttpClient& client, ContainerLauncherSettings settings)
      : control_(control), client_(client), settings_(std::move(settings)) {}

  Task<Result<Launched>> launch(LaunchPlan plan, Events events, CancelToken cancel) override {
    plan_ = std::move(plan);
    events_ = std::move(events);
    auto daemon = containers::parse_docker_host(plan_.docker_host);
    if (!daemon) co_return fail(explained(daemon.error()));
    docker_.emplace(client_, *daemon);
    keys_.emplace(settings_.state_dir, plan_.docker_host);
    auto launched = co_await adopt_or_start(cancel);
    if (launched && cancel.cancelled()) launched = fail(ErrorCode::kCancelled, "the load was cancelled");
    if (launched) {
      endpoint_ = launched->endpoint;
      co_return launched;
    }
    co_await stop(Ending::kSoon);
    // By label, not by id: a create call that broke off may have made one nevertheless.
    (void)co_await remove_others("");
    co_return fail(explained(launched.error()));
  }

  Task<void> stop(Ending ending) override {
    if (!watch_) co_return;
    watch_->expect_end();
    if (ending != Ending::kKeep && !watch_->ended()) {
      const auto patience = ending == Ending::kSoon ? std::min(kSoon, plan_.stop_timeout) : plan_.stop_timeout;
      (void)co_await end_container(*docker_, watch_->id(), patience);
      keys_->remove(watch_->id());
    }
    co_await watch_->let_go();
    watch_.reset();
    client_.forget(endpoint_);
  }

  std::uint64_t memory_bytes() const override { return watch_ ? watch_->memory_bytes() : 0; }

 private:
  Error explained(Error error) const {
    if (error.code == ErrorCode::kCancelled) return error;
    // Not its own code: a missing image is no missing model to whoever asked for a completion.
    if (error.code != ErrorCode::kUnavailable && error.code != ErrorCode::kDiskFull) {
      error.code = ErrorCode::kEngineFailed;
    }
    error.message = fmt::format("the container of engine \"{}\" cannot be started: {}", plan_.engine, error.message);
    error.pointer.clear();
    return error;
  }

  Task<Result<Launched>> adopt_or_start(CancelToken cancel) {
    if (plan_.image.empty() || settings_.gateway.empty()) {
      co_return fail(ErrorCode::kInternal, "a plan without an image, or a gateway without an id");
    }
    auto own = co_await own_containers(cancel);
    if (!own) co_return fail(own.error());
    for (const auto& one : *own) {
      if (label(one, kHashLabel) != plan_.hash || one.state != "running") continue;
      if (auto adopted = co_await adopt(one.id, cancel)) co_return adopted;
    }
    if (auto removed = co_await remove_others(""); !removed) co_return fail(removed.error());
    if (auto image = co_await provide_image(cancel); !image) co_return fail(image.error());
    if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the load was cancelled");
    co_return co_await start();
  }

  Task<Result<std::vector<ContainerSummary>>> own_containers(CancelToken cancel) {
    const std::map<std::string, std::string> labels{{std::string(kEngineLabel), plan_.engine},
                                                    {std::string(kGatewayLabel), settings_.gateway}};
    co_return co_await docker_->list(labels, std::move(cancel));
  }

  // All of this engine but one. Not to be cancelled: what was begun is brought to its end.
  Task<Result<void>> remove_others(std::string but) {
    const auto own = co_await own_containers({});
    if (!own) co_return fail(own.error());
    for (const auto& one : *own) {
      if (one.id == but) continue;
      if (auto ended = co_await end_container(*docker_, one.id, plan_.stop_timeout); !ended) co_return ended;
      keys_->remove(one.id);
    }
    co_return Result<void>();
  }

  // Takes over what runs. An error means that it cannot be used and is to be replaced.
  Task<Result<Launched>> adopt(std::string id, CancelToken cancel) {
    const auto key = keys_->read(id);
    if (!key) co_return fail(ErrorCode::kNotFound, "its API key is not known");
    auto container = co_await docker_->inspect(id, cancel);
    if (!container) co_return fail(container.error());
    if (!container->running) co_return fail(ErrorCode::kConflict, "it has ended");
    auto launched = describe(*container);
    if (!launched) co_return launched;
    if (auto others = co_await remove_others(id); !others) co_return fail(others.error());
    launched->api_key = *key;
    launched->adopted = true;
    watch(std::move(*container));
    co_return launched;
  }

  Task<Result<void>> provide_image(CancelToken cancel) {
    const auto here = co_await docker_->has_image(plan_.image, cancel);
    if (!here) co_return fail(here.error());
    if (*here) co_return Result<void>();
    if (!plan_.pull) {
      co_return fail(
          ErrorCode::kEngineFailed,
          fmt::format("the image \"{}\" is not here and container.pull is false; load it, or let it be pulled",
                      plan_.image));
    }
    std::string auth;
    if (!plan_.registry_auth.empty()) {
      auto made = containers::registry_auth(plan_.registry_auth);
      if (!made) co_return fail(made.error());
      auth = std::move(*made);
    }
    const auto on_progress = [this](double fraction) {
      if (events_.on_progress) events_.on_progress({"pulling image", fraction});
    };
    co_return co_await docker_->pull_image(plan_.image, std::move(auth), on_progress, cancel);
  }

  // Not to be cancelled in the middle: a container that is created after its creator has left belongs to nobody.
  Task<Result<Launched>> start() {
    const std::string name = launched_name(plan_.engine, settings_.gateway);
    auto id = co_await docker_->create(name, container_body(plan_, settings_), {});
    if (!id && id.error().code == ErrorCode::kConflict) {
      // Somebody else's container has the name; no reason to touch it.
      const std::string other = fmt::format("{}-{}", name, random_id().substr(0, 6));
      id = co_await docker_->create(other, container_body(plan_, settings_), {});
    }
    if (!id) co_return fail(id.error());
    if (auto kept = keys_->write(*id, plan_.api_key); !kept) co_return fail(kept.error());
    if (auto started = co_await docker_->start(*id, {}); !started) {
      keys_->remove(*id);
      if (started.error().message.contains("rlimit") && give_up_limits()) {
        if (auto removed = co_await docker_->remove(*id, {}); !removed) co_return fail(removed.error());
        co_return co_await start();
      }
      co_return fail(started.error());
    }
    auto container = co_await docker_->inspect(*id, {});
    if (!container) co_return fail(container.error());
    // One that has ended already tells why in its log, which the watch reads before it reports the end.
    Result<Launched> launched;
    if (container->running) launched = describe(*container);
    if (!launched) co_return launched;
    launched->api_key = plan_.api_key;
    watch(std::move(*container));
    co_return launched;
  }

  // A container engine without full rights cannot raise limits. What they are for, RDMA, would not work there anyway.
  bool give_up_limits() {
    auto* host = plan_.container.if_contains("HostConfig");
    return host && host->is_object() && host->get_object().erase("Ulimits") > 0;
  }

  Result<Launched> describe(const ContainerDetails& container) const {
    Launched launched;
    launched.pid = container.pid;
    launched.endpoint.host = "127.0.0.1";
    const std::string inside = published_port(plan_);
    const auto port = container.ports.find(inside);
    launched.endpoint.port = inside.empty() ? plan_.port : port == container.ports.end() ? 0 : port->second;
    if (launched.endpoint.port != 0) return launched;
    return fail(ErrorCode::kEngineFailed, fmt::format("its port {} is not published on this machine", inside));
  }

  void watch(ContainerDetails container) {
    watch_ =
        std::make_unique<ContainerWatch>(control_, client_, docker_->endpoint(), *keys_, std::move(container), events_);
  }

  Loop& control_;
  net::HttpClient& client_;
  ContainerLauncherSettings settings_;
  LaunchPlan plan_;
  Events events_;
  net::Endpoint endpoint_;
  std::optional<DockerClient> docker_;
  std::optional<ContainerKeys> keys_;
  std::unique_ptr<ContainerWatch> watch_;
};

struct Orphan {
  std::string id;
  std::string engine;
  Result<void> outcome = {};
};

Task<void> remove_orphan(DockerClient& docker, Orphan& orphan) {
  orphan.outcome = co_await end_container(docker, orphan.id, kOrphanPatience);
}

}  // namespace

std::unique_ptr<Launcher> make_container_launcher(Loop& control, net::HttpClient& client,
                                                  ContainerLauncherSettings settings) {
  return std::make_unique<ContainerLauncher>(control, client, std::move(settings));
}

Task<Result<std::vector<std::string>>> remove_orphan_containers(Loop& control, net::HttpClient& client,
                                                                ContainerLauncherSettings settings,
                                                                std::string docker_host,
                                                                std::vector<std::string> wanted_hashes,
                                                                CancelToken cancel) {
  auto daemon = containers::parse_docker_host(docker_host);
  if (!daemon) co_return fail(daemon.error());
  DockerClient docker(client, *daemon);
  const ContainerKeys keys(settings.state_dir, docker_host);
  const auto own = co_await docker.list({{std::string(kGatewayLabel), settings.gateway}}, cancel);
  if (!own) co_return fail(own.error());
  std::vector<std::string> kept;
  std::vector<Orphan> orphans;
  for (const auto& one : *own) {
    if (label(one, kRunLabel) == settings.run) {
      kept.push_back(one.id);
      continue;
    }
    const bool wanted = std::ranges::find(wanted_hashes, label(one, kHashLabel)) != wanted_hashes.end();
    if (wanted && one.state == "running" && keys.read(one.id)) {
      kept.push_back(one.id);
    } else {
      orphans.push_back({one.id, label(one, kEngineLabel)});
    }
  }
  // Side by side: each may take its time.
  TaskGroup group(control.executor());
  for (auto& orphan : orphans) group.spawn(remove_orphan(docker, orphan));
  co_await group.join();
  keys.keep_only(kept);
  std::vector<std::string> removed;
  for (auto& orphan : orphans) {
    if (!orphan.outcome) co_return fail(std::move(orphan.outcome.error()));
    removed.push_back(std::move(orphan.engine));
  }
  co_return removed;
}

}  // namespace llm::engines
