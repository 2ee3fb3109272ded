#include "models/alias.h"

#include "models/name.h"

namespace llm::models {

namespace {

std::unexpected<Error> bad(std::string_view what, std::string pointer) {
  return fail(ErrorCode::kMalformed, "alias: expected " + std::string(what), std::move(pointer));
}

json::array targets_json(const std::vector<AliasTarget>& targets) {
  json::array out;
  for (const auto& target : targets) out.push_back(json::object{{"model", target.model}, {"weight", target.weight}});
  return out;
}

Result<std::vector<AliasTarget>> read_targets(const json::object& from, std::string_view key) {
  std::vector<AliasTarget> targets;
  const json::value* list = json::find(from, key);
  if (list == nullptr) return targets;
  const std::string at = json::pointer_join("", key);
  if (!list->is_array()) return bad("a list of targets", at);
  for (const auto& item : list->get_array()) {
    if (!item.is_object()) return bad("objects with a model and a weight", at);
    AliasTarget target;
    target.model = json::string_or(item.get_object(), "model");
    target.weight = json::number_or(item.get_object(), "weight", 1);
    if (!parse_version_ref(target.model)) return bad("the name of a model", at);
    if (!(target.weight >= 0) || target.weight > kMostWeight) return bad("a weight from 0 to 1000000", at);
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace

json::object to_json(const Alias& alias) {
  json::object out{{"targets", targets_json(alias.targets)}};
  if (!alias.shadow.empty()) out["shadow"] = targets_json(alias.shadow);
  json::array history;
  for (const auto& change : alias.history) {
    history.push_back(json::object{{"at", change.at}, {"targets", targets_json(change.targets)}});
  }
  if (!history.empty()) out["history"] = std::move(history);
  return out;
}

Result<Alias> alias_from_json(const json::value& value) {
  Alias alias;
  if (value.is_string()) {
    const std::string target(value.get_string());
    if (!parse_version_ref(target)) return bad("the name of a model", "");
    alias.targets.push_back({target, 1});
    return alias;
  }
  if (!value.is_object()) return bad("a name or an object with targets", "");
  const json::object& root = value.get_object();
  auto targets = read_targets(root, "targets");
  if (!targets) return fail(std::move(targets.error()));
  if (targets->empty()) return bad("at least one target", "/targets");
  auto shadow = read_targets(root, "shadow");
  if (!shadow) return fail(std::move(shadow.error()));
  alias.targets = std::move(*targets);
  alias.shadow = std::move(*shadow);
  if (const json::value* history = json::find(root, "history"); history != nullptr && history->is_array()) {
    for (const auto& item : history->get_array()) {
      if (!item.is_object()) return bad("a list of changes", "/history");
      auto before = read_targets(item.get_object(), "targets");
      if (!before) return fail(std::move(before.error()));
      alias.history.push_back({std::string(json::string_or(item.get_object(), "at")), std::move(*before)});
    }
  }
  return alias;
}

}  // namespace llm::models
