// A line of the audit trail that an attacker wrote: what is taken for one holds together, and what is masked stays
// masked.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "access/audit/audit_record.h"
#include "access/audit/audit_redact.h"
#include "base/strings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace access = llm::access;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto parts = access::split_line(text)) {
    const std::string again = std::string(parts->before_hash) + ",\"hash\":\"" + std::string(parts->hash) + "\"}";
    if (again != text || parts->seq < 1 || parts->prev.size() != access::kHashDigits) std::abort();
    (void)access::hash_fits(*parts);
    if (const auto row = access::row_of(text); row && (row->record != text || row->seq != parts->seq)) std::abort();
  } else if (access::row_of(text)) {
    std::abort();
  }
  (void)access::removed_by(text);

  const std::string masked = access::redact_text(text, 1'000'000);
  if (!llm::valid_utf8(masked) || masked.find('\0') != std::string::npos) std::abort();
  if (access::redact_text(masked, 1'000'000) != masked) std::abort();
  access::AuditEvent event;
  event.action = text;
  event.message = text;
  event.after = llm::json::value(text);
  const auto line = access::make_line(1, "c", access::genesis_hash(), 0, event);
  const auto parts = access::split_line(line.text);
  if (!parts || !access::hash_fits(*parts) || line.text.find('\n') != std::string::npos) std::abort();
  return 0;
}
