#include "mcp/pages.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "mcp/calls.h"
#include "net/base64.h"

namespace llm::mcp {
namespace {

std::string cursor_of(std::size_t offset) {
  return base64url_encode(fmt::format("from {}", offset));
}

std::optional<std::size_t> offset_of(std::string_view cursor) {
  const auto text = base64url_decode(cursor);
  if (!text || !text->starts_with("from ")) return std::nullopt;
  std::size_t offset = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data() + 5, end, offset);
  if (error != std::errc() || stop != end || offset == 0) return std::nullopt;
  return offset;
}

}  // namespace

bool has_cursor(const json::object& params) {
  const json::value* cursor = json::find(params, "cursor");
  return cursor != nullptr && !cursor->is_null();
}

std::string write_list(const Server& server, const Revision& revision, std::string_view member,
                       std::string_view array_json, std::string_view next_cursor) {
  std::string result = revision.modern ? R"({"resultType":"complete",")" : R"({")";
  result.append(member).append(R"(":)").append(array_json);
  if (!next_cursor.empty()) result.append(R"(,"nextCursor":")").append(next_cursor).push_back('"');
  if (revision.modern) result.append(server.cache_members()).append(server.meta_member());
  result.push_back('}');
  return result;
}

std::expected<std::string, Refusal> write_page(const Server& server, const Revision& revision,
                                               const json::object& params, std::string_view member,
                                               std::span<const std::string_view> entries) {
  std::size_t first = 0;
  if (has_cursor(params)) {
    const auto offset = offset_of(json::string_or(params, "cursor"));
    if (!offset || *offset >= entries.size()) {
      return std::unexpected(
          invalid_params("unknown cursor; leave it out to start at the beginning.", "/params/cursor"));
    }
    first = *offset;
  }
  const std::size_t count = std::min(entries.size() - first, server.settings().page_size);
  std::string array = "[";
  for (const auto entry : entries.subspan(first, count)) {
    if (array.size() > 1) array.push_back(',');
    array.append(entry);
  }
  array.push_back(']');
  const std::string next = first + count < entries.size() ? cursor_of(first + count) : std::string();
  return write_list(server, revision, member, array, next);
}

}  // namespace llm::mcp
