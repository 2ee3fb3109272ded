#include "base/error.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <system_error>

namespace llm {
namespace {

constexpr auto kTable = std::to_array<std::pair<ErrorCode, ErrorDescription>>({
    {ErrorCode::kInvalidArgument, {"invalid_argument", 400, "invalid_request_error", -32602}},
    {ErrorCode::kMalformed, {"malformed", 400, "invalid_request_error", -32700}},
    {ErrorCode::kUnsupported, {"unsupported", 400, "invalid_request_error", -32602}},
    {ErrorCode::kContextLengthExceeded, {"context_length_exceeded", 400, "invalid_request_error", -32602}},
    {ErrorCode::kUnauthenticated, {"unauthenticated", 401, "authentication_error", -32603}},
    {ErrorCode::kPermissionDenied, {"permission_denied", 403, "permission_error", -32603}},
    {ErrorCode::kNotFound, {"not_found", 404, "not_found_error", -32602}},
    {ErrorCode::kMethodNotAllowed, {"method_not_allowed", 405, "invalid_request_error", -32601}},
    {ErrorCode::kAlreadyExists, {"already_exists", 409, "invalid_request_error", -32602}},
    {ErrorCode::kConflict, {"conflict", 409, "invalid_request_error", -32603}},
    {ErrorCode::kPayloadTooLarge, {"payload_too_large", 413, "invalid_request_error", -32602}},
    {ErrorCode::kUnsupportedMediaType, {"unsupported_media_type", 415, "invalid_request_error", -32602}},
    {ErrorCode::kTimeout, {"request_timeout", 408, "invalid_request_error", -32603}},
    {ErrorCode::kRateLimited, {"rate_limited", 429, "rate_limit_error", -32603}},
    {ErrorCode::kOverloaded, {"overloaded", 503, "overloaded_error", -32603}},
    {ErrorCode::kInsufficientMemory, {"insufficient_memory", 503, "server_error", -32603}},
    {ErrorCode::kDiskFull, {"disk_full", 507, "server_error", -32603}},
    {ErrorCode::kEngineFailed, {"engine_failed", 502, "server_error", -32603}},
    {ErrorCode::kEngineTimeout, {"engine_timeout", 504, "server_error", -32603}},
    {ErrorCode::kUnavailable, {"unavailable", 503, "server_error", -32603}},
    {ErrorCode::kCancelled, {"cancelled", 499, "server_error", -32603}},
    {ErrorCode::kIo, {"io_error", 500, "server_error", -32603}},
    {ErrorCode::kInternal, {"internal", 500, "server_error", -32603}},
});

}  // namespace

const ErrorDescription& describe(ErrorCode code) {
  for (const auto& [row_code, description] : kTable) {
    if (row_code == code) return description;
  }
  return kTable.back().second;
}

std::optional<ErrorCode> error_code_by_name(std::string_view name) {
  for (const auto& [code, description] : kTable) {
    if (description.name == name) return code;
  }
  return std::nullopt;
}

ErrorCode error_code_by_status(int http_status) {
  for (const auto& [code, description] : kTable) {
    if (description.http_status == http_status && http_status != 500) return code;
  }
  return ErrorCode::kInternal;
}

std::string to_string(const Error& error) {
  if (error.pointer.empty()) return error.message;
  return fmt::format("{} (at {})", error.message, error.pointer);
}

Error errno_error(int errno_value, std::string_view what) {
  ErrorCode code = ErrorCode::kIo;
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      code = ErrorCode::kDiskFull;
      break;
    case ENOENT:
      code = ErrorCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
      code = ErrorCode::kPermissionDenied;
      break;
    case EEXIST:
      code = ErrorCode::kAlreadyExists;
      break;
    default:
      break;
  }
  return Error{code, fmt::format("{}: {}", what, std::generic_category().message(errno_value)), {}, {}, 0};
}

}  // namespace llm
