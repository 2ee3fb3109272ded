#include "router/router.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <random>

#include "engines/provider_settings.h"
#include "net/address.h"

namespace llm::router {
namespace {

constexpr int kDeepest = 8;                  // names that lead to names
constexpr std::size_t kMostReplicas = 4096;  // <provider>/<any model> makes new ones
constexpr std::size_t kMostSteps = 4096;

bool leaves_machine(const engines::EngineSpec& spec) {
  if (spec.external) return engines::leaves_machine(*spec.external);
  if (!spec.vllm || spec.vllm->runtime != engines::VllmRuntime::kRemote) return false;
  engines::ProviderSettings there;
  there.base_url = spec.vllm->base_url;
  return engines::leaves_machine(there);
}

// Leaves out what is elsewhere. `targets`: one for each entry.
void keep_local(std::vector<std::shared_ptr<const CatalogueEntry>>& entries, std::vector<RouteTarget>& targets) {
  for (std::size_t i = entries.size(); i-- > 0;) {
    if (!leaves_machine(*entries[i]->spec)) continue;
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
    targets.erase(targets.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

std::chrono::milliseconds ms(json::Duration duration) {
  return std::chrono::milliseconds(duration.ms);
}

std::vector<RouteTarget> as_targets(const std::vector<models::AliasTarget>& targets) {
  std::vector<RouteTarget> out;
  for (const auto& target : targets) out.push_back({.model = target.model, .weight = target.weight});
  return out;
}

}  // namespace

// FNV-1a, then mixed.
std::uint64_t stable_hash(std::string_view a, std::string_view b) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    hash = (hash ^ 0xffU) * 0x100000001b3U;
  };
  add(a);
  add(b);
  hash ^= hash >> 33U;
  hash *= 0xff51afd7ed558ccdU;
  hash ^= hash >> 33U;
  hash *= 0xc4ceb9fe1a85ec53U;
  return hash ^ (hash >> 33U);
}

std::size_t sticky_choice(std::span<const RouteTarget> targets, std::string_view caller) {
  std::size_t best = 0;
  double best_score = -1;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    // 53 bits of the hash as a number in (0, 1); -weight / ln(it) makes shares exactly proportional to the weights.
    const double unit = (static_cast<double>(stable_hash(targets[i].model, caller) >> 11U) + 0.5) * 0x1.0p-53;
    const double score = targets[i].weight <= 0 ? 0 : -targets[i].weight / std::log(unit);
    if (score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

const RouteReplica& RouteStep::of(const Replica& replica) const {
  const auto& known = pool->replicas();
  const auto found = std::ranges::find(known, &replica, [](const auto& held) { return held.get(); });
  return replicas[static_cast<std::size_t>(found - known.begin())];
}

Router::Router(Catalogue& catalogue, RoutingSettings settings, observe::GatewayMetrics* metrics, Pool::Now now)
    : catalogue_(catalogue),
      settings_(std::move(settings)),
      now_(now),
      metrics_(metrics ? std::make_unique<RouterMetrics>(*metrics) : nullptr),
      budget_(settings_.retry_budget, 3, now) {}

bool Router::take_retry() {
  const bool taken = budget_.take();
  if (taken && metrics_) metrics_->retried();
  return taken;
}

void Router::fell_back() {
  if (metrics_) metrics_->fell_back();
}

void Router::hedged() {
  if (metrics_) metrics_->hedged();
}

Router::~Router() = default;

const ModelRouting* Router::routing_of(std::string_view name) const {
  if (settings_.models.empty()) return nullptr;
  const auto found = settings_.models.find(std::string(name));
  return found == settings_.models.end() ? nullptr : &found->second;
}

bool Router::local_only(const RouteQuery& query, std::string_view name) const {
  if (query.local_only) return true;
  const auto* routing = routing_of(name);
  return (routing ? routing->locality.value_or(settings_.locality) : settings_.locality) == LocalityRule::kLocalOnly;
}

Task<Result<std::shared_ptr<const CatalogueEntry>>> Router::leaf(std::string name, const RouteQuery& query) {
  co_return co_await catalogue_.resolve(std::move(name), query.choice);
}

// The rule of every name on the way holds, not only that of the one that was asked for.
Task<Result<Router::Members>> Router::members_of(std::string name, const RouteQuery& query, int depth) {
  if (depth > kDeepest) {
    co_return fail(ErrorCode::kInvalidArgument, fmt::format("the routes of \"{}\" lead through too many names", name),
                   "/model");
  }
  if (const auto* routing = routing_of(name)) {
    if (!routing->split.empty()) {
      const auto& chosen = routing->split[sticky_choice(routing->split, query.caller)];
      auto members =
          chosen.model == name ? Result<Members>(Members{}) : co_await members_of(chosen.model, query, depth + 1);
      if (members && local_only(query, chosen.model)) keep_local(members->entries, members->targets);
      if (members && chosen.model == name) {
        auto entry = co_await leaf(name, query);
        if (!entry) co_return fail(entry.error());
        members->entries.push_back(*entry);
        members->targets.push_back({.model = name});
      }
      if (members) members->shadow.insert(members->shadow.end(), routing->shadow.begin(), routing->shadow.end());
      co_return members;
    }
    if (!routing->targets.empty()) {
      Members members;
      members.shadow = routing->shadow;
      for (const auto& target : routing->targets) {
        auto entry = co_await leaf(target.model, query);
        if (!entry) co_return fail(entry.error());
        if (local_only(query, target.model) && leaves_machine(*(*entry)->spec)) continue;
        members.entries.push_back(*entry);
        members.targets.push_back(target);
      }
      co_return members;
    }
  }
  if (const auto alias = catalogue_.alias_now(name); alias && (alias->targets.size() > 1 || !alias->shadow.empty())) {
    const auto targets = as_targets(alias->targets);
    const auto& chosen = targets[sticky_choice(targets, query.caller)];
    auto members = co_await members_of(chosen.model, query, depth + 1);
    if (!members) co_return members;
    if (local_only(query, chosen.model)) keep_local(members->entries, members->targets);
    const auto shadow = as_targets(alias->shadow);
    members->shadow.insert(members->shadow.end(), shadow.begin(), shadow.end());
    co_return members;
  }
  auto entry = co_await leaf(name, query);
  if (!entry) co_return fail(entry.error());
  Members members;
  members.entries.push_back(*entry);
  members.targets.push_back({.model = name});
  if (const auto* routing = routing_of(name)) members.shadow = routing->shadow;
  co_return members;
}

std::shared_ptr<Replica> Router::replica_of(const engines::EngineSpec& spec, const RouteTarget& target) {
  auto& replica = replicas_[spec.key];
  if (!replica) {
    ReplicaOptions options{.weight = target.weight,
                           .priority = target.priority,
                           .breaker = settings_.breaker,
                           .slow_start = ms(settings_.health.slow_start),
                           .metrics = metrics_ ? &metrics_->replica(spec.key) : nullptr};
    if (spec.external) options.cost = spec.external->input_price + spec.external->output_price;
    replica = std::make_shared<Replica>(spec.key, options, now_);
  }
  return replica;
}

// `key`: name and locality, which is what a step depends on beside the catalogue's snapshot.
std::shared_ptr<const RouteStep> Router::make_step(const std::string& key, const std::string& name,
                                                   const Members& members, bool local_only) {
  auto step = std::make_shared<RouteStep>();
  step->name = name;
  std::vector<RouteTarget> targets;  // of each replica
  for (std::size_t i = 0; i < members.entries.size(); ++i) {
    for (const auto& spec : members.entries[i]->replicas) {
      const bool leaves = leaves_machine(*spec);
      if (leaves && local_only) continue;
      if (!step->entry) step->entry = members.entries[i];
      step->replicas.push_back({spec, members.entries[i], leaves});
      targets.push_back(members.targets[i]);
    }
  }
  if (step->replicas.empty()) return nullptr;
  const auto* routing = routing_of(name);
  const Policy policy = routing ? routing->policy.value_or(settings_.policy) : settings_.policy;
  const std::lock_guard lock(mutex_);
  // What nobody has asked for goes when names that clients made up pile up; those at work are kept by their requests.
  if (replicas_.size() > kMostReplicas) {
    steps_.clear();
    std::erase_if(replicas_, [](const auto& held) { return held.second.use_count() == 1; });
  }
  if (steps_.size() > kMostSteps) steps_.clear();
  std::vector<std::shared_ptr<Replica>> replicas;
  for (std::size_t i = 0; i < targets.size(); ++i) replicas.push_back(replica_of(*step->replicas[i].spec, targets[i]));
  const auto known = steps_.find(key);
  const bool same = known != steps_.end() && known->second->pool->replicas() == replicas;
  step->pool = same ? known->second->pool
                    : std::make_shared<Pool>(PoolSettings{.policy = policy,
                                                          .bounded_load = settings_.bounded_load,
                                                          .outlier = settings_.outlier,
                                                          .metrics = metrics_.get()},
                                             std::move(replicas), now_);
  steps_[key] = step;
  return step;
}

Task<Result<std::shared_ptr<const RouteStep>>> Router::step_of(std::string name, const RouteQuery& query,
                                                               RoutePlan* plan) {
  auto members = co_await members_of(name, query, 0);
  if (!members) co_return fail(members.error());
  const bool stay = local_only(query, name);
  // Which entry a name leads to may depend on the caller (splits) and on what is loaded (no name at all).
  std::string key;
  for (const auto& entry : members->entries) key.append(entry->spec->key).append("\n");
  key.append(name).append(stay ? "\nlocal" : "");
  std::shared_ptr<const RouteStep> step;
  {
    const std::lock_guard lock(mutex_);
    const auto known = steps_.find(key);
    if (known != steps_.end()) {
      // Good as long as the catalogue has not been read anew since.
      const auto fresh = [&](const RouteReplica& replica) {
        return std::ranges::find(members->entries, replica.entry) != members->entries.end();
      };
      if (std::ranges::all_of(known->second->replicas, fresh)) step = known->second;
    }
  }
  if (!step) step = make_step(key, name, *members, stay);
  if (!step) {
    co_return fail(ErrorCode::kPermissionDenied,
                   fmt::format("model \"{}\" is served by an engine on another machine, and this request may not leave "
                               "this one (locality local_only)",
                               name.empty() ? members->entries.front()->spec->model : name),
                   "/model");
  }
  if (plan) {
    for (const auto& shadow : members->shadow) {
      if (random_share() >= shadow.weight) continue;
      auto entry = co_await leaf(shadow.model, query);
      // A shadow that is not there harms nobody.
      const bool here = stay || local_only(query, shadow.model);
      if (entry && !(here && leaves_machine(*(*entry)->spec))) plan->shadows.push_back(*entry);
    }
  }
  co_return step;
}

Task<Result<RoutePlan>> Router::plan(RouteQuery query) {
  // An alias that was just moved leads there from now on. That the store cannot be read, the look-up of the name says.
  if (catalogue_.must_read()) (void)co_await catalogue_.list(false);
  // The configured default may be a name that only routes know.
  if (query.name.empty() && query.choice.mode == engines::EngineMode::kGeneration &&
      routing_of(catalogue_.settings().default_model)) {
    query.name = catalogue_.settings().default_model;
  }
  RoutePlan plan;
  const std::string name = query.name;
  auto first = co_await step_of(name, query, &plan);
  const auto* routing = routing_of(name);
  const bool falls_back = routing && !routing->fallbacks.empty();
  if (!first && !falls_back) co_return fail(first.error());
  if (first) plan.steps.push_back(*first);
  if (falls_back) {
    RouteQuery next = query;
    // The rule of the model that was asked for holds for whatever answers in its place.
    next.local_only = local_only(query, name);
    for (const auto& fallback : routing->fallbacks) {
      if (auto step = co_await step_of(fallback, next, nullptr)) plan.steps.push_back(*step);
    }
    if (plan.steps.empty()) co_return fail(first.error());
  }
  plan.retries = settings_.retries;
  plan.broken_stream = settings_.broken_stream;
  plan.timeout = ms(settings_.timeout);
  plan.hedge_after = ms(settings_.hedge_after);
  if (routing) {
    plan.retries = routing->retries.value_or(plan.retries);
    plan.broken_stream = routing->broken_stream.value_or(plan.broken_stream);
    if (routing->timeout) plan.timeout = ms(*routing->timeout);
    if (routing->hedge_after) plan.hedge_after = ms(*routing->hedge_after);
    if (routing->first_token_timeout) plan.first_token_timeout = ms(*routing->first_token_timeout);
    if (routing->stall_timeout) plan.stall_timeout = ms(*routing->stall_timeout);
    plan.cache = routing->cache;
  }
  co_return plan;
}

std::vector<std::shared_ptr<Replica>> Router::replicas() const {
  std::vector<std::shared_ptr<Replica>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, replica] : replicas_) out.push_back(replica);
  return out;
}

std::shared_ptr<Replica> Router::find(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto found = replicas_.find(key);
  return found == replicas_.end() ? nullptr : found->second;
}

std::vector<KnownReplica> Router::known() const {
  std::map<const Replica*, KnownReplica> found;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, step] : steps_) {
      for (std::size_t i = 0; i < step->replicas.size(); ++i) {
        const auto& replica = step->pool->replicas()[i];
        found.try_emplace(replica.get(), KnownReplica{replica, step->replicas[i].spec});
      }
    }
  }
  std::vector<KnownReplica> out;
  for (auto& [key, replica] : found) out.push_back(std::move(replica));
  return out;
}

}  // namespace llm::router
