#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "access/permission.h"

namespace llm::access {

class Identity;  // access/identity.h

// On whose behalf something runs. Who comes over the user's own Unix socket, or over loopback where that is allowed, is
// the local user, who may everything. A value; the identity is immutable and shared, as every request of a key has it.
struct Principal {
  std::string id = "local";  // for logs, sessions, tasks; "key:<id>", "token:<issuer>:<subject>"
  std::shared_ptr<const Identity> identity = nullptr;  // null: the local user
  std::string address = {};                            // where it comes from, without the port; empty: this machine

  bool local() const { return identity == nullptr; }
  bool may(Permission permission) const;
  // On this model, by its name or any other name that the request used for it?
  bool may(Permission permission, std::string_view model) const;
  std::string_view project() const;  // "default" for the local user
  std::string_view key_id() const;   // what usage is booked on: a key's id, else the principal's id
};

}  // namespace llm::access
