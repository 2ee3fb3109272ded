// Bringing files into the store: check, hash, put in place.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "base/strings.h"
#include "models/gguf.h"
#include "models/store.h"
#include "models/store_files.h"

namespace llm::models {

namespace {

namespace fs = std::filesystem;

bool same_file(int fd, const fs::path& path) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

bool same_device(int fd, const fs::path& folder) {
  struct stat file{};
  struct stat place{};
  return ::fstat(fd, &file) == 0 && ::stat(folder.c_str(), &place) == 0 && file.st_dev == place.st_dev;
}

}  // namespace

Result<void> check_loadable(const GgufFacts& facts, const fs::path& path) {
  const std::string file = path.filename().string();
  if (facts.split_count > 1) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("{} is one of {} parts of a split model; join them first (llama-gguf-split --merge FIRST OUT)",
                    file, facts.split_count));
  }
  if (facts.architecture == "clip" || (!facts.type.empty() && facts.type != "model")) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{} is not a model but a part for one ({}); import the model itself", file,
                            facts.type.empty() ? "projector" : facts.type));
  }
  if (facts.tensor_bytes == 0) {
    return fail(ErrorCode::kUnsupported, fmt::format("{} holds a vocabulary but no weights", file));
  }
  return {};
}

ModelStore::Staged::~Staged() {
  if (temporary) ::unlink(path.c_str());
}

// The store's lock keeps gc() away between the creation of the file and the lock on it.
Result<ModelStore::Staged> ModelStore::create_staged(const fs::path* link_from) {
  const auto held = lock();
  if (!held) return fail(held.error());
  Staged staged;
  staged.path = partial_directory() / unique_id("import-").append(".tmp");
  if (link_from != nullptr) {
    if (files_.link(link_from->c_str(), staged.path.c_str()) != 0) {
      const int saved = errno;
      return fail(errno_error(saved, fmt::format("cannot link {}", link_from->string())));
    }
    staged.temporary = true;
    auto fd = open_regular(staged.path, false);
    if (!fd) return fail(std::move(fd.error()));
    staged.fd = std::move(*fd);
  } else {
    staged.fd.reset(::open(staged.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444));
    if (!staged.fd) {
      const int saved = errno;
      return fail(errno_error(saved, fmt::format("cannot create {}", staged.path.string())));
    }
    staged.temporary = true;
  }
  try_lock(staged.fd.get());
  return staged;
}

Result<Digest> ModelStore::copy_and_hash(const Staged& staged, const fs::path& path, int source, std::uint64_t size,
                                         const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  std::vector<std::byte> buffer(1 << 20);
  Sha256 hash;
  std::uint64_t done = 0;
  while (done < size) {
    if (auto go = check_cancelled(cancelled); !go) return fail(go.error());
    report(progress, Phase::kCopying, done, size);
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - done));
    const ssize_t got = ::pread(source, buffer.data(), step, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int saved = errno;
      return fail(errno_error(saved, fmt::format("cannot read {}", path.string())));
    }
    if (got == 0) {
      return fail(ErrorCode::kConflict, fmt::format("{} became shorter while it was copied", path.string()));
    }
    const auto piece = std::span(buffer).first(static_cast<std::size_t>(got));
    if (auto ok = write_all(files_, staged.fd.get(), piece, staged.path); !ok) return fail(std::move(ok.error()));
    hash.update(piece);
    done += piece.size();
  }
  report(progress, Phase::kCopying, done, size);
  return hash.finish();
}

Result<Digest> ModelStore::fill(Staged& staged, const fs::path& path, int source, const ProgressCallback& progress,
                                const std::atomic<bool>& cancelled) {
  const auto size = file_size_of(source, path);
  if (!size) return fail(size.error());
  if (files_.clone(source, staged.fd.get()) == 0) return hash_file(staged.fd.get(), staged.path, progress, cancelled);
  if (auto ok = require_space(files_, settings_.root, *size, settings_.reserve_bytes); !ok) {
    return fail(std::move(ok.error()));
  }
  return copy_and_hash(staged, path, source, *size, progress, cancelled);
}

Result<ModelStore::Staged> ModelStore::stage(const fs::path& path, const UniqueFd& source, ImportMethod method,
                                             const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  Result<Digest> digest;
  if (method == ImportMethod::kMove && same_device(source.get(), settings_.root)) {
    Staged staged;
    staged.path = path;
    staged.fd.reset(::dup(source.get()));
    digest = hash_file(source.get(), path, progress, cancelled);
    if (!digest) return fail(std::move(digest.error()));
    staged.digest = *digest;
    return staged;
  }
  if (method == ImportMethod::kHardlink) {
    // Where links are not possible (another disk, a file system without them) the copy below does the job.
    if (auto staged = create_staged(&path); staged && same_file(source.get(), staged->path)) {
      digest = hash_file(source.get(), path, progress, cancelled);
      if (!digest) return fail(std::move(digest.error()));
      staged->digest = *digest;
      return staged;
    }
  }
  auto staged = create_staged(nullptr);
  if (!staged) return staged;
  digest = fill(*staged, path, source.get(), progress, cancelled);
  if (!digest) return fail(std::move(digest.error()));
  staged->digest = *digest;
  return staged;
}

