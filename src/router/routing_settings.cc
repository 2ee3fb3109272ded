#include "router/routing_settings.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <set>

namespace llm {

const json::Table<router::RouteTarget>& json::Fields<router::RouteTarget>::table() {
  using S = router::RouteTarget;
  static const Table<S> table{
      "route target",
      {
          field("model", &S::model,
                {.description = "An installed model, an alias, or <provider>/<model>.",
                 .required = true,
                 .min_length = 1,
                 .max_length = 512}),
          field(
              "weight", &S::weight,
              {.description = "Its share beside the others of the list, in any unit. Of shadow: the share of requests "
                              "that are copied, 0..1.",
               .minimum = 0,
               .maximum = 1'000'000}),
          field("priority", &S::priority,
                {.description = "Policy priority: the lowest number that is available gets the request.",
                 .minimum = -1000,
                 .maximum = 1000}),
      }};
  return table;
}

const json::Table<router::ModelRouting>& json::Fields<router::ModelRouting>::table() {
  using S = router::ModelRouting;
  static const Table<S> table{
      "model routing",
      {
          field("targets", &S::targets,
                {.description = "What answers under this name, as one pool, instead of the model of that name.",
                 .max_items = 64}),
          field(
              "split", &S::split,
              {.description = "Versions that share the callers by weight; a caller stays with one.", .max_items = 64}),
          field("shadow", &S::shadow,
                {.description = "Get copies of a share (weight) of the requests. Their answers are dropped.",
                 .max_items = 8}),
          field("fallbacks", &S::fallbacks,
                {.description = "Names that are asked, in this order, when nothing above can answer.",
                 .min_length = 1,
                 .max_length = 512,
                 .max_items = 16}),
          field("policy", &S::policy, {.description = "Which replica gets a request. Default: routing.policy."}),
          field("locality", &S::locality,
                {.description =
                     "local_only: nothing asked of this model leaves the machine, not by a fallback or a shadow "
                     "either. Default: routing.locality."}),
          field("retries", &S::retries,
                {.description = "Further replicas that are asked when one fails. Default: routing.retries.",
                 .maximum = 10}),
          field("broken_stream", &S::broken_stream,
                {.description = "What follows when an engine dies while it answers. Default: routing.broken_stream."}),
          field("timeout", &S::timeout,
                {.description = "For a whole request, retries included; 0 none. Default: routing.timeout.",
                 .minimum = 0}),
          field("first_token_timeout", &S::first_token_timeout,
                {.description = "Until the first piece of a streamed answer, instead of the engine's; 0 none.",
                 .minimum = 0}),
          field("stall_timeout", &S::stall_timeout,
                {.description = "The longest pause between two pieces of an answer, instead of the engine's; 0 none.",
                 .minimum = 0}),
          field("hedge_after", &S::hedge_after,
                {.description = "Embeddings and ranking: a second replica is asked too after this; 0 never. Default: "
                                "routing.hedge_after.",
                 .minimum = 0}),
          field("cache", &S::cache,
                {.description = "true: answers are kept and given again to the same request; false: never. Default: as "
                                "`cache` says."}),
      }};
  return table;
}

const json::Table<router::BreakerSettings>& json::Fields<router::BreakerSettings>::table() {
  using S = router::BreakerSettings;
  static const Table<S> table{
      "circuit breaker",
      {
          field("failures", &S::failures,
                {.description = "Failures in a row after which a replica is not asked any more.",
                 .minimum = 1,
                 .maximum = 1000}),
          field("open_for", &S::open_for,
                {.description = "For how long. Then one request probes it: it comes back, or stays away as long again.",
                 .minimum = 1}),
      }};
  return table;
}

const json::Table<router::OutlierSettings>& json::Fields<router::OutlierSettings>::table() {
  using S = router::OutlierSettings;
  static const Table<S> table{
      "outlier ejection",
      {
          field("error_rate", &S::error_rate,
                {.description =
                     "Share of its last `window` requests that failed at which a replica leaves its pool for a "
                     "while. 1: only one that fails always.",
                 .maximum = 1,
                 .exclusive_minimum = 0}),
          field("window", &S::window,
                {.description = "Requests that are looked at; with less than half of them nobody is judged.",
                 .minimum = 2,
                 .maximum = 256}),
          field("eject_for", &S::eject_for,
                {.description = "How long it stays away; twice as long each time it has to go again, at most 32 times.",
                 .minimum = 1}),
          field("most_ejected", &S::most_ejected,
                {.description = "Largest share of a pool that may be away for this reason. 0: nobody ever.",
                 .minimum = 0,
                 .maximum = 1}),
      }};
  return table;
}

const json::Table<router::HealthSettings>& json::Fields<router::HealthSettings>::table() {
  using S = router::HealthSettings;
  static const Table<S> table{
      "health checks",
      {
          field("interval", &S::interval,
                {.description = "Between two checks of an engine that somebody else runs; 0: it is not asked.",
                 .minimum = 0}),
          field("timeout", &S::timeout, {.description = "For the answer to one check.", .minimum = 1}),
          field("slow_start", &S::slow_start,
                {.description = "A replica that came back gets its full share after this, less before; 0: at once.",
                 .minimum = 0}),
      }};
  return table;
}

const json::Table<router::RoutingSettings>& json::Fields<router::RoutingSettings>::table() {
  using S = router::RoutingSettings;
  static const Table<S> table{
      "routing",
      {
          field("policy", &S::policy,
                {.description =
                     "Which of a model's replicas gets a request. least_loaded: the better of two, by tokens in "
                     "flight; prefix: the one that has most of the prompt in its cache; session: always the "
                     "same one for a session; cost, latency, priority: the best by that."}),
          field("locality", &S::locality, {.description = "local_only: no request leaves this machine."}),
          field("retries", &S::retries,
                {.description = "Further replicas that are asked when one fails before its answer began.",
                 .maximum = 10}),
          field("retry_budget", &S::retry_budget,
                {.description =
                     "Retries and hedges, as a share of the requests of the last ten seconds. Three are always "
                     "allowed.",
                 .minimum = 0,
                 .maximum = 10}),
          field("broken_stream", &S::broken_stream,
                {.description =
                     "What follows when an engine dies while it answers. error: the client keeps what came and "
                     "gets an error event; continue: another replica goes on from there."}),
          field("timeout", &S::timeout,
                {.description = "For a whole request, retries included; 0 none.", .minimum = 0}),
          field("hedge_after", &S::hedge_after,
                {.description = "Embeddings and ranking: a second replica is asked too after this; 0 never.",
                 .minimum = 0}),
          field(
              "bounded_load", &S::bounded_load,
              {.description = "Policies prefix and session: a replica with more than so many times the mean load gets "
                              "no request, whatever it has in its cache.",
               .minimum = 1,
               .maximum = 100}),
          field("breaker", &S::breaker, {.description = "A replica that fails is left alone for a while."}),
          field("outlier", &S::outlier,
                {.description = "A replica that fails more often than others leaves its pool."}),
          field("health", &S::health,
                {.description = "Engines that somebody else runs are asked whether they are well."}),
          field("models", &S::models, {.description = "Routes of one model name each, installed or new."}),
      }};
  return table;
}

namespace router {
namespace {

std::string at(const std::string& name, std::string_view list, std::size_t index) {
  return fmt::format("{}/{}/{}", json::pointer_join("/models", name), list, index);
}

Result<void> check_weights(const std::string& name, std::string_view list, const std::vector<RouteTarget>& targets) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].weight > 0) continue;
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("expected a weight above 0, got {}; remove the entry to send it nothing", targets[i].weight),
        at(name, list, i) + "/weight");
  }
  return {};
}

