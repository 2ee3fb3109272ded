#pragma once

#include "access/access_control.h"
#include "access/principal.h"

namespace llm::inference {

// Must everything that this principal asks stay on this machine? So says its role (`caps.local_only`), one of several
// roles of a token, its project (`locality: local_only`), or, for who has no caps of its own, `access.caps` in the
// configuration. `access` null: nobody has limits but what the principal itself carries. Any thread.
bool must_stay_local(const access::Principal& principal, const access::AccessControl* access = nullptr);

}  // namespace llm::inference
