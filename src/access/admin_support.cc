#include "access/admin_support.h"

#include <algorithm>

#include "access/timestamp.h"
#include "base/strings.h"

namespace llm::access {
namespace {

bool small_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

}  // namespace

std::optional<std::string> time_or_nothing(std::int64_t ms) {
  if (ms == 0) return std::nullopt;
  return format_time(ms);
}

Result<void> check_name(std::string_view name, std::string_view pointer) {
  const bool control = std::ranges::any_of(name, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
  // U+0080 to U+009F are control characters too.
  bool high_control = false;
  for (std::size_t i = 0; i + 1 < name.size(); ++i) {
    high_control |= name[i] == '\xC2' && static_cast<unsigned char>(name[i + 1]) < 0xA0;
  }
  if (!control && !high_control && valid_utf8(name)) return {};
  return fail(ErrorCode::kInvalidArgument, "expected text without control characters", std::string(pointer));
}

bool is_small_name(std::string_view text, std::string_view more) {
  return !text.empty() && small_letter_or_digit(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return small_letter_or_digit(c) || more.contains(c); });
}

std::string safe_target(std::string_view id) {
  constexpr std::size_t kLongestId = 128;
  if (id.size() > kLongestId || id.starts_with("llm_") || !check_name(id, "")) return "(not an id)";
  return std::string(id);
}

Result<Role> find_role_named(store::Session& session, const std::string& name) {
  for (const Role& role : built_in_roles()) {
    if (role.name == name) return role;
  }
  auto row = store::find_role(session, name);
  if (!row) return fail(std::move(row.error()));
  if (!*row || (*row)->created == 0) return fail(ErrorCode::kNotFound, "there is no such role", "/role");
  auto role = role_from_row(**row);
  if (!role) return fail(std::move(role.error()));
  return **role;
}

AdminKeys::AdminKeys(const store::DirectoryRows& rows, std::int64_t now_ms) : rows_(rows), now_ms_(now_ms) {
  for (const Role& role : built_in_roles()) roles_.emplace(role.name, std::make_shared<const Role>(role));
  for (const store::RoleRow& row : rows.roles) {
    auto role = role_from_row(row);
    if (role) roles_.emplace(row.name, std::move(*role));
  }
  for (const store::ProjectRow& row : rows.projects) {
    auto project = project_from_row(row);
    if (project) projects_.emplace(row.id, std::move(*project));
  }
  for (const store::UserRow& row : rows.users) {
    if (row.disabled != 0) disabled_users_.insert(row.id);
  }
}

bool AdminKeys::usable(const store::KeyRow& row) {
  const auto role = roles_.find(row.role);
  // Most keys are no admin's: nothing more is looked at.
  if (row.revoked != 0 || role == roles_.end() || std::ranges::none_of(*role->second->rules, [](const Rule& rule) {
        return rule.permissions.has(Permission::kAdmin);
      })) {
    return false;
  }
  const auto entry = builder_.from_row(row, {projects_, roles_, disabled_users_});
  return entry->usable(now_ms_) && does_everything(entry->identity);
}

Result<void> AdminKeys::stay(const std::function<bool(const store::KeyRow&)>& goes) {
  bool any = false;
  for (const store::KeyRow& row : rows_.keys) {
    if (!usable(row)) continue;
    if (!goes(row)) return {};
    any = true;
  }
  if (!any) return {};
  return fail(ErrorCode::kConflict,
              "afterwards no key could do everything, and nobody could manage this gateway over the network; create "
              "another admin key first, or revoke this one with \"force\"");
}

Result<void> keep_an_admin_key(store::Session& session, std::int64_t now_ms,
                               const std::function<bool(const store::KeyRow&)>& goes) {
  const auto rows = store::load_directory(session);
  if (!rows) return fail(rows.error());
  return AdminKeys(*rows, now_ms).stay(goes);
}

}  // namespace llm::access
