#include "inference/model_rights.h"

#include <fmt/format.h>

namespace llm::inference {

Result<void> check_model_right(const access::Principal& principal, access::Permission permission,
                               std::string_view requested, std::string_view resolved) {
  if (principal.local()) return {};
  if (!resolved.empty() && principal.may(permission, resolved)) return {};
  if (!requested.empty() && principal.may(permission, requested)) return {};
  return fail(ErrorCode::kPermissionDenied,
              requested.empty()
                  ? fmt::format("the default model is not one that {} may use; name another", principal.id)
                  : fmt::format("{} may not use the model \"{}\" for this (it needs {})", principal.id, requested,
                                access::to_string(permission)),
              "/model");
}

}  // namespace llm::inference
