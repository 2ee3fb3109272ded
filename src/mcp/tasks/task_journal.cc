#include "mcp/tasks/task_journal.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <set>
#include <span>
#include <system_error>
#include <utility>

#include "base/paths.h"
#include "base/random.h"
#include "base/strings.h"

namespace llm::mcp {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOwners = "owners";
constexpr std::string_view kTemporary = ".tmp-";

bool is_hex_name(std::string_view name) {
  return name.size() == 32 &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// The entries of a directory; none if it cannot be read.
std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    entries.push_back(entry->path());
  }
  return entries;
}

std::vector<fs::path> folders_of(const fs::path& directory) {
  auto folders = entries_of(directory);
  std::erase_if(folders, [](const fs::path& path) { return !is_hex_name(path.filename().native()); });
  return folders;
}

bool is_record(const fs::path& path) {
  return path.extension() == ".json" && is_hex_name(path.stem().native());
}

fs::path with_extension(fs::path path, const char* extension) {
  return path.replace_extension(extension);
}

}  // namespace

Error too_many_tasks(std::size_t max_tasks) {
  return {
      ErrorCode::kRateLimited,
      fmt::format("You have {} tasks, as many as one may have. Finished ones are forgotten when their ttlMs is over.",
                  max_tasks),
      {},
      {},
      0};
}

TaskJournal::TaskJournal(fs::path directory, std::function<void(const Error&)> on_problem, DiskCalls& disk)
    : directory_(std::move(directory)), on_problem_(std::move(on_problem)), disk_(disk), owner_(random_id()) {}

TaskJournal::~TaskJournal() = default;

Result<void> TaskJournal::open() {
  const std::lock_guard guard(opening_);
  if (lock_.held()) return {};
  if (auto made = ensure_private_dir(directory_); !made) return made;
  if (auto made = ensure_private_dir(directory_ / kOwners); !made) return made;
  auto lock = OwnerLock::take(owner_file(owner_));
  if (!lock) return fail(std::move(lock.error()));
  lock_ = std::move(*lock);
  return {};
}

fs::path TaskJournal::owner_file(const std::string& owner) const {
  return directory_ / kOwners / owner;
}

fs::path TaskJournal::folder_of(std::string_view principal) const {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(principal.data(), principal.size(), digest, &size, EVP_sha256(), nullptr);
  return directory_ / hex(std::span(digest, 16));
}

fs::path TaskJournal::file_of(const TaskRecord& record) const {
  return folder_of(record.principal) / (record.id + ".json");
}

Result<void> TaskJournal::write(const fs::path& path, std::string_view text) {
  const auto temporary = path.parent_path() / fmt::format("{}{}-{}", kTemporary, owner_, next_temporary_++);
  return replace_file(disk_, path, temporary, text);
}

Result<TaskRecord> TaskJournal::read(const fs::path& path) {
  auto text = read_file(path);
  if (!text) return fail(std::move(text.error()));
  auto record = read_record(*text);
  if (record && (record->id != path.stem() || folder_of(record->principal) != path.parent_path())) {
    record = fail(ErrorCode::kMalformed, "it is another task's file");
  }
  if (record || record.error().code != ErrorCode::kMalformed) return record;
  const auto aside = path.native() + ".corrupt";
  disk_.rename(path.c_str(), aside.c_str());
  report({ErrorCode::kMalformed,
          fmt::format("the task {} cannot be read and is set aside as {}: {}", path.stem().native(), aside,
                      record.error().message),
          {},
          {},
          0});
  return record;
}

Result<void> TaskJournal::create(TaskRecord& record, std::size_t max_tasks) {
  if (auto opened = open(); !opened) return opened;
  const auto folder = folder_of(record.principal);
  if (auto made = ensure_private_dir(folder); !made) return made;
  const std::lock_guard guard(counting_);  // held while writing: else two could both be the last that fits
  const auto full = [&] {
    return static_cast<std::size_t>(std::ranges::count_if(entries_of(folder), is_record)) >= max_tasks;
  };
  if (full()) {
    sweep_folder(folder, unix_ms());
    if (full()) return fail(too_many_tasks(max_tasks));
  }
  record.owner = owner_;
  auto written = write(file_of(record), write_record(record));
  std::error_code ignored;
  if (!written) fs::remove(file_of(record), ignored);  // it may be in place, if only the last flush failed
  return written;
}

