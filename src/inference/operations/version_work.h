#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/permission.h"
#include "base/error.h"
#include "json/fields.h"
#include "models/alias.h"
#include "models/progress.h"
#include "models/store.h"

// What the operations on versions, aliases, bundles and the collection of garbage do to the model store. Blocking, and
// without a gateway: the command line calls them where none runs.
namespace llm::inference {

struct VersionWork {
  models::ModelStore& store;
  std::string creator;  // of what becomes a version
  // May the caller do that to the model, by the name it used and by the model's own (empty: there is none)? Null: all.
  std::function<Result<void>(access::Permission permission, std::string_view used, std::string_view own)> may;
  std::vector<std::string> in_use;  // models::GcOptions
  models::ProgressCallback progress;
  const std::atomic<bool>& cancelled;
};

using VersionFunction = Result<json::object> (*)(const VersionWork& work, const json::object& arguments);

// By the operation's name ("version.list"); nullptr if it is none of these.
VersionFunction find_version_function(std::string_view operation);

// version_work.cc
Result<json::object> list_versions(const VersionWork& work, const json::object& arguments);
Result<json::object> promote_version(const VersionWork& work, const json::object& arguments);
Result<json::object> roll_back(const VersionWork& work, const json::object& arguments);
Result<json::object> remove_version(const VersionWork& work, const json::object& arguments);
Result<json::object> set_notes(const VersionWork& work, const json::object& arguments);
// version_aliases.cc
Result<json::object> list_aliases(const VersionWork& work, const json::object& arguments);
Result<json::object> set_alias(const VersionWork& work, const json::object& arguments);
Result<json::object> remove_alias(const VersionWork& work, const json::object& arguments);
// version_bundles.cc
Result<json::object> export_model(const VersionWork& work, const json::object& arguments);
Result<json::object> import_bundle(const VersionWork& work, const json::object& arguments);
Result<json::object> collect_garbage(const VersionWork& work, const json::object& arguments);

// What they share: the right to `name`, whatever that stands for.
Result<void> check_right(const VersionWork& work, access::Permission permission, std::string_view name);
// {version, digest, kind, size, source, revision, license, creator, created, notes, files?, settings?}
json::object version_json(const models::Manifest& manifest);

// Their arguments.
struct VersionName {
  std::string name;
};
struct PromoteRequest {
  std::string name;
  std::string to;
};
struct NotesRequest {
  std::string name;
  std::string notes;
};
struct AliasRequest {
  std::string name;
  std::vector<models::AliasTarget> targets;
  std::vector<models::AliasTarget> shadow;
};
struct ExportRequest {
  std::string name;
  std::string directory;
};
struct ImportBundleRequest {
  std::string directory;
  std::string name;
  bool replace = false;
};
struct GcRequest {
  bool dry_run = false;
  bool versions = false;
  bool partial = false;
};
struct NoArguments {};

}  // namespace llm::inference

#define LLM_VERSION_TABLE(T)             \
  template <>                            \
  struct llm::json::Fields<llm::T> {     \
    static const Table<llm::T>& table(); \
  }
LLM_VERSION_TABLE(models::AliasTarget);
LLM_VERSION_TABLE(inference::VersionName);
LLM_VERSION_TABLE(inference::PromoteRequest);
LLM_VERSION_TABLE(inference::NotesRequest);
LLM_VERSION_TABLE(inference::AliasRequest);
LLM_VERSION_TABLE(inference::ExportRequest);
LLM_VERSION_TABLE(inference::ImportBundleRequest);
LLM_VERSION_TABLE(inference::GcRequest);
LLM_VERSION_TABLE(inference::NoArguments);
#undef LLM_VERSION_TABLE
