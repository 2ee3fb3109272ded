#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace llm {

// What went wrong, in terms every protocol can express. The one table that maps a code to an HTTP status, an OpenAI
// error type and code, and a JSON-RPC code is `describe()` below; nobody else writes such numbers.
enum class ErrorCode {
  kInvalidArgument,        // the request is wrong; `pointer` says where
  kMalformed,              // not parseable at all (JSON syntax, HTTP framing)
  kUnsupported,            // understood, but this model or engine cannot do it
  kContextLengthExceeded,  // prompt + answer do not fit the model's context
  kUnauthenticated,
  kPermissionDenied,
  kNotFound,
  kMethodNotAllowed,
  kAlreadyExists,
  kConflict,  // the state does not allow it now (a model in use, say)
  kPayloadTooLarge,
  kUnsupportedMediaType,
  kTimeout,             // the client was too slow
  kRateLimited,         // a limit of the caller
  kOverloaded,          // a limit of the gateway; try again after `retry_after_s`
  kInsufficientMemory,  // the memory ledger refuses a load
  kDiskFull,
  kEngineFailed,   // the engine crashed or answered nonsense (502)
  kEngineTimeout,  // the engine did not answer in time (504)
  kUnavailable,    // shutting down, upstream unreachable
  kCancelled,      // the caller went away or asked to stop
  kIo,
  kInternal,  // a bug
};

// A number or text that belongs to an error and that programs want to read, such as {"n_ctx", 8192}.
struct ErrorDetail {
  std::string name;
  std::variant<std::int64_t, std::string> value;
  friend bool operator==(const ErrorDetail&, const ErrorDetail&) = default;
};

// A failure as a value. `message` says what was wrong and what to do about it, in sentences for people; it never holds
// a secret or a prompt. `pointer` is a JSON Pointer (RFC 6901) into the request where one applies, else empty.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string pointer;
  std::vector<ErrorDetail> details;
  int retry_after_s = 0;  // > 0: when it makes sense to ask again, in seconds

  Error& with(std::string name, std::int64_t value) & {
    details.push_back({std::move(name), value});
    return *this;
  }
  Error&& with(std::string name, std::int64_t value) && {
    details.push_back({std::move(name), value});
    return std::move(*this);
  }
  Error&& with(std::string name, std::string value) && {
    details.push_back({std::move(name), std::move(value)});
    return std::move(*this);
  }
  Error&& at(std::string json_pointer) && {
    pointer = std::move(json_pointer);
    return std::move(*this);
  }
  Error&& retry_after(int seconds) && {
    retry_after_s = seconds;
    return std::move(*this);
  }
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;

// `return fail(ErrorCode::kNotFound, "...")` from any function that returns a Result.
inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string pointer = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(pointer), {}, 0});
}
inline std::unexpected<Error> fail(Error error) {
  return std::unexpected(std::move(error));
}

// One row of the error table.
struct ErrorDescription {
  std::string_view name;         // snake_case, stable: logs, metrics, `error.code` where OpenAI defines none
  int http_status;               // RFC 9110
  std::string_view openai_type;  // `error.type` of the OpenAI API
  int json_rpc;                  // JSON-RPC 2.0 error code
};
const ErrorDescription& describe(ErrorCode code);

// The way back, for clients of our own APIs. By `ErrorDescription::name`; nullopt if no code has that name.
std::optional<ErrorCode> error_code_by_name(std::string_view name);
// The first code of the table with that HTTP status; kInternal for 500 and for a status that no code has.
ErrorCode error_code_by_status(int http_status);

// "message (at /pointer)" for logs and terminals.
std::string to_string(const Error& error);

// The error of a failed system call: `what` + the text of `errno_value`, with the code that fits (ENOSPC: kDiskFull …).
Error errno_error(int errno_value, std::string_view what);

}  // namespace llm
