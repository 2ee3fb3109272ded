#include "models/pull.h"

#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "models/download.h"
#include "models/pull_source.h"
#include "models/repository_pull.h"

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
  known.revision = plan.revision;
  known.creator = request.creator;
  known.notes = request.notes;
  if (request.settings) known.settings = request.settings;
  return store.tag(known, name, request.replace);
}

Result<Manifest> pull_file(ModelStore& store, const PullSettings& settings, DownloadPlan plan,
                           const PullRequest& request, const ProgressCallback& progress,
                           const std::atomic<bool>& cancelled) {
  if (request.digest) {
    if (plan.digest && *plan.digest != *request.digest) {
      return fail(ErrorCode::kConflict, fmt::format("{} has SHA-256 {}, expected was {}", plan.label,
                                                    plan.digest->hex(), request.digest->hex()));
    }
    plan.digest = request.digest;
  }
  const ModelName name = request.name.value_or(ModelName{plan.suggested_name, std::string(kDefaultVersion)});
  if (auto ok = store.check_name(name, plan.size, plan.digest, request.replace); !ok)
    return fail(std::move(ok.error()));
  if (plan.digest) {
    if (auto known = find_by_digest(store, *plan.digest)) {
      return take_known(store, std::move(*known), plan, name, request);
    }
  }
  auto fetched = download(store, settings, plan, progress, cancelled);
  if (!fetched) return fail(std::move(fetched.error()));

  ImportOptions options;
  options.method = ImportMethod::kMove;
  options.expected_digest = fetched->digest;
  options.replace = request.replace;
  options.source = plan.label;
  options.license = plan.license;
  options.settings = request.settings;
  options.revision = plan.revision;
  options.creator = request.creator;
  options.notes = request.notes;
  auto manifest = store.import_file(fetched->file, name, options, progress, cancelled);
  const bool unusable =
      !manifest && (manifest.error().code == ErrorCode::kMalformed || manifest.error().code == ErrorCode::kUnsupported);
  if (unusable) {
    manifest.error().message = fmt::format("{} from {}: {}", plan.file_name, plan.label, manifest.error().message);
    ::unlink(fetched->file.c_str());
  }
  if (manifest || unusable) ::unlink(fetched->notes.c_str());
  return manifest;
}

}  // namespace

std::string_view to_string(PullFormat format) {
  switch (format) {
    case PullFormat::kAuto:
      return "auto";
    case PullFormat::kGguf:
      return "gguf";
    case PullFormat::kRepository:
      return "repository";
  }
  return "";
}

std::optional<PullFormat> parse_pull_format(std::string_view text) {
  for (const auto format : {PullFormat::kAuto, PullFormat::kGguf, PullFormat::kRepository}) {
    if (to_string(format) == text) return format;
  }
  return std::nullopt;
}

Result<Manifest> pull(ModelStore& store, const PullSettings& settings, const PullRequest& request,
                      const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  const auto source = parse_pull_source(request.source);
  if (!source) return fail(source.error());
  const auto checked = checked_settings(settings);
  if (!checked) return fail(checked.error());
  if (auto allowed = check_allowed(*checked, *source); !allowed) return fail(std::move(allowed.error()));
  report(progress, Phase::kResolving, 0, 0);
  const auto* hub = std::get_if<HubSource>(&*source);
  if (hub == nullptr) {
    if (request.format == PullFormat::kRepository) {
      return fail(ErrorCode::kInvalidArgument, "a whole repository comes from a hub: write hf:OWNER/REPO[@REVISION]");
    }
    return pull_file(store, *checked, plan_url_file(*checked, std::get<UrlSource>(*source)), request, progress,
                     cancelled);
  }
  const auto listing = fetch_hub_listing(*checked, *hub, cancelled);
  if (!listing) return fail(listing.error());
  const bool no_gguf = listing->files.empty() && hub->selector.empty();
  if (request.format == PullFormat::kRepository || (request.format == PullFormat::kAuto && no_gguf)) {
    return pull_repository(store, *checked, *hub, *listing, request, progress, cancelled);
  }
  auto plan = plan_hub_file(*checked, *hub, *listing);
  if (!plan) return fail(std::move(plan.error()));
  return pull_file(store, *checked, std::move(*plan), request, progress, cancelled);
}

}  // namespace llm::models
