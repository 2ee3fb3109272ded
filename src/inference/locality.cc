#include "inference/locality.h"

#include "access/identity.h"

namespace llm::inference {

bool must_stay_local(const access::Principal& principal, const access::AccessControl* access) {
  if (access != nullptr && access->caps_of(principal).local_only) return true;
  if (principal.identity == nullptr) return false;
  const access::Identity& identity = *principal.identity;
  if (identity.local_only || (identity.caps && identity.caps->local_only)) return true;
  return identity.project && identity.project->locality == access::ProjectLocality::kLocalOnly;
}

}  // namespace llm::inference
