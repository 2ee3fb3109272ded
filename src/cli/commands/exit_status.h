#pragma once

#include "base/error.h"

namespace llm::cli {

// What the program's exit status says; shown by --help.
inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;        // wrong arguments, wrong configuration
inline constexpr int kExitNotFound = 3;     // no such model, file or alias
inline constexpr int kExitUnavailable = 4;  // no gateway, or the engine failed
inline constexpr int kExitInterrupted = 130;

constexpr int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
      return kExitUsage;
    case ErrorCode::kNotFound:
      return kExitNotFound;
    case ErrorCode::kUnavailable:
    case ErrorCode::kOverloaded:
    case ErrorCode::kInsufficientMemory:
    case ErrorCode::kEngineFailed:
    case ErrorCode::kEngineTimeout:
      return kExitUnavailable;
    case ErrorCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailure;
  }
}

}  // namespace llm::cli
