#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

#include "models/bundle.h"
#include "models/bundle_format.h"
#include "models/repository_facts.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTextBytes = 4u << 20;

struct Bundle {
  fs::path directory;
  Manifest manifest;
  std::map<Digest, std::uint64_t> blobs;  // with their sizes
};

std::unexpected<Error> bad(const fs::path& directory, std::string_view what) {
  return fail(ErrorCode::kMalformed, fmt::format("{}: {}", directory.string(), what));
}

Result<std::string> checked_text(const fs::path& directory, std::string_view name, const BundleSums& sums) {
  const auto sum = sums.find(std::string(name));
  if (sum == sums.end()) return bad(directory, fmt::format("{} is not in {}", name, kBundleSums));
  auto text = read_small_file(directory / name, kMaxTextBytes);
  if (text && sha256_of(*text) != sum->second) {
    return bad(directory, fmt::format("the checksum of {} is wrong; copy the bundle again", name));
  }
  return text;
}

// All that can be said before any large file is read.
Result<Bundle> open_bundle(const fs::path& directory) {
  const auto sums_text = read_small_file(directory / kBundleSums, kMaxTextBytes);
  if (!sums_text && sums_text.error().code == ErrorCode::kNotFound) {
    return bad(directory, fmt::format("no {}: this is not a bundle, or its export was not completed", kBundleSums));
  }
  if (!sums_text) return fail(sums_text.error());
  const auto sums = parse_sums(*sums_text);
  if (!sums) return bad(directory, sums.error().message);
  const auto text = checked_text(directory, kBundleManifest, *sums);
  if (!text) return fail(text.error());
  if (sums->contains(std::string(kBundleReadme))) {
    if (const auto readme = checked_text(directory, kBundleReadme, *sums); !readme) return fail(readme.error());
  }
  auto manifest = parse_bundle_manifest(*text);
  if (!manifest) return bad(directory, manifest.error().message);
  if (auto ok = require_folder(directory / kBundleBlobs); !ok) return fail(std::move(ok.error()));
  Bundle bundle{directory, std::move(*manifest), {}};
  for (const auto& file : bundle.manifest.files) bundle.blobs.emplace(file.digest, file.size);
  if (bundle.manifest.kind == ModelKind::kGguf) bundle.blobs.emplace(bundle.manifest.digest, bundle.manifest.size);
  for (const auto& [digest, size] : bundle.blobs) {
    const std::string name = fmt::format("{}/{}", kBundleBlobs, digest.file_name());
    if (!sums->contains(name)) return bad(directory, fmt::format("{} is not in {}", name, kBundleSums));
    const auto fd = open_regular(directory / name, false);
    if (!fd) return fail(fd.error());
    const auto actual = file_size_of(fd->get(), directory / name);
    if (!actual) return fail(actual.error());
    if (*actual != size) {
      return bad(directory, fmt::format("{} has {} bytes, expected {}; copy the bundle again", name, *actual, size));
    }
  }
  return bundle;
}

// What is in the store already counts only if it is still what its name says.
Result<bool> is_here(ModelStore& store, const Digest& digest, const ProgressCallback& progress,
                     const std::atomic<bool>& cancelled) {
  if (!store.blob_path(digest)) return false;
  const auto sound = store.verify(digest, progress, cancelled);
  if (!sound && sound.error().code == ErrorCode::kCancelled) return fail(sound.error());
  return sound.has_value();
}

Result<void> take_blobs(ModelStore& store, const Bundle& bundle, BlobPin& pin, const ProgressCallback& progress,
                        const std::atomic<bool>& cancelled) {
  std::uint64_t total = 0;
  for (const auto& [digest, size] : bundle.blobs) total += size;
  std::uint64_t done = 0;
  const ProgressCallback part = [&](const Progress& now) { report(progress, now.phase, done + now.bytes_done, total); };
  for (const auto& [digest, size] : bundle.blobs) {
    const auto here = is_here(store, digest, part, cancelled);
    if (!here) return fail(here.error());
    if (!*here) {
      const fs::path file = bundle.directory / kBundleBlobs / digest.file_name();
      const auto added = store.add_blob(pin, file, ImportMethod::kCopy, digest, part, cancelled);
      if (!added) return fail(added.error());
    }
    done += size;
  }
  return {};
}

// From the files themselves: what the bundle says of them is not believed.
Result<GgufFacts> facts_of(ModelStore& store, const Manifest& manifest) {
  if (manifest.kind == ModelKind::kRepository) return repository_facts(store, manifest.files);
  const auto path = store.blob_path(manifest.digest);
  if (!path) return fail(path.error());
  auto facts = read_gguf(*path);
  if (!facts) return facts;
  if (auto ok = check_loadable(*facts, *path); !ok) return fail(std::move(ok.error()));
  return facts;
}

}  // namespace

Result<Manifest> import_bundle(ModelStore& store, const fs::path& directory, const BundleImport& options,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  auto bundle = open_bundle(directory);
  if (!bundle) return fail(std::move(bundle.error()));
  Manifest& manifest = bundle->manifest;
  if (options.name) manifest.name = *options.name;
  if (auto ok = store.check_name(manifest.name, manifest.size, manifest.digest, options.replace); !ok) {
    return fail(std::move(ok.error()));
  }
  std::uint64_t needed = 0;
  std::set<Digest> digests;
  for (const auto& [digest, size] : bundle->blobs) {
    digests.insert(digest);
    if (!store.blob_path(digest)) needed += size;
  }
  if (auto ok = require_space(store.files(), store.root(), needed, store.settings().reserve_bytes); !ok) {
    return fail(std::move(ok.error()));
  }
  auto pin = store.pin("the import of " + manifest.version().to_string(), std::move(digests));
  if (!pin) return fail(std::move(pin.error()));
  if (auto ok = take_blobs(store, *bundle, *pin, progress, cancelled); !ok) return fail(std::move(ok.error()));
  auto facts = facts_of(store, manifest);
  if (!facts) return fail(std::move(facts.error()));
  if (auto go = check_cancelled(cancelled); !go) return fail(std::move(go.error()));
  manifest.facts = std::move(*facts);
  report(progress, Phase::kFinishing, manifest.size, manifest.size);
  auto published = store.publish(manifest, options.replace);
  if (!published) return published;
  pin->release();
  if (published->kind == ModelKind::kRepository) {
    if (auto folder = store.repository_path(*published); !folder) return fail(std::move(folder.error()));
  }
  return published;
}

}  // namespace llm::models
