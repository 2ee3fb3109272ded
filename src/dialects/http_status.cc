#include "dialects/http_status.h"

namespace llm::dialects {

ErrorCode code_of_status(std::int64_t status) {
  switch (status) {
    case 400:
    case 422:
      return ErrorCode::kInvalidArgument;
    case 404:
      return ErrorCode::kNotFound;
    case 408:
    case 504:
      return ErrorCode::kEngineTimeout;
    case 409:
      return ErrorCode::kConflict;
    case 413:
      return ErrorCode::kPayloadTooLarge;
    case 429:
      return ErrorCode::kRateLimited;
    case 501:
      return ErrorCode::kUnsupported;
    case 503:
      return ErrorCode::kOverloaded;
    default:
      return ErrorCode::kEngineFailed;
  }
}

}  // namespace llm::dialects
