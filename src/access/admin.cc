#include "access/admin.h"

#include <algorithm>

#include "access/admin_support.h"

namespace llm::access {

AccessAdmin::AccessAdmin(store::Database& database, Directory* directory, AuditLog& audit,
                         std::function<std::int64_t()> now_ms)
    : database_(database), directory_(directory), audit_(audit), now_ms_(std::move(now_ms)) {}

std::int64_t AccessAdmin::last_used(const std::string& key, std::int64_t saved) const {
  const auto entry = directory_ == nullptr ? nullptr : directory_->key(key);
  return entry ? std::max(saved, entry->last_used.load(std::memory_order_relaxed)) : saved;
}

Result<json::object> AccessAdmin::change(std::string action, std::string target, const Principal& actor,
                                         const Work& work) {
  // Nothing is changed that could not be written into the trail.
  if (auto ready = audit_.readiness(); !ready) return fail(std::move(ready.error()));
  AuditEvent event;
  event.time = now_ms_();
  event.principal = actor.id;
  event.project = actor.project();
  if (actor.identity) event.user = actor.identity->user;
  event.address = actor.address;
  event.action = std::move(action);
  event.target = safe_target(target);

  auto done = database_.write(work);
  if (!done) {
    const ErrorCode code = done.error().code;
    if (code != ErrorCode::kInvalidArgument) {  // a slip of the pen is nobody's business
      event.outcome = describe(code).name;
      event.message = done.error().message;
      audit_.record(std::move(event));
    }
    return fail(std::move(done.error()));
  }
  Result<bool> followed = false;
  if (directory_ != nullptr) followed = directory_->refresh(database_);
  event.target = done->target;
  event.project = done->project.empty() ? event.project : done->project;
  event.outcome = "ok";
  if (!done->before.empty()) event.before = std::move(done->before);
  event.after = done->after;
  if (auto audited = audit_.commit(std::move(event)); !audited) {
    audited.error().message =
        "this was done, but could not be written into the audit trail: " + audited.error().message;
    return fail(std::move(audited.error()));
  }
  if (!followed) {
    followed.error().message =
        "this was saved, and takes effect here as soon as the database can be read again: " + followed.error().message;
    return fail(std::move(followed.error()));
  }
  return std::move(done->after);
}

}  // namespace llm::access
