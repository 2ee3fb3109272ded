#include "access/limits/limit_set.h"

#include "access/pattern.h"

namespace llm::access {
namespace {

const LimitPolicy kNoPolicy;

}  // namespace

LimitSets::LimitSets(const LimitDefaults& defaults, AccountMap& accounts) : defaults_(defaults), accounts_(accounts) {
  for (const auto& [pattern, policy] : defaults.models) {
    if (!policy.empty()) models_.emplace(pattern, LimitTerms::of(policy));
  }
}

std::size_t LimitSets::Hash::operator()(const View& view) const {
  const auto pointer = reinterpret_cast<std::uintptr_t>(view.identity);
  return std::hash<std::string_view>()(view.model) ^ ((pointer >> 4) * 0x9e3779b97f4a7c15U);
}

std::shared_ptr<const LimitSet> LimitSets::get(const Principal& principal, std::string_view model,
                                               const std::function<std::int64_t()>& now_ns) {
  // Without limits of models all models are one.
  const View view{principal.identity.get(), models_.empty() ? std::string_view() : model};
  const std::size_t hash = Hash()(view);
  Shard& shard = shards_[(hash >> 32) % kShards];
  {
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.sets.find(view); found != shard.sets.end()) return found->second;
  }
  auto set = work_out(principal, view.model, Moment(now_ns()));
  const std::lock_guard lock(shard.mutex);
  if (shard.sets.size() >= kMostPerShard) shard.sets.erase(shard.sets.begin());
  return shard.sets.emplace(Key{view.identity, std::string(view.model)}, std::move(set)).first->second;
}

std::shared_ptr<const LimitSet> LimitSets::work_out(const Principal& principal, std::string_view model,
                                                    const Moment& now) {
  auto set = std::make_shared<LimitSet>();
  set->identity = principal.identity;
  const auto bind = [&](Scope scope, std::string_view subject, LimitTerms terms, std::string_view name) {
    // Also of who has no limit: a quota that is set later must know that requests went by uncounted.
    auto account = accounts_.get(scope, subject, terms, now);
    if (terms.empty) {
      const std::lock_guard lock(account->mutex);
      return account->pass_by();
    }
    set->bounds.push_back({std::move(account), std::move(terms), std::string(name.empty() ? subject : name)});
  };
  if (principal.identity) {
    const Identity& identity = *principal.identity;
    bind(Scope::kKey, principal.key_id(),
         LimitTerms::of(overlay(identity.limits ? *identity.limits : kNoPolicy, defaults_.key)), identity.name);
    if (identity.project) {
      bind(Scope::kProject, identity.project->id, LimitTerms::of(overlay(identity.project->limits, defaults_.project)),
           identity.project->name);
    }
  }
  for (const auto& [pattern, terms] : models_) {
    if (!model_matches(pattern, model)) continue;
    bind(Scope::kModel, pattern + " " + std::string(model), terms, model);
  }
  return set;
}

}  // namespace llm::access