Result<void> ModelStore::move_blob(Staged& staged) {
  if (auto ok = sync_file(files_, staged.fd.get(), staged.path); !ok) return ok;
  if (!same_file(staged.fd.get(), staged.path)) {
    return fail(ErrorCode::kConflict, fmt::format("{} was replaced while it was imported", staged.path.string()));
  }
  const fs::path blob = blob_file(staged.digest);
  // A blob that is already there is replaced by what was just hashed, which also mends one that rotted on disk.
  if (auto ok = rename_file(files_, staged.path, blob); !ok) return ok;
  return sync_directory(files_, blob.parent_path());
}

// A caller's file that was moved is given back where nobody has heard of its blob.
void ModelStore::forget_staged(Staged& staged, bool existed) {
  const fs::path blob = blob_file(staged.digest);
  if (!staged.temporary && ::link(blob.c_str(), staged.path.c_str()) != 0 && !existed) {
    ::rename(blob.c_str(), staged.path.c_str());
  }
  drop_unused({staged.digest});
}

Result<Manifest> ModelStore::publish_file(Staged& staged, const Manifest& manifest, bool replace) {
  const auto held = lock();
  if (!held) return fail(held.error());
  if (auto ok = check_name(manifest.name, manifest.size, manifest.digest, replace); !ok) return fail(ok.error());
  const bool existed = blob_path(staged.digest).has_value();
  if (auto moved = move_blob(staged); !moved) {
    forget_staged(staged, existed);
    return fail(std::move(moved.error()));
  }
  auto published = point_tag(manifest);
  if (!published) {
    // When only the last flush failed, the name points to the new file already: it keeps it.
    forget_staged(staged, existed);
    return published;
  }
  // Renaming between two links of one file does nothing; then the link is still there.
  if (staged.temporary || same_file(staged.fd.get(), staged.path)) ::unlink(staged.path.c_str());
  staged.temporary = false;
  return published;
}

namespace {

Error wrong_file(const fs::path& path, const Digest& actual, const Digest& expected) {
  return Error{ErrorCode::kMalformed,
               fmt::format("{} is not the expected file: its digest is {}, expected {}; get it again",
                           path.filename().string(), actual.to_string(), expected.to_string()),
               {},
               {{"actual_digest", actual.to_string()}, {"expected_digest", expected.to_string()}},
               0};
}

}  // namespace

Result<Manifest> ModelStore::import_file(const fs::path& path, const ModelName& name, const ImportOptions& options,
                                         const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  // A link may be copied from; moving or linking one would put the link into the store.
  const auto source = open_regular(path, options.method == ImportMethod::kCopy);
  if (!source) return fail(source.error());
  const auto first_look = read_gguf(source->get(), path);
  if (!first_look) return fail(first_look.error());
  if (auto ok = check_loadable(*first_look, path); !ok) return fail(std::move(ok.error()));
  if (auto ok = check_name(name, first_look->file_bytes, options.expected_digest, options.replace); !ok) {
    return fail(std::move(ok.error()));
  }
  auto staged = stage(path, *source, options.method, progress, cancelled);
  if (!staged) return fail(std::move(staged.error()));
  // The source may have changed since the first look: what counts is what was hashed.
  auto facts = read_gguf(staged->fd.get(), path);
  if (!facts) return fail(std::move(facts.error()));
  if (options.expected_digest && staged->digest != *options.expected_digest) {
    return fail(wrong_file(path, staged->digest, *options.expected_digest));
  }
  if (auto go = check_cancelled(cancelled); !go) return fail(go.error());
  report(progress, Phase::kFinishing, facts->file_bytes, facts->file_bytes);
  Manifest manifest{.name = name,
                    .digest = staged->digest,
                    .size = facts->file_bytes,
                    .source = options.source.empty() ? path.filename().string() : options.source,
                    .license = facts->license.empty() ? options.license : facts->license,
                    .created = rfc3339_now(),
                    .facts = std::move(*facts),
                    .settings = options.settings,
                    .revision = options.revision,
                    .creator = options.creator,
                    .notes = options.notes,
                    .kind = ModelKind::kGguf,
                    .files = {}};
  auto published = publish_file(*staged, manifest, options.replace);
  if (!published) return published;
  if (options.method == ImportMethod::kMove && same_file(source->get(), path)) ::unlink(path.c_str());
  return published;
}

Result<Digest> ModelStore::add_blob(BlobPin& pin, const fs::path& path, ImportMethod method,
                                    const std::optional<Digest>& expected, const ProgressCallback& progress,
                                    const std::atomic<bool>& cancelled) {
  const auto source = open_regular(path, false);
  if (!source) return fail(source.error());
  auto staged = stage(path, *source, method, progress, cancelled);
  if (!staged) return fail(std::move(staged.error()));
  if (expected && staged->digest != *expected) return fail(wrong_file(path, staged->digest, *expected));
  if (auto go = check_cancelled(cancelled); !go) return fail(go.error());
  const auto held = lock();
  if (!held) return fail(held.error());
  if (pin.digests_.insert(staged->digest).second) {
    if (auto written = write_pin(pin); !written) return fail(std::move(written.error()));
  }
  if (auto moved = move_blob(*staged); !moved) return fail(std::move(moved.error()));
  if (staged->temporary || same_file(staged->fd.get(), staged->path)) ::unlink(staged->path.c_str());
  staged->temporary = false;
  return staged->digest;
}

}  // namespace llm::models
