#include "access/principal.h"

#include "access/identity.h"

namespace llm::access {

bool Principal::may(Permission permission) const {
  return local() || identity->may(permission);
}

bool Principal::may(Permission permission, std::string_view model) const {
  return local() || identity->may(permission, model);
}

std::string_view Principal::project() const {
  return local() || identity->project == nullptr ? std::string_view("default") : identity->project->id;
}

std::string_view Principal::key_id() const {
  return local() || identity->key_id.empty() ? std::string_view(id) : identity->key_id;
}

}  // namespace llm::access
