// Versions and the tags that stand for them.
#include "inference/operations/version_work.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace llm::inference {
namespace {

struct NamedFunction {
  std::string_view operation;
  VersionFunction function;
};
constexpr auto kFunctions = std::to_array<NamedFunction>({
    {"version.list", list_versions},
    {"version.promote", promote_version},
    {"version.rollback", roll_back},
    {"version.remove", remove_version},
    {"model.note", set_notes},
    {"alias.list", list_aliases},
    {"alias.set", set_alias},
    {"alias.remove", remove_alias},
    {"model.export", export_model},
    {"model.import_bundle", import_bundle},
    {"model.gc", collect_garbage},
});

// The aliases that lead to a version, by its digest or by way of the tag that stands for it now.
json::array aliases_to(const std::map<std::string, models::Alias>& aliases, const models::Manifest& version,
                       bool current) {
  json::array names;
  const std::string tag = models::to_string(version.name);
  const std::string full = version.version_text();
  for (const auto& [alias, record] : aliases) {
    const bool leads = std::ranges::any_of(record.targets, [&](const models::AliasTarget& target) {
      return target.model == full || (current && target.model == tag);
    });
    if (leads) names.emplace_back(alias);
  }
  return names;
}

json::object moved_json(std::string_view name, const models::Manifest& now, std::string_view before) {
  json::object out{{"name", name}, {"version", now.version_text()}};
  if (!before.empty()) out["before"] = before;
  return out;
}

// What the name stands for now, for the answer; empty: nothing.
std::string standing_for(const models::ModelStore& store, std::string_view name) {
  const auto found = store.find(name);
  return found ? found->version_text() : std::string();
}

}  // namespace

VersionFunction find_version_function(std::string_view operation) {
  const auto found = std::ranges::find(kFunctions, operation, &NamedFunction::operation);
  return found == kFunctions.end() ? nullptr : found->function;
}

Result<void> check_right(const VersionWork& work, access::Permission permission, std::string_view name) {
  if (!work.may) return {};
  const auto model = work.store.find(name);
  return work.may(permission, name, model ? models::to_string(model->name) : std::string());
}

json::object version_json(const models::Manifest& manifest) {
  json::object out{{"version", manifest.version_text()}, {"digest", manifest.digest.to_string()},
                   {"kind", to_string(manifest.kind)},   {"size", manifest.size},
                   {"source", manifest.source},          {"revision", manifest.revision},
                   {"license", manifest.license},        {"creator", manifest.creator},
                   {"created", manifest.created},        {"notes", manifest.notes}};
  if (manifest.kind == models::ModelKind::kRepository) out["files"] = models::files_json(manifest.files);
  if (manifest.settings) out["settings"] = *manifest.settings;
  return out;
}

Result<json::object> list_versions(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<VersionName>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kModelsRead, request->name); !may) return fail(may.error());
  const auto model = work.store.find(request->name);
  if (!model) return fail(Error(model.error()).at("/name"));
  const auto list = work.store.versions(model->name);
  if (!list) return fail(list.error());
  const auto aliases = work.store.alias_records();
  if (!aliases) return fail(aliases.error());
  json::array versions;
  const auto now = list->current.version();
  for (const auto& manifest : list->versions) {
    const bool current = manifest.version() == now;
    json::object one = version_json(manifest);
    one["current"] = current;
    one["aliases"] = aliases_to(*aliases, manifest, current);
    versions.push_back(std::move(one));
  }
  json::array history;
  for (const auto& change : list->history) {
    history.push_back(json::object{
        {"at", change.at}, {"version", fmt::format("{}@{}", to_string(model->name), change.version.to_string())}});
  }
  json::array problems;
  for (const auto& problem : list->problems) problems.emplace_back(problem.message);
  return json::object{{"name", models::to_string(model->name)},
                      {"current", list->current.version_text()},
                      {"versions", std::move(versions)},
                      {"history", std::move(history)},
                      {"problems", std::move(problems)}};
}

Result<json::object> promote_version(const VersionWork& work, const json::object& arguments) {
  auto request = json::decode<PromoteRequest>(arguments);
  if (!request) return fail(request.error());
  const auto version = work.store.find(request->name);
  if (request->to.empty()) request->to = version ? models::to_string(version->name) : request->name;
  if (auto may = check_right(work, access::Permission::kModelsWrite, request->name); !may) return fail(may.error());
  if (auto may = check_right(work, access::Permission::kModelsWrite, request->to); !may) return fail(may.error());
  if (!version) return fail(Error(version.error()).at("/name"));
  const std::string before = standing_for(work.store, request->to);
  const auto now = work.store.promote(request->name, request->to);
  if (!now) return fail(now.error());
  return moved_json(request->to, *now, before);
}

Result<json::object> roll_back(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<VersionName>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kModelsWrite, request->name); !may) return fail(may.error());
  const std::string before = standing_for(work.store, request->name);
  const auto now = work.store.rollback(request->name);
  if (!now) return fail(now.error());
  return moved_json(request->name, *now, before);
}

Result<json::object> remove_version(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<VersionName>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kAdmin, request->name); !may) return fail(may.error());
  const auto version = models::parse_version_ref(request->name);
  if (!version) return fail(Error(version.error()).at("/name"));
  if (version->digits.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("`{}` names no version; write {}@sha256:…", request->name, request->name), "/name");
  }
  const auto manifest = work.store.find(*version);
  if (!manifest) return fail(Error(manifest.error()).at("/name"));
  if (auto removed = work.store.remove_version(*version); !removed) return fail(removed.error());
  return json::object{{"model", manifest->version_text()}, {"removed", true}};
}

Result<json::object> set_notes(const VersionWork& work, const json::object& arguments) {
  auto request = json::decode<NotesRequest>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kModelsWrite, request->name); !may) return fail(may.error());
  const auto model = work.store.find(request->name);
  if (!model) return fail(Error(model.error()).at("/name"));
  const auto now = work.store.set_notes(model->name, std::move(request->notes));
  if (!now) return fail(now.error());
  return moved_json(models::to_string(now->name), *now, model->version_text());
}

}  // namespace llm::inference
