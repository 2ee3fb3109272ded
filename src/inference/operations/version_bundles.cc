// Models as folders that are carried elsewhere, and the collection of what nothing needs.
#include <filesystem>
#include <fmt/format.h>

#include "inference/operations/version_work.h"
#include "models/bundle.h"

namespace llm::inference {
namespace {

Result<std::filesystem::path> directory_of(const std::string& text) {
  const std::filesystem::path path(text);
  if (path.is_absolute()) return path;
  return fail(ErrorCode::kInvalidArgument, "expected an absolute path", "/directory");
}

json::object bundle_json(const models::Manifest& manifest, const std::string& directory) {
  json::object out = version_json(manifest);
  out.erase("files");
  out["name"] = models::to_string(manifest.name);
  out["directory"] = directory;
  return out;
}

}  // namespace

Result<json::object> export_model(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<ExportRequest>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kAdmin, request->name); !may) return fail(may.error());
  const auto directory = directory_of(request->directory);
  if (!directory) return fail(directory.error());
  const auto manifest = models::export_bundle(work.store, request->name, *directory, work.progress, work.cancelled);
  if (!manifest) return fail(manifest.error());
  return bundle_json(*manifest, request->directory);
}

Result<json::object> import_bundle(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<ImportBundleRequest>(arguments);
  if (!request) return fail(request.error());
  if (auto may = check_right(work, access::Permission::kAdmin, request->name.empty() ? "*" : request->name); !may) {
    return fail(may.error());
  }
  const auto directory = directory_of(request->directory);
  if (!directory) return fail(directory.error());
  models::BundleImport options{.replace = request->replace};
  if (!request->name.empty()) {
    auto name = models::parse_model_name(request->name);
    if (!name) return fail(std::move(name.error()).at("/name"));
    options.name = std::move(*name);
  }
  const auto manifest = models::import_bundle(work.store, *directory, options, work.progress, work.cancelled);
  if (!manifest) return fail(manifest.error());
  return bundle_json(*manifest, request->directory);
}

Result<json::object> collect_garbage(const VersionWork& work, const json::object& arguments) {
  const auto request = json::decode<GcRequest>(arguments);
  if (!request) return fail(request.error());
  const auto report = work.store.gc({.partial_downloads = request->partial,
                                     .versions = request->versions,
                                     .dry_run = request->dry_run,
                                     .in_use = work.in_use});
  if (!report) return fail(report.error());
  json::array items;
  for (const auto& item : report->items) {
    items.push_back(json::object{{"kind", item.kind}, {"name", item.name}, {"bytes", item.bytes}});
  }
  return json::object{
      {"dry_run", request->dry_run}, {"files", report->files}, {"bytes", report->bytes}, {"items", std::move(items)}};
}

}  // namespace llm::inference
