// Aliases: names that operators move, with weights and shadows.
#include <algorithm>
#include <fmt/format.h>

#include "models/store.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxAliasBytes = 4u << 20;
constexpr std::size_t kMostTargets = 16;

// Does this target lead to that name, in whatever version?
bool leads_to(const AliasTarget& target, const ModelName& name) {
  const auto version = parse_version_ref(target.model);
  return version && version->name == name;
}

Result<void> check_weights(const Alias& alias) {
  const auto bad = [](std::string message, std::string pointer) {
    return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(pointer));
  };
  if (alias.targets.empty() || alias.targets.size() > kMostTargets) {
    return bad(fmt::format("an alias has 1 to {} targets, not {}", kMostTargets, alias.targets.size()), "/targets");
  }
  if (alias.shadow.size() > kMostTargets) return bad(fmt::format("at most {} shadows", kMostTargets), "/shadow");
  double sum = 0;
  for (std::size_t i = 0; i < alias.targets.size(); ++i) {
    const double weight = alias.targets[i].weight;
    if (!(weight >= 0) || weight > kMostWeight) {
      return bad(fmt::format("expected a weight from 0 to {:.0f}, got {}", kMostWeight, weight),
                 fmt::format("/targets/{}/weight", i));
    }
    sum += weight;
  }
  if (sum <= 0) return bad("no target has a weight above 0", "/targets");
  for (std::size_t i = 0; i < alias.shadow.size(); ++i) {
    const double share = alias.shadow[i].weight;
    if (!(share >= 0) || share > 1) {
      return bad(fmt::format("expected a share of the requests from 0 to 1, got {}", share),
                 fmt::format("/shadow/{}/weight", i));
    }
  }
  return {};
}

}  // namespace

Result<std::map<std::string, Alias>> ModelStore::alias_records() const {
  const fs::path file = settings_.root / "aliases.json";
  std::map<std::string, Alias> all;
  const auto text = read_small_file(file, kMaxAliasBytes);
  if (!text && text.error().code == ErrorCode::kNotFound) return all;
  if (!text) return fail(text.error());
  const auto document = json::parse(*text);
  if (!document || !document->is_object()) {
    return fail(ErrorCode::kMalformed, fmt::format("{} is not a JSON object; mend or delete it{}{}", file.string(),
                                                   document ? "" : ": ", document ? "" : document.error().message));
  }
  for (const auto& [key, value] : document->get_object()) {
    auto alias = parse_plain_name(key);
    auto record = alias_from_json(value);
    if (!alias || !record) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("{}: an entry is not an alias ({}); mend or delete the file", file.string(),
                              alias ? record.error().message : alias.error().message));
    }
    all.emplace(std::move(*alias), std::move(*record));
  }
  return all;
}

Result<std::map<std::string, ModelName>> ModelStore::aliases() const {
  const auto records = alias_records();
  if (!records) return fail(records.error());
  std::map<std::string, ModelName> all;
  for (const auto& [alias, record] : *records) {
    if (auto target = parse_version_ref(record.targets.front().model)) all.emplace(alias, std::move(target->name));
  }
  return all;
}

Result<void> ModelStore::write_aliases(const std::map<std::string, Alias>& aliases) {
  json::object document;
  for (const auto& [alias, record] : aliases) document[alias] = to_json(record);
  return write_file_atomic(files_, settings_.root / "aliases.json", json::write(document));
}

// The target in full: with its tag, and with all digits of its version if it names one.
Result<AliasTarget> ModelStore::checked_target(AliasTarget target) const {
  const auto version = parse_version_ref(target.model);
  if (!version) return fail(version.error());
  const auto model = find(*version);
  if (!model) return fail(model.error());
  target.model = version->digits.empty() ? to_string(version->name) : model->version_text();
  return target;
}

