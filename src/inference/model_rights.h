#pragma once

#include <string_view>

#include "access/principal.h"
#include "base/error.h"

namespace llm::inference {

// May the principal do that to the model? By the name it used or by the model's own (empty: there is no such model), so
// that a right on an alias is one on what it stands for. kPermissionDenied: the same answer for models that exist and
// for those that do not, as long as neither name is one that the caller has to do with.
Result<void> check_model_right(const access::Principal& principal, access::Permission permission,
                               std::string_view requested, std::string_view resolved);

}  // namespace llm::inference
