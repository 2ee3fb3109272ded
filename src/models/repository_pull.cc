#include "models/repository_pull.h"

#include <algorithm>
#include <condition_variable>
#include <fmt/format.h>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <utility>

#include "models/download.h"
#include "models/git_id.h"
#include "models/hub_tree.h"
#include "models/repository_facts.h"

namespace llm::models {

namespace {

// The caller's flag cannot wake a condition variable, so it is looked at this often.
constexpr std::chrono::milliseconds kLook{100};

class RepositoryPull {
 public:
  RepositoryPull(ModelStore& store, const PullSettings& settings, const HubSource& source, std::string commit)
      : store_(store), settings_(settings), source_(source), commit_(std::move(commit)) {}

  // All files are blobs afterwards, kept by `pin`.
  Result<std::vector<ManifestFile>> fetch(std::vector<HubFile> files, BlobPin& pin, const ProgressCallback& progress,
                                          const std::atomic<bool>& cancelled);

 private:
  void work(BlobPin& pin);
  Result<ManifestFile> fetch_one(std::size_t index, BlobPin& pin);
  Result<void> check_git_id(const HubFile& file, const Download& fetched) const;
  void count(std::size_t index, std::uint64_t bytes);

  ModelStore& store_;
  const PullSettings& settings_;
  const HubSource& source_;
  const std::string commit_;
  std::vector<HubFile> files_;
  std::atomic<bool> stop_{false};  // of all downloads

  std::mutex mutex_;
  std::condition_variable changed_;
  // The rest is guarded by mutex_.
  std::size_t next_ = 0;
  std::size_t working_ = 0;
  std::uint64_t done_ = 0;  // bytes
  std::vector<std::uint64_t> done_of_;
  std::vector<ManifestFile> fetched_;
  std::optional<Error> failure_;  // the first one
};

void RepositoryPull::count(std::size_t index, std::uint64_t bytes) {
  const std::lock_guard held(mutex_);
  done_ += bytes - done_of_[index];
  done_of_[index] = bytes;
  changed_.notify_all();
}

Result<void> RepositoryPull::check_git_id(const HubFile& file, const Download& fetched) const {
  if (file.git_id.empty() || fetched.digest) return {};
  const auto fd = open_regular(fetched.file, false);
  if (!fd) return fail(fd.error());
  const auto id = git_id_of(fd->get(), fetched.file);
  if (!id) return fail(id.error());
  if (*id == file.git_id) return {};
  return fail(ErrorCode::kMalformed,
              fmt::format("{} is not the file that the hub lists: its Git hash is {}, expected {}", file.path, *id,
                          file.git_id));
}

Result<ManifestFile> RepositoryPull::fetch_one(std::size_t index, BlobPin& pin) {
  const HubFile& file = files_[index];
  if (file.digest && store_.blob_path(*file.digest)) {  // of an earlier attempt, or of another model
    count(index, file.size);
    return ManifestFile{file.path, *file.digest, file.size};
  }
  const auto plan = plan_repository_file(settings_, source_, commit_, file);
  const auto progress = [&](const Progress& now) {
    if (now.phase == Phase::kDownloading) count(index, now.bytes_done);
  };
  auto fetched = download(store_, settings_, plan, progress, stop_);
  if (!fetched) return fail(std::move(fetched.error()));
  const auto size = file_size_of(fetched->lock.get(), fetched->file);
  if (!size) return fail(size.error());
  auto sound = check_git_id(file, *fetched);
  Result<Digest> digest;
  if (sound) {
    digest = store_.add_blob(pin, fetched->file, ImportMethod::kMove, fetched->digest, {}, stop_);
    if (!digest) sound = fail(std::move(digest.error()));
  }
  if (!sound) {
    if (sound.error().code != ErrorCode::kMalformed) return fail(std::move(sound.error()));
    sound.error().message = fmt::format("{}: {}", plan.label, sound.error().message);
    ::unlink(fetched->file.c_str());
  }
  ::unlink(fetched->notes.c_str());
  if (!sound) return fail(std::move(sound.error()));
  count(index, file.size);
  return ManifestFile{file.path, *digest, *size};
}

void RepositoryPull::work(BlobPin& pin) {
  std::unique_lock held(mutex_);
  while (next_ < files_.size() && !stop_) {
    const std::size_t index = next_++;
    held.unlock();
    auto fetched = fetch_one(index, pin);
    held.lock();
    if (fetched) {
      fetched_[index] = std::move(*fetched);
    } else {
      // The others are cut short: what they have stays for the next attempt.
      if (!failure_) failure_ = std::move(fetched.error());
      stop_ = true;
    }
  }
  --working_;
  changed_.notify_all();
}

Result<std::vector<ManifestFile>> RepositoryPull::fetch(std::vector<HubFile> files, BlobPin& pin,
                                                        const ProgressCallback& progress,
                                                        const std::atomic<bool>& cancelled) {
  files_ = std::move(files);
  fetched_.resize(files_.size());
  done_of_.resize(files_.size());
  std::uint64_t total = 0;
  for (const auto& file : files_) total += file.size;
  const std::size_t threads = std::clamp<std::size_t>(static_cast<std::size_t>(std::max(1, settings_.parallel)), 1,
                                                      std::min<std::size_t>(16, files_.size()));
  working_ = threads;
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i) workers.emplace_back([this, &pin] { work(pin); });
  std::unique_lock held(mutex_);
  std::uint64_t told = UINT64_MAX;
  while (working_ > 0) {
    if (cancelled) stop_ = true;
    if (told != done_) {
      const std::uint64_t now = told = done_;
      held.unlock();
      report(progress, Phase::kDownloading, now, total);
      held.lock();
      continue;
    }
    changed_.wait_for(held, kLook);
  }
  held.unlock();
  for (auto& worker : workers) worker.join();
  if (cancelled) return fail(ErrorCode::kCancelled, "cancelled");
  if (failure_) return fail(std::move(*failure_));
  report(progress, Phase::kDownloading, total, total);
  return std::move(fetched_);
}

std::uint64_t size_of(const std::vector<HubFile>& files) {
  std::uint64_t sum = 0;
  for (const auto& file : files) sum += file.size;
  return sum;
}

// Only what is not here yet has to find room.
std::uint64_t missing_bytes(const ModelStore& store, const std::vector<HubFile>& files) {
  std::uint64_t sum = 0;
  for (const auto& file : files) {
    if (!file.digest || !store.blob_path(*file.digest)) sum += file.size;
  }
  return sum;
}

// The very commit is there already, whole.
std::optional<Manifest> known_commit(const ModelStore& store, const Manifest& wanted, const PullRequest& request) {
  auto known = store.find(wanted.name);
  if (!known || known->kind != ModelKind::kRepository || known->source != wanted.source || request.settings) {
    return std::nullopt;
  }
  for (const auto& digest : known->blobs()) {
    if (!store.blob_path(digest)) return std::nullopt;
  }
  const bool python = std::ranges::any_of(known->files, [](const auto& file) { return file.path.ends_with(".py"); });
  if (request.pickles || request.code != python) return std::nullopt;
  return std::move(*known);
}

}  // namespace

