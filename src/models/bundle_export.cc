#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "models/bundle.h"
#include "models/bundle_format.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTextBytes = 4u << 20;

// A pin that ends with the work: what an export reads needs no keeping when it failed.
struct Released {
  BlobPin pin;
  explicit Released(BlobPin taken) : pin(std::move(taken)) {}
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;
  ~Released() { pin.release(); }
};

Result<void> check_directory(const fs::path& directory, const Manifest& manifest) {
  if (auto made = make_folder(directory); !made) return made;
  const auto earlier = read_small_file(directory / kBundleManifest, kMaxTextBytes);
  if (earlier) {
    const auto other = parse_bundle_manifest(*earlier);
    if (other && other->version() == manifest.version() && other->name == manifest.name) return {};
    return fail(ErrorCode::kConflict,
                fmt::format("{} holds a bundle of something else; choose another folder", directory.string()));
  }
  for (const auto& entry : entries_of(directory)) {
    if (entry.filename().string().starts_with(".tmp-")) continue;
    return fail(ErrorCode::kConflict, fmt::format("{} is not empty; choose another folder", directory.string()));
  }
  return {};
}

class Export {
 public:
  Export(ModelStore& store, fs::path directory, const ProgressCallback& progress, const std::atomic<bool>& cancelled)
      : store_(store), directory_(std::move(directory)), progress_(progress), cancelled_(cancelled) {}
  Result<void> run(const Manifest& manifest);

 private:
  struct Blob {
    Digest digest;
    fs::path from;
    fs::path to;
    std::uint64_t size = 0;
  };
  Result<std::vector<Blob>> blobs_of(const Manifest& manifest) const;
  Result<bool> is_there(const Blob& blob);
  Result<void> copy(const Blob& blob);
  Result<void> copy_bytes(const Blob& blob, int from, int to, const fs::path& temporary);
  void tell(std::uint64_t more) { report(progress_, Phase::kCopying, done_ += more, total_); }

  ModelStore& store_;
  const fs::path directory_;
  const ProgressCallback& progress_;
  const std::atomic<bool>& cancelled_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

Result<std::vector<Export::Blob>> Export::blobs_of(const Manifest& manifest) const {
  std::set<Digest> unique;
  std::vector<Blob> blobs;
  for (const auto& digest : manifest.blobs()) {
    if (!unique.insert(digest).second) continue;
    const auto from = store_.blob_path(digest);
    if (!from) return fail(from.error());
    const auto fd = open_regular(*from, false);
    if (!fd) return fail(fd.error());
    const auto size = file_size_of(fd->get(), *from);
    if (!size) return fail(size.error());
    blobs.push_back({digest, *from, directory_ / kBundleBlobs / digest.file_name(), *size});
  }
  return blobs;
}

// A whole file of an earlier attempt.
Result<bool> Export::is_there(const Blob& blob) {
  const auto fd = open_regular(blob.to, false);
  if (!fd) return false;
  const auto size = file_size_of(fd->get(), blob.to);
  if (!size || *size != blob.size) return false;
  const auto digest = hash_file(fd->get(), blob.to, {}, cancelled_);
  if (!digest) return fail(digest.error());
  return *digest == blob.digest;
}

Result<void> Export::copy_bytes(const Blob& blob, int from, int to, const fs::path& temporary) {
  std::vector<std::byte> buffer(1 << 20);
  Sha256 hash;
  for (std::uint64_t done = 0;;) {
    if (auto go = check_cancelled(cancelled_); !go) return go;
    const ssize_t got = ::pread(from, buffer.data(), buffer.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int saved = errno;
      return fail(errno_error(saved, fmt::format("cannot read {}", blob.from.string())));
    }
    if (got == 0) break;
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(got));
    if (auto ok = write_all(store_.files(), to, piece, temporary); !ok) return ok;
    hash.update(piece);
    done += piece.size();
    tell(piece.size());
  }
  if (const Digest actual = hash.finish(); actual != blob.digest) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{} changed on disk: expected {}, found {}; remove the model and pull or import it again",
                            blob.from.string(), blob.digest.to_string(), actual.to_string()));
  }
  return sync_file(store_.files(), to, temporary);
}

Result<void> Export::copy(const Blob& blob) {
  const auto from = open_regular(blob.from, false);
  if (!from) return fail(from.error());
  const fs::path temporary = blob.to.parent_path() / unique_id(".tmp-");
  UniqueFd to(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!to) {
    const int saved = errno;
    return fail(errno_error(saved, fmt::format("cannot create {}", temporary.string())));
  }
  auto done = copy_bytes(blob, from->get(), to.get(), temporary);
  if (done) done = rename_file(store_.files(), temporary, blob.to);
  if (!done) ::unlink(temporary.c_str());
  return done;
}

Result<void> Export::run(const Manifest& manifest) {
  if (auto ok = check_directory(directory_, manifest); !ok) return ok;
  auto blobs = blobs_of(manifest);
  if (!blobs) return fail(std::move(blobs.error()));
  BundleSums sums;
  const auto write = [&](std::string_view name, const std::string& text) {
    sums.emplace(name, sha256_of(text));
    return write_file_atomic(store_.files(), directory_ / name, text);
  };
  // An earlier attempt's sums say that it is whole, which it is not while files are written.
  ::unlink((directory_ / kBundleSums).c_str());
  // First of all: by it the next attempt knows the folder as its own.
  if (auto ok = write(kBundleManifest, bundle_manifest(manifest)); !ok) return ok;
  if (auto made = make_folder(directory_ / kBundleBlobs); !made) return made;
  if (auto ok = write(kBundleReadme, bundle_readme(manifest)); !ok) return ok;
  std::vector<Blob> missing;
  std::uint64_t needed = 0;
  for (const auto& blob : *blobs) {
    total_ += blob.size;
    sums.emplace(fmt::format("{}/{}", kBundleBlobs, blob.digest.file_name()), blob.digest);
    const auto there = is_there(blob);
    if (!there) return fail(there.error());
    if (*there) {
      done_ += blob.size;
      continue;
    }
    needed += blob.size;
    missing.push_back(blob);
  }
  if (auto ok = require_space(store_.files(), directory_, needed, store_.settings().reserve_bytes); !ok) return ok;
  for (const auto& blob : missing) {
    if (auto ok = copy(blob); !ok) return ok;
  }
  if (auto ok = sync_directory(store_.files(), directory_ / kBundleBlobs); !ok) return ok;
  return write_file_atomic(store_.files(), directory_ / kBundleSums, write_sums(sums));
}

}  // namespace

bool is_bundle(const fs::path& directory) {
  struct stat info{};
  return ::lstat((directory / kBundleManifest).c_str(), &info) == 0;
}

Result<Manifest> export_bundle(ModelStore& store, std::string_view model, const fs::path& directory,
                               const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  auto manifest = store.find(model);
  if (!manifest) return manifest;
  const auto blobs = manifest->blobs();
  auto pin = store.pin("the export to " + directory.string(), {blobs.begin(), blobs.end()});
  if (!pin) return fail(std::move(pin.error()));
  const Released held(std::move(*pin));
  if (auto done = Export(store, directory, progress, cancelled).run(*manifest); !done) {
    return fail(std::move(done.error()));
  }
  return manifest;
}

}  // namespace llm::models
