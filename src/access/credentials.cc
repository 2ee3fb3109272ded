#include "access/credentials.h"

#include "base/strings.h"

namespace llm::access {
namespace {

constexpr std::string_view kSubprotocol = "llm-mcp";
constexpr std::string_view kBearerSubprotocol = "bearer.";

std::unexpected<Error> refuse(std::string_view message) {
  return fail(ErrorCode::kUnauthenticated, std::string(message));
}

Result<std::string_view> from_authorization(std::string_view field) {
  field = trim(field);
  const std::string_view scheme = field.substr(0, field.find(' '));
  if (!iequals(scheme, "Bearer")) {
    return refuse("the Authorization field must be \"Bearer\" and an API key or access token");
  }
  const std::string_view token = trim(field.substr(scheme.size()));
  if (token.empty()) return refuse("the Authorization field has no API key or access token behind \"Bearer\"");
  return token;
}

// Takes `next` if there was none before; the same one twice is fine.
Result<void> merge(std::optional<std::string_view>& shown, std::string_view next) {
  if (shown && *shown != next) {
    return refuse("the request shows different credentials in several places; send one API key or access token");
  }
  shown = next;
  return {};
}

Result<void> from_subprotocols(std::string_view list, std::optional<std::string_view>& shown) {
  bool beside = false;
  std::optional<std::string_view> found;
  for (std::string_view item : split(list, ',')) {
    item = trim(item);
    if (item == kSubprotocol) beside = true;
    if (!item.starts_with(kBearerSubprotocol)) continue;
    const std::string_view token = item.substr(kBearerSubprotocol.size());
    if (token.empty()) return refuse("the subprotocol \"bearer.\" has no API key or access token behind it");
    if (auto merged = merge(found, token); !merged) return merged;
  }
  if (!found) return {};
  if (!beside) return refuse("a \"bearer.<token>\" subprotocol needs \"llm-mcp\" beside it");
  return merge(shown, *found);
}

}  // namespace

Result<std::optional<std::string_view>> shown_bearer(const Credentials& credentials) {
  std::optional<std::string_view> shown;
  if (credentials.authorization) {
    auto token = from_authorization(*credentials.authorization);
    if (!token) return fail(std::move(token.error()));
    shown = *token;
  }
  if (credentials.api_key) {
    const std::string_view token = trim(*credentials.api_key);
    if (token.empty()) return refuse("the field for the API key is empty");
    if (auto merged = merge(shown, token); !merged) return fail(std::move(merged.error()));
  }
  if (credentials.subprotocols) {
    if (auto read = from_subprotocols(*credentials.subprotocols, shown); !read) return fail(std::move(read.error()));
  }
  return shown;
}

}  // namespace llm::access
