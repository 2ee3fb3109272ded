#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "access/identity.h"
#include "access/principal.h"
#include "access/role.h"

namespace llm::mcp {

// For tests: somebody with these permissions, on models that fit one of the patterns, if there are any.
inline access::Principal somebody(std::string id, access::PermissionSet permissions,
                                  std::vector<std::string> models = {}) {
  auto identity = std::make_shared<access::Identity>();
  identity->id = id;
  identity->project = std::make_shared<const access::Project>();
  identity->rules = std::make_shared<const std::vector<access::Rule>>(1, access::Rule{permissions, std::move(models)});
  return {.id = std::move(id), .identity = std::move(identity)};
}

// For tests: who has the built-in role of that name; nothing at all if there is none.
inline access::Principal with_role(std::string_view role, std::string id = "key:test") {
  access::Principal principal = somebody(std::move(id), {});
  auto identity = std::make_shared<access::Identity>(*principal.identity);
  for (const auto& one : access::built_in_roles()) {
    if (one.name == role) identity->rules = one.rules;
  }
  principal.identity = std::move(identity);
  return principal;
}

}  // namespace llm::mcp
