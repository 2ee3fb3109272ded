// Aliases: what callers say, and which versions answer.
#include "inference/operations/version_work.h"

namespace llm::inference {
namespace {

json::object alias_json(const std::string& name, const models::Alias& alias) {
  json::object out = models::to_json(alias);
  out["name"] = name;
  return out;
}

bool may_see(const VersionWork& work, const std::string& name, const models::Alias& alias) {
  if (!work.may) return true;
  for (const auto& target : alias.targets) {
    const auto version = models::parse_version_ref(target.model);
    if (version && work.may(access::Permission::kModelsRead, name, models::to_string(version->name))) return true;
  }
  return false;
}

}  // namespace

Result<json::object> list_aliases(const VersionWork& work, const json::object& arguments) {
  if (const auto none = json::decode<NoArguments>(arguments); !none) return fail(none.error());
  const auto records = work.store.alias_records();
  if (!records) return fail(records.error());
  json::array list;
  for (const auto& [name, alias] : *records) {
    if (may_see(work, name, alias)) list.push_back(alias_json(name, alias));
  }
  return json::object{{"aliases", std::move(list)}};
}

Result<json::object> set_alias(const VersionWork& work, const json::object& arguments) {
  auto request = json::decode<AliasRequest>(arguments);
  if (!request) return fail(request.error());
  // Who moves a name to a model lets all that may use the name use the model.
  if (auto may = check_right(work, access::Permission::kModelsWrite, request->name); !may) return fail(may.error());
  for (const auto* list : {&request->targets, &request->shadow}) {
    for (const auto& target : *list) {
      if (auto may = check_right(work, access::Permission::kModelsWrite, target.model); !may) return fail(may.error());
    }
  }
  auto set = work.store.set_alias(request->name, {std::move(request->targets), std::move(request->shadow), {}});
  if (!set) return fail(std::move(set.error()));
  const auto records = work.store.alias_records();
  if (!records) return fail(records.error());
  const auto now = records->find(request->name);
  if (now == records->end()) return fail(ErrorCode::kNotFound, "the alias was removed while it was set");
  return alias_json(now->first, now->second);
}

Result<json::object> remove_alias(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<VersionName>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kModelsWrite, request->name); !may) return fail(may.error());
  if (auto removed = work.store.remove_alias(request->name); !removed) return fail(Error(removed.error()).at("/name"));
  return json::object{{"alias", request->name}, {"removed", true}};
}

}  // namespace llm::inference