Result<void> TaskJournal::save(const TaskRecord& record) {
  if (auto opened = open(); !opened) return opened;
  const auto path = file_of(record);
  if (auto written = write(path, write_record(record)); !written) return written;
  std::error_code ignored;
  if (record.ended()) fs::remove(with_extension(path, ".partial"), ignored);
  return {};
}

Result<void> TaskJournal::save_partial(const TaskRecord& record, std::string_view text) {
  if (auto opened = open(); !opened) return opened;
  return write(with_extension(file_of(record), ".partial"), text);
}

Result<TaskRecord> TaskJournal::load(std::string_view principal, std::string_view id) {
  const auto unknown = [] { return fail(ErrorCode::kNotFound, "no such task"); };
  if (!is_hex_name(id)) return unknown();  // it becomes a file name
  if (auto opened = open(); !opened) return fail(std::move(opened.error()));
  auto record = read(folder_of(principal) / fmt::format("{}.json", id));
  if (!record) {
    const auto code = record.error().code;
    const bool absent =
        code == ErrorCode::kNotFound || code == ErrorCode::kMalformed || code == ErrorCode::kUnsupported;
    return absent ? unknown() : record;
  }
  if (record->expired(unix_ms())) return unknown();
  return record;
}

std::vector<TaskRecord> TaskJournal::unfinished() {
  std::vector<TaskRecord> found;
  for (const auto& folder : folders_of(directory_)) {
    for (const auto& path : entries_of(folder)) {
      if (!is_record(path)) continue;
      auto record = read(path);
      if (!record && record.error().code != ErrorCode::kMalformed && record.error().code != ErrorCode::kNotFound) {
        report(record.error());
      }
      if (record && !record->ended()) found.push_back(std::move(*record));
    }
  }
  return found;
}

std::vector<TaskRecord> TaskJournal::adopt(const Decide& decide) {
  if (auto opened = open(); !opened) {
    report(opened.error());
    return {};
  }
  std::set<std::string> owners;
  for (const auto& path : entries_of(directory_ / kOwners)) owners.insert(path.filename());
  for (auto& record : unfinished()) owners.insert(std::move(record.owner));
  std::vector<TaskRecord> adopted;
  for (const auto& owner : owners) {
    auto some = adopt(owner, decide);
    std::ranges::move(some, std::back_inserter(adopted));
  }
  return adopted;
}

std::vector<TaskRecord> TaskJournal::adopt(const std::string& owner, const Decide& decide) {
  if (owner == owner_ || !is_hex_name(owner) || !open()) return {};
  const std::lock_guard guard(adopting_);
  // Whoever holds an owner's lock may change its tasks, so they are read only now.
  auto lock = OwnerLock::take(owner_file(owner));
  if (!lock) return {};
  std::vector<TaskRecord> adopted;
  bool complete = true;
  for (auto& record : unfinished()) {
    if (record.owner != owner) continue;
    const auto partial = read_file(with_extension(file_of(record), ".partial"));
    if (!decide(record, partial.value_or(std::string()))) {
      complete = false;
      continue;
    }
    record.owner = owner_;
    if (auto saved = save(record); !saved) {
      report(saved.error());
      complete = false;
    } else {
      adopted.push_back(std::move(record));
    }
  }
  clear_temporaries_of(owner);
  if (complete) lock->remove();
  return adopted;
}

void TaskJournal::clear_temporaries_of(const std::string& owner) {
  const std::string prefix = fmt::format("{}{}-", kTemporary, owner);
  for (const auto& folder : folders_of(directory_)) {
    for (const auto& path : entries_of(folder)) {
      std::error_code ignored;
      if (path.filename().native().starts_with(prefix)) fs::remove(path, ignored);
    }
  }
}

void TaskJournal::sweep(std::int64_t now_ms) {
  for (const auto& folder : folders_of(directory_)) sweep_folder(folder, now_ms);
}

void TaskJournal::sweep_folder(const fs::path& folder, std::int64_t now_ms) {
  for (const auto& path : entries_of(folder)) {
    if (!is_record(path)) continue;
    const auto record = read(path);
    if (!record || !record->expired(now_ms)) continue;
    std::error_code ignored;
    fs::remove(with_extension(path, ".partial"), ignored);
    fs::remove(path, ignored);
  }
}

}  // namespace llm::mcp
