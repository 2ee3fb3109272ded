#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "access/audit/audit_log.h"
#include "store/audit_table.h"

// One line of the audit trail: how it is written, and how it is read back. audit_log.h says what it looks like.
namespace llm::access {

inline constexpr std::size_t kHashDigits = 64;
inline constexpr std::string_view kGenesisAction = "audit.genesis";
inline constexpr std::string_view kRetentionAction = "audit.retention";
inline constexpr std::string_view kLostAction = "audit.lost";
inline constexpr std::size_t kMostLine = 8U << 20;  // bytes; what is longer was not written by this program

std::string genesis_hash();  // sixty-four zeros

struct AuditLine {
  std::string text;  // without the newline
  std::string hash;
};
// `time`: of the event, if it has none itself. Secrets are masked, and contents beyond half a megabyte are cut.
AuditLine make_line(std::int64_t seq, std::string_view chain, std::string_view previous_hash, std::int64_t time,
                    const AuditEvent& event);

// The parts of a line that make the chain, found by their place. Views into the line.
struct LineParts {
  std::int64_t seq = 0;
  std::string_view prev;
  std::string_view hash;
  std::string_view before_hash;  // what comes before `,"hash":"`
};
std::optional<LineParts> split_line(std::string_view line);
// Is the line's hash that of its bytes and its "prev"?
bool hash_fits(const LineParts& parts);

// The row of a line that was checked. kConflict if it is not one of ours.
Result<store::AuditRow> row_of(std::string_view line);

// What a line of the action "audit.retention" says was removed: everything up to this line.
struct Removed {
  std::int64_t seq = 0;
  std::string hash;
};
AuditEvent retention_event(const Removed& removed, std::string_view file);
std::optional<Removed> removed_by(std::string_view line);

}  // namespace llm::access
