#include "models/pull.h"

#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "models/download.h"
#include "models/pull_source.h"

namespace llm::models {

namespace {

// A model in the store whose blob is `digest` and sound enough to be there.
std::optional<Manifest> find_by_digest(const ModelStore& store, const Digest& digest) {
  const auto listing = store.list();
  if (!listing || !store.blob_path(digest)) return std::nullopt;
  for (const auto& model : listing->models) {
    if (model.digest == digest) return model;
  }
  return std::nullopt;
}

Result<Manifest> take_known(ModelStore& store, Manifest known, const DownloadPlan& plan, const ModelName& name,
                            const PullRequest& request) {
  if (known.name == name && !request.settings) return known;
  known.source = plan.label;
  if (request.settings) known.settings = request.settings;
  return store.tag(known, name, request.replace);
}

}  // namespace

Result<Manifest> pull(ModelStore& store, const PullSettings& settings, const PullRequest& request,
                      const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  const auto source = parse_pull_source(request.source);
  if (!source) return fail(source.error());
  report(progress, Phase::kResolving, 0, 0);
  auto plan = plan_download(settings, *source, cancelled);
  if (!plan) return fail(plan.error());
  if (request.digest) {
    if (plan->digest && *plan->digest != *request.digest) {
      return fail(ErrorCode::kConflict, fmt::format("{} has SHA-256 {}, expected was {}", plan->label,
                                                    plan->digest->hex(), request.digest->hex()));
    }
    plan->digest = request.digest;
  }
  const ModelName name = request.name.value_or(ModelName{plan->suggested_name, std::string(kDefaultVersion)});
  if (auto ok = store.check_name(name, plan->size, plan->digest, request.replace); !ok)
    return fail(std::move(ok.error()));
  if (plan->digest) {
    if (auto known = find_by_digest(store, *plan->digest)) {
      return take_known(store, std::move(*known), *plan, name, request);
    }
  }
  auto fetched = download(store, settings, *plan, progress, cancelled);
  if (!fetched) return fail(std::move(fetched.error()));

  ImportOptions options;
  options.method = ImportMethod::kMove;
  options.expected_digest = fetched->digest;
  options.replace = request.replace;
  options.source = plan->label;
  options.license = plan->license;
  options.settings = request.settings;
  auto manifest = store.import_file(fetched->file, name, options, progress, cancelled);
  const bool unusable =
      !manifest && (manifest.error().code == ErrorCode::kMalformed || manifest.error().code == ErrorCode::kUnsupported);
  if (unusable) {
    manifest.error().message = fmt::format("{} from {}: {}", plan->file_name, plan->label, manifest.error().message);
    ::unlink(fetched->file.c_str());
  }
  if (manifest || unusable) ::unlink(fetched->notes.c_str());
  return manifest;
}

}  // namespace llm::models
