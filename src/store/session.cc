#include "store/session.h"

#include <chrono>
#include <soci/soci.h>

#include "base/strings.h"

namespace llm::store {

bool storable(std::string_view value) {
  return value.find('\0') == std::string_view::npos && valid_utf8(value);
}

void require_text(std::initializer_list<const std::string*> values) {
  for (const std::string* value : values) {
    if (!storable(*value)) throw InvalidText();
  }
}

std::string to_hex(std::string_view bytes) {
  return hex({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

std::string from_hex(std::string_view digits) {
  const auto value = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10) & 15U; };
  std::string bytes(digits.size() / 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(value(digits[2 * i]) << 4U | value(digits[2 * i + 1]));
  }
  return bytes;
}

void lock_name(Session& session, std::string_view kind, const std::string& name) {
  if (!session.postgres()) return;
  const std::string key = std::string(kind) + ":" + name;
  // Two names with the same hash wait for each other, no more.
  session.sql << "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))", soci::use(key);
}

std::int64_t clock_ns(Session& session) {
  if (session.postgres()) {
    std::int64_t microseconds = 0;
    session.sql << "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)", soci::into(microseconds);
    return microseconds * 1000;
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace llm::store