Result<void> ModelStore::change_alias(std::string_view alias, std::vector<AliasTarget> targets,
                                      std::optional<std::vector<AliasTarget>> shadow) {
  auto name = parse_plain_name(alias);
  if (!name) return fail(std::move(name.error()));
  if (is_model(*name)) {
    return fail(ErrorCode::kConflict, fmt::format("`{}` is the name of a model; choose another alias", *name));
  }
  auto all = alias_records();
  if (!all) return fail(std::move(all.error()));
  Alias& record = (*all)[*name];
  if (record.targets != targets && !record.targets.empty()) {
    record.history.push_back({rfc3339_now(), std::move(record.targets)});
    if (record.history.size() > kLongestHistory) record.history.erase(record.history.begin());
  }
  record.targets = std::move(targets);
  if (shadow) record.shadow = std::move(*shadow);
  return write_aliases(*all);
}

Result<void> ModelStore::set_alias(std::string_view alias, const ModelName& target) {
  return set_alias(alias, Alias{{{to_string(target), 1}}, {}, {}});
}

Result<void> ModelStore::set_alias(std::string_view alias, Alias wanted) {
  if (auto ok = check_weights(wanted); !ok) return ok;
  const auto held = lock();
  if (!held) return fail(held.error());
  for (auto* list : {&wanted.targets, &wanted.shadow}) {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string at = fmt::format("/{}/{}/model", list == &wanted.targets ? "targets" : "shadow", i);
      auto target = checked_target(std::move((*list)[i]));
      if (!target) return fail(std::move(target.error()).at(at));
      if (!seen.insert(target->model).second) {
        return fail(ErrorCode::kInvalidArgument, fmt::format("`{}` is named twice", target->model), at);
      }
      (*list)[i] = std::move(*target);
    }
  }
  return change_alias(alias, std::move(wanted.targets), std::move(wanted.shadow));
}

Result<void> ModelStore::remove_alias(std::string_view alias) {
  const auto name = parse_plain_name(alias);
  if (!name) return fail(name.error());
  const auto held = lock();
  if (!held) return fail(held.error());
  auto all = alias_records();
  if (!all) return fail(std::move(all.error()));
  if (all->erase(*name) == 0) return fail(ErrorCode::kNotFound, fmt::format("no alias `{}`", *name));
  return write_aliases(*all);
}

Result<Manifest> ModelStore::rollback_alias(const std::string& alias) {
  auto all = alias_records();
  if (!all) return fail(std::move(all.error()));
  Alias& record = all->at(alias);
  if (record.history.empty()) {
    return fail(ErrorCode::kConflict,
                fmt::format("`{}` has led to nothing else: there is nothing to go back to", alias));
  }
  std::vector<AliasTarget> before = std::move(record.history.back().targets);
  record.history.pop_back();
  std::optional<Manifest> first;
  for (const auto& target : before) {
    const auto version = parse_version_ref(target.model);
    auto model = version ? find(*version) : Result<Manifest>(fail(version.error()));
    if (!model) return model;
    if (!first) first = std::move(*model);
  }
  if (!first) return fail(ErrorCode::kConflict, fmt::format("what `{}` led to before is gone", alias));
  record.targets = std::move(before);
  if (auto written = write_aliases(*all); !written) return fail(std::move(written.error()));
  return std::move(*first);
}

Result<void> ModelStore::take_from_aliases(const ModelName& name) {
  auto all = alias_records();
  if (!all) return fail(std::move(all.error()));
  const auto before = *all;
  const auto gone = [&](const AliasTarget& target) { return leads_to(target, name); };
  for (auto& [alias, record] : *all) {
    std::erase_if(record.targets, gone);
    std::erase_if(record.shadow, gone);
    for (auto& change : record.history) std::erase_if(change.targets, gone);
    std::erase_if(record.history, [](const AliasChange& change) { return change.targets.empty(); });
  }
  std::erase_if(*all, [](const auto& entry) { return entry.second.targets.empty(); });
  for (auto& [alias, record] : *all) {
    // Those that are left got nothing so far; now there is nobody else.
    if (std::ranges::all_of(record.targets, [](const AliasTarget& target) { return target.weight == 0; })) {
      for (auto& target : record.targets) target.weight = 1;
    }
  }
  return *all == before ? Result<void>() : write_aliases(*all);
}

}  // namespace llm::models
