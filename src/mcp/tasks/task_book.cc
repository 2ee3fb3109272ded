#include "mcp/tasks/task_book.h"

#include <algorithm>

namespace llm::mcp {
namespace {

constexpr std::size_t kThreads = 2;
// A longer message is no status but a text so far, which nobody wants again with every poll.
constexpr std::size_t kLongestProgress = 256;

}  // namespace

json::object TaskEntry::describe() const {
  const std::lock_guard guard(mutex_);
  json::object members = detailed_task_members(*record_);
  if (record_->status == TaskStatus::kWorking && !progress_.empty()) members["statusMessage"] = progress_;
  return members;
}

void TaskEntry::set_progress(std::string_view message) {
  if (message.empty() || message.size() > kLongestProgress) return;
  const std::lock_guard guard(mutex_);
  progress_ = message;
}

void TaskEntry::publish(TaskRecord record) {
  auto shared = std::make_shared<const TaskRecord>(std::move(record));
  const std::lock_guard guard(mutex_);
  record_ = std::move(shared);
  progress_.clear();
  if (listener_) listener_();  // under the lock: none is called after it was taken away
}

TaskBook::TaskBook(const Changes& changes, TaskSettings settings) : changes_(changes), settings_(std::move(settings)) {
  if (settings_.directory.empty()) return;
  journal_ = std::make_unique<TaskJournal>(settings_.directory, settings_.on_problem);
  pool_ = std::make_unique<BlockingPool>(kThreads);
}

void TaskBook::announce(const TaskRecord& record) const {
  changes_.announce({Change::Kind::kTask, record.id, record.principal, json::write(detailed_task_members(record))});
}

std::shared_ptr<TaskEntry> TaskBook::find(std::string_view principal, std::string_view id) const {
  std::shared_ptr<TaskEntry> entry;
  {
    const std::lock_guard guard(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return nullptr;
    entry = found->second;
  }
  const auto record = entry->record();
  return record->principal == principal && !record->expired(unix_ms()) ? entry : nullptr;
}

void TaskBook::add(const std::shared_ptr<TaskEntry>& entry) {
  const std::lock_guard guard(mutex_);
  entries_.emplace(entry->record()->id, entry);
}

Task<Result<std::shared_ptr<TaskEntry>>> TaskBook::create(TaskRecord record) {
  return blocking([this, record = std::move(record)] { return create_now(record); });
}

Result<std::shared_ptr<TaskEntry>> TaskBook::create_now(TaskRecord record) {
  auto kept = journal_ ? journal_->create(record, settings_.max_per_principal) : reserve_in_memory(record);
  if (!kept) return fail(std::move(kept.error()));
  auto entry = std::make_shared<TaskEntry>(std::move(record));
  add(entry);
  announce(*entry->record());
  return entry;
}

Result<void> TaskBook::reserve_in_memory(const TaskRecord& record) {
  sweep_now();
  const std::lock_guard guard(mutex_);
  const auto has = std::ranges::count_if(
      entries_, [&](const auto& entry) { return entry.second->record()->principal == record.principal; });
  if (static_cast<std::size_t>(has) < settings_.max_per_principal) return {};
  return fail(too_many_tasks(settings_.max_per_principal));
}

Task<Result<TaskRecord>> TaskBook::load(std::string principal, std::string id) {
  return blocking([this, principal = std::move(principal), id = std::move(id)]() -> Result<TaskRecord> {
    if (!journal_) return fail(ErrorCode::kNotFound, "no such task");
    return journal_->load(principal, id);
  });
}

Task<Result<void>> TaskBook::change(std::shared_ptr<TaskEntry> entry, Edit edit, IfDiskFails otherwise) {
  return blocking([this, entry = std::move(entry), edit = std::move(edit), otherwise] {
    return change_now(*entry, edit, otherwise);
  });
}

Result<void> TaskBook::change_now(TaskEntry& entry, const Edit& edit, IfDiskFails otherwise) {
  const std::lock_guard guard(entry.changing_);
  TaskRecord next = *entry.record();
  const auto before = next.updated_ms;
  if (!edit(next)) return {};
  next.updated_ms = std::max(unix_ms(), before);
  if (journal_) {
    const auto saved = journal_->save(next);
    if (!saved && otherwise == IfDiskFails::kRefuse) return saved;
    if (!saved && settings_.on_problem) settings_.on_problem(saved.error());
    entry.unsaved_ = !saved;
  }
  entry.publish(next);
  announce(next);
  if (journal_ && next.ended() && !entry.unsaved_) {
    const std::lock_guard lock(mutex_);
    entries_.erase(next.id);  // from now on it is read from the disk
  }
  return {};
}

Task<void> TaskBook::keep_partial(std::shared_ptr<TaskEntry> entry, std::string text) {
  if (!journal_) co_return;  // nothing survives this process
  co_await blocking([this, entry = std::move(entry), text = std::move(text)] {
    const std::lock_guard guard(entry->changing_);
    const auto record = entry->record();
    if (record->ended()) return false;
    const auto saved = journal_->save_partial(*record, text);
    if (!saved && settings_.on_problem) settings_.on_problem(saved.error());
    return true;
  });
}

Task<std::vector<std::shared_ptr<TaskEntry>>> TaskBook::adopt(std::string owner, TaskJournal::Decide decide) {
  return blocking([this, owner = std::move(owner), decide = std::move(decide)] { return adopt_now(owner, decide); });
}

std::vector<std::shared_ptr<TaskEntry>> TaskBook::adopt_now(const std::string& owner,
                                                            const TaskJournal::Decide& decide) {
  std::vector<std::shared_ptr<TaskEntry>> entries;
  if (!journal_) return entries;
  for (auto& record : owner.empty() ? journal_->adopt(decide) : journal_->adopt(owner, decide)) {
    if (record.ended()) {
      announce(record);
      continue;
    }
    entries.push_back(std::make_shared<TaskEntry>(std::move(record)));
    add(entries.back());
  }
  return entries;
}

Task<void> TaskBook::sweep() {
  co_await blocking([this] {
    sweep_now();
    return true;
  });
}

void TaskBook::sweep_now() {
  const auto now = unix_ms();
  std::vector<std::shared_ptr<TaskEntry>> entries;
  {
    const std::lock_guard guard(mutex_);
    if (!journal_) std::erase_if(entries_, [&](const auto& entry) { return entry.second->record()->expired(now); });
    for (const auto& [id, entry] : entries_) entries.push_back(entry);
  }
  if (!journal_) return;
  for (const auto& entry : entries) {
    const std::lock_guard guard(entry->changing_);
    if (!entry->unsaved_) continue;
    const auto record = entry->record();
    if (!journal_->save(*record)) continue;
    entry->unsaved_ = false;
    if (!record->ended()) continue;
    const std::lock_guard lock(mutex_);
    entries_.erase(record->id);
  }
  journal_->sweep(now);
}

}  // namespace llm::mcp