Result<Manifest> pull_repository(ModelStore& store, const PullSettings& settings, const HubSource& source,
                                 const HubListing& listing, const PullRequest& request,
                                 const ProgressCallback& progress, const std::atomic<bool>& cancelled) {
  const std::string repo = source.owner + "/" + source.repo;
  if (!source.selector.empty() || request.digest) {
    return fail(ErrorCode::kInvalidArgument,
                "a whole repository is pulled: neither a file nor its SHA-256 can be given with it");
  }
  if (listing.commit.empty()) return fail(ErrorCode::kUnavailable, fmt::format("the hub names no commit of {}", repo));
  Manifest manifest;
  manifest.name = request.name.value_or(ModelName{suggest_name(source.repo), std::string(kDefaultVersion)});
  manifest.kind = ModelKind::kRepository;
  manifest.source = fmt::format("hf:{}@{}", repo, listing.commit);
  manifest.revision = listing.commit;
  manifest.license = listing.license;
  manifest.creator = request.creator;
  manifest.notes = request.notes;
  manifest.settings = request.settings;
  if (auto known = known_commit(store, manifest, request)) return std::move(*known);
  const auto all = fetch_hub_tree(settings, source, listing.commit, cancelled);
  if (!all) return fail(all.error());
  auto chosen = choose_repository_files(*all, {request.pickles, request.code}, repo);
  if (!chosen) return fail(std::move(chosen.error()));
  if (auto ok = store.check_name(manifest.name, size_of(*chosen), std::nullopt, request.replace); !ok) {
    return fail(std::move(ok.error()));
  }
  if (auto ok =
          require_space(store.files(), store.root(), missing_bytes(store, *chosen), store.settings().reserve_bytes);
      !ok) {
    return fail(std::move(ok.error()));
  }
  std::set<Digest> expected;
  for (const auto& file : *chosen) {
    if (file.digest) expected.insert(*file.digest);
  }
  auto pin = store.pin(manifest.source, std::move(expected));
  if (!pin) return fail(std::move(pin.error()));
  auto files =
      RepositoryPull(store, settings, source, listing.commit).fetch(std::move(*chosen), *pin, progress, cancelled);
  if (!files) return fail(std::move(files.error()));
  report(progress, Phase::kFinishing, 0, 0);
  manifest.files = std::move(*files);
  manifest.digest = files_digest(manifest.files);
  for (const auto& file : manifest.files) manifest.size += file.size;
  manifest.created = rfc3339_now();
  auto facts = repository_facts(store, manifest.files);
  if (!facts) return fail(std::move(facts.error()));
  manifest.facts = std::move(*facts);
  auto published = store.publish(manifest, request.replace);
  if (!published) return published;
  pin->release();
  if (auto folder = store.repository_path(*published); !folder) return fail(std::move(folder.error()));
  return published;
}

}  // namespace llm::models