Result<void> check_shadows(const std::string& name, const std::vector<RouteTarget>& shadows) {
  for (std::size_t i = 0; i < shadows.size(); ++i) {
    if (shadows[i].weight >= 0 && shadows[i].weight <= 1) continue;
    return fail(ErrorCode::kInvalidArgument, fmt::format("expected a share between 0 and 1, got {}", shadows[i].weight),
                at(name, "shadow", i) + "/weight");
  }
  return {};
}

// A place in the configuration that leads from one name to another.
struct Step {
  std::string_view to;
  std::string pointer;
};

// A split may name its own model: the version that is there already, beside a new one.
std::vector<Step> steps_of(const std::string& name, const ModelRouting& routing) {
  std::vector<Step> steps;
  for (std::size_t i = 0; i < routing.targets.size(); ++i) {
    steps.push_back({routing.targets[i].model, at(name, "targets", i) + "/model"});
  }
  for (std::size_t i = 0; i < routing.split.size(); ++i) {
    if (routing.split[i].model != name) steps.push_back({routing.split[i].model, at(name, "split", i) + "/model"});
  }
  for (std::size_t i = 0; i < routing.fallbacks.size(); ++i) {
    steps.push_back({routing.fallbacks[i], at(name, "fallbacks", i)});
  }
  return steps;
}

class CircleSearch {
 public:
  explicit CircleSearch(const RoutingSettings& settings) : settings_(settings) {}

  Result<void> visit(const std::string& name) {
    const auto routing = settings_.models.find(name);
    if (routing == settings_.models.end() || done_.contains(name)) return {};
    path_.push_back(name);
    for (const Step& step : steps_of(name, routing->second)) {
      const auto seen = std::ranges::find(path_, step.to);
      if (seen != path_.end()) {
        std::string circle;
        for (auto it = seen; it != path_.end(); ++it) circle += *it + " → ";
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("the route leads back to where it came from: {}{}", circle, step.to), step.pointer);
      }
      if (auto further = visit(std::string(step.to)); !further) return further;
    }
    path_.pop_back();
    done_.insert(name);
    return {};
  }

 private:
  const RoutingSettings& settings_;
  std::vector<std::string> path_;
  std::set<std::string, std::less<>> done_;
};

}  // namespace

Result<void> check_routing(const RoutingSettings& settings) {
  for (const auto& [name, routing] : settings.models) {
    if (auto ok = check_weights(name, "targets", routing.targets); !ok) return ok;
    if (auto ok = check_weights(name, "split", routing.split); !ok) return ok;
    if (auto ok = check_shadows(name, routing.shadow); !ok) return ok;
    if (!routing.targets.empty() && !routing.split.empty()) {
      return fail(ErrorCode::kInvalidArgument, "targets and split are both set; keep one of them",
                  json::pointer_join("/models", name) + "/split");
    }
  }
  CircleSearch search(settings);
  for (const auto& [name, routing] : settings.models) {
    if (auto ok = search.visit(name); !ok) return ok;
  }
  return {};
}

}  // namespace router
}  // namespace llm
