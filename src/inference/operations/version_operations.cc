// The rows of the operations on versions, aliases, bundles and the collection of garbage.
#include <array>
#include <fmt/format.h>

#include "inference/model_rights.h"
#include "inference/operations/operation.h"
#include "inference/operations/version_work.h"
#include "inference/watched_work.h"

namespace llm::inference {
namespace {

// What runs now, or is about to: its files stay.
Task<std::vector<std::string>> models_in_use(Backend& backend) {
  const auto snapshot = co_await backend.catalogue.list(false);
  std::vector<std::string> used;
  for (const auto& report : backend.supervisor.report()) {
    const auto state = report.status.state;
    if (state == engines::EngineState::kStopped || state == engines::EngineState::kFailed) continue;
    const std::string key = report.key.substr(0, report.key.find('#'));
    std::string version;
    if (snapshot) {
      for (const auto& entry : (*snapshot)->entries) {
        if (entry->spec->key == key && entry->version.contains('@')) version = entry->version;
      }
    }
    // A key says less than a version, so more is kept by it.
    used.push_back(version.empty() ? key : version);
  }
  co_return used;
}

std::function<Result<void>(access::Permission, std::string_view, std::string_view)> rights_of(
    const access::Principal& principal) {
  return [principal](access::Permission permission, std::string_view used, std::string_view own) {
    return check_model_right(principal, permission, used, own);
  };
}

// What one call needs while it runs on a thread of a pool.
struct Job {
  VersionFunction function;
  models::ModelStore& store;
  json::object arguments;
  access::Principal principal;
  std::vector<std::string> in_use;
  Result<json::object> result = fail(ErrorCode::kInternal, "the work did not run");

  void run(const models::ProgressCallback& progress, const std::atomic<bool>& cancelled) {
    result = function({store, principal.id, rights_of(principal), in_use, progress, cancelled}, arguments);
  }
};

void tell_log(const OperationContext& context, std::string_view what, const json::object& answer) {
  const auto text = [&](std::string_view key) { return std::string(json::string_or(answer, key)); };
  context.backend.log.info(std::string(what), {{"name", text("name")}, {"version", text("version")}});
}

template <VersionFunction kFunction>
Task<Result<json::object>> look(OperationContext context, json::object arguments) {
  Job job{kFunction, context.backend.store, std::move(arguments), context.principal, {}};
  co_return co_await context.backend.files.run([&job] {
    static const std::atomic<bool> never{false};
    job.run({}, never);
    return std::move(job.result);
  });
}

template <VersionFunction kFunction>
Task<Result<json::object>> change(OperationContext context, json::object arguments) {
  auto in_use = co_await models_in_use(context.backend);
  Job job{kFunction, context.backend.store, std::move(arguments), context.principal, std::move(in_use)};
  auto result = co_await context.backend.files.run([&job] {
    static const std::atomic<bool> never{false};
    job.run({}, never);
    return std::move(job.result);
  });
  context.backend.catalogue.invalidate();
  if (result) tell_log(context, "models changed", *result);
  co_return result;
}

// A path is one of the gateway's machine: only who sits there may name it.
template <VersionFunction kFunction>
Task<Result<json::object>> move_files(OperationContext context, json::object arguments) {
  if (!context.principal.local()) {
    co_return fail(ErrorCode::kPermissionDenied,
                   "folders of the gateway's machine are read and written for its own user only, who uses the command "
                   "line there");
  }
  const auto job =
      std::make_shared<Job>(Job{kFunction, context.backend.store, std::move(arguments), context.principal, {}});
  const auto told = co_await watch_work(context.loop, context.backend.pull_waiters, std::move(context.sink),
                                        std::move(context.cancel),
                                        [job](const models::ProgressCallback& progress,
                                              const std::atomic<bool>& cancelled) { job->run(progress, cancelled); });
  context.backend.catalogue.invalidate();
  if (!job->result && !told) co_return fail(told.error());
  if (job->result) tell_log(context, "model carried", *job->result);
  co_return std::move(job->result);
}

}  // namespace

std::span<const OperationRow> version_operations() {
  using enum access::Permission;
  static constexpr auto kRows = std::to_array<OperationRow>({
      {"version.list", "GET", "/api/v1/models/{name}/versions", kModelsRead, false,
       "the versions of a model: source, revision, digest, settings, licence, creator, notes", look<list_versions>},
      {"version.promote", "POST", "/api/v1/models/{name}/promote", kModelsWrite, false,
       "let a name or an alias stand for a version", change<promote_version>},
      {"version.rollback", "POST", "/api/v1/models/{name}/rollback", kModelsWrite, false,
       "let a name or an alias stand for what it stood for before", change<roll_back>},
      {"version.remove", "POST", "/api/v1/models/{name}/remove-version", kAdmin, false,
       "remove one version that is not the current one", change<remove_version>},
      {"model.note", "POST", "/api/v1/models/{name}/notes", kModelsWrite, false, "give a model other notes",
       change<set_notes>},
      {"model.export", "POST", "/api/v1/models/{name}/export", kAdmin, true,
       "write a model to a folder that can be carried elsewhere", move_files<export_model>},
      {"model.import_bundle", "POST", "/api/v1/models/import", kAdmin, true, "take in such a folder",
       move_files<import_bundle>},
      {"model.gc", "POST", "/api/v1/models/gc", kAdmin, false, "delete files that nothing needs any more",
       change<collect_garbage>},
      {"alias.list", "GET", "/api/v1/aliases", kModelsRead, false, "the aliases: targets, weights, shadows, history",
       look<list_aliases>},
      {"alias.set", "PUT", "/api/v1/aliases/{name}", kModelsWrite, false,
       "let an alias stand for a model, or for several by weight", change<set_alias>},
      {"alias.remove", "DELETE", "/api/v1/aliases/{name}", kModelsWrite, false, "forget an alias",
       change<remove_alias>},
  });
  return kRows;
}

}  // namespace llm::inference
