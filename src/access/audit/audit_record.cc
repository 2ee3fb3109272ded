#include "access/audit/audit_record.h"

#include <array>
#include <chrono>
#include <fmt/format.h>
#include <openssl/evp.h>

#include "access/audit/audit_redact.h"
#include "access/timestamp.h"
#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::size_t kMostText = 4096;           // of a text member
constexpr std::size_t kMostContent = 512U << 10;  // of before, after, prompt and answer, each
constexpr std::string_view kSeqMember = R"({"seq":)";
constexpr std::string_view kPrevMember = R"(,"prev":")";
constexpr std::string_view kHashMember = R"(,"hash":")";

// ISO 8601 with milliseconds, always: lines sort, and other programs find one form.
std::string time_text(std::int64_t ms) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(ms)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

void add_text(std::string& out, std::string_view name, std::string_view text) {
  out += ",\"";
  out += name;
  out += "\":";
  json::append_quoted(out, redact_text(text, kMostText));
}

void add_number(std::string& out, std::string_view name, std::int64_t number) {
  if (number != 0) fmt::format_to(std::back_inserter(out), ",\"{}\":{}", name, number);
}

void add_content(std::string& out, std::string_view name, const json::value& content) {
  if (content.is_null()) return;
  std::string text = json::write(redact(content));
  if (text.size() > kMostContent) {
    const std::size_t size = text.size();
    text.resize(utf8_complete_prefix(std::string_view(text).substr(0, kMostContent)));
    text = json::write(json::object{{"truncated", true}, {"bytes", size}, {"begin", text}});
  }
  fmt::format_to(std::back_inserter(out), ",\"{}\":{}", name, text);
}

bool is_hash(std::string_view text) {
  return text.size() == kHashDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string genesis_hash() {
  return std::string(kHashDigits, '0');
}

std::string audit_hash(std::string_view previous_hash, std::string_view line_without_hash) {
  std::array<unsigned char, 32> digest{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(context, EVP_sha256(), nullptr);
  EVP_DigestUpdate(context, previous_hash.data(), previous_hash.size());
  EVP_DigestUpdate(context, line_without_hash.data(), line_without_hash.size());
  EVP_DigestFinal_ex(context, digest.data(), nullptr);
  EVP_MD_CTX_free(context);
  return hex(digest);
}

AuditLine make_line(std::int64_t seq, std::string_view chain, std::string_view previous_hash, std::int64_t time,
                    const AuditEvent& event) {
  std::string line;
  line.reserve(512);
  fmt::format_to(std::back_inserter(line), R"({}{},"time":"{}","chain":"{}")", kSeqMember, seq,
                 time_text(event.time != 0 ? event.time : time), chain);
  add_text(line, "request_id", event.request_id);
  add_text(line, "principal", event.principal);
  add_text(line, "project", event.project);
  add_text(line, "user", event.user);
  add_text(line, "address", event.address);
  add_text(line, "action", event.action);
  add_text(line, "target", event.target);
  add_text(line, "outcome", event.outcome);
  if (!event.message.empty()) add_text(line, "message", event.message);
  add_number(line, "input_tokens", event.input_tokens);
  add_number(line, "output_tokens", event.output_tokens);
  add_content(line, "before", event.before);
  add_content(line, "after", event.after);
  add_content(line, "prompt", event.prompt);
  add_content(line, "answer", event.answer);
  line += kPrevMember;
  line += previous_hash;
  line += "\"}";
  AuditLine out{.text = std::move(line), .hash = {}};
  out.hash = audit_hash(previous_hash, out.text);
  out.text.pop_back();
  out.text += kHashMember;
  out.text += out.hash;
  out.text += "\"}";
  return out;
}

std::optional<LineParts> split_line(std::string_view line) {
  constexpr std::size_t kHashEnd = kHashMember.size() + kHashDigits + 2;  // …"}
  constexpr std::size_t kPrevEnd = kPrevMember.size() + kHashDigits + 1;  // …"
  if (line.size() < kSeqMember.size() + kPrevEnd + kHashEnd || !line.starts_with(kSeqMember) ||
      !line.ends_with("\"}")) {
    return std::nullopt;
  }
  LineParts parts;
  const auto comma = line.find(',');
  const auto seq = parse_number<std::int64_t>(line.substr(kSeqMember.size(), comma - kSeqMember.size()));
  if (!seq || *seq < 1) return std::nullopt;
  parts.seq = *seq;
  parts.before_hash = line.substr(0, line.size() - kHashEnd);
  const std::string_view hash = line.substr(parts.before_hash.size());
  const std::string_view prev = parts.before_hash.substr(parts.before_hash.size() - kPrevEnd);
  if (!hash.starts_with(kHashMember) || !prev.starts_with(kPrevMember) || !prev.ends_with('"')) return std::nullopt;
  parts.hash = hash.substr(kHashMember.size(), kHashDigits);
  parts.prev = prev.substr(kPrevMember.size(), kHashDigits);
  if (!is_hash(parts.hash) || !is_hash(parts.prev)) return std::nullopt;
  return parts;
}

bool hash_fits(const LineParts& parts) {
  return audit_hash(parts.prev, std::string(parts.before_hash) + "}") == parts.hash;
}

Result<store::AuditRow> row_of(std::string_view line) {
  const auto parts = split_line(line);
  const auto document = json::parse(line);
  if (!parts || !document || !document->is_object()) {
    return fail(ErrorCode::kConflict, "this is no line of an audit trail");
  }
  const json::object& object = document->get_object();
  const auto time = parse_time(json::string_or(object, "time"));
  if (!time || json::int_or(object, "seq") != parts->seq || json::string_or(object, "prev") != parts->prev ||
      json::string_or(object, "hash") != parts->hash) {
    return fail(ErrorCode::kConflict, "this line of the audit trail has members that do not fit");
  }
  const auto text = [&](std::string_view name) { return std::string(json::string_or(object, name)); };
  return store::AuditRow{.chain = text("chain"),
                         .seq = parts->seq,
                         .time = *time,
                         .principal = text("principal"),
                         .project = text("project"),
                         .action = text("action"),
                         .target = text("target"),
                         .address = text("address"),
                         .outcome = text("outcome"),
                         .record = std::string(line),
                         .hash = std::string(parts->hash)};
}

AuditEvent retention_event(const Removed& removed, std::string_view file) {
  AuditEvent event;
  event.action = kRetentionAction;
  event.target = file;
  event.outcome = "ok";
  event.after = json::object{{"last_seq", removed.seq}, {"last_line", removed.hash}};
  return event;
}

std::optional<Removed> removed_by(std::string_view line) {
  if (line.find(R"(,"action":"audit.retention",)") == std::string_view::npos) return std::nullopt;
  const auto document = json::parse(line);
  if (!document || !document->is_object()) return std::nullopt;
  if (json::string_or(document->get_object(), "action") != kRetentionAction) return std::nullopt;
  const auto* after = json::find(document->get_object(), "after");
  if (!after || !after->is_object()) return std::nullopt;
  return Removed{.seq = json::int_or(after->get_object(), "last_seq"),
                 .hash = std::string(json::string_or(after->get_object(), "last_line"))};
}

}  // namespace llm::access
