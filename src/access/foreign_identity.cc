#include "access/foreign_identity.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "access/pattern.h"

namespace llm::access {
namespace {

Result<std::shared_ptr<const Project>> usable_project(const Directory& directory, const std::string& id) {
  auto project = directory.project(id);
  if (project && !project->disabled) return project;
  return fail(ErrorCode::kPermissionDenied,
              "the project that these credentials belong to does not exist or is disabled");
}

std::unexpected<Error> no_role() {
  return fail(ErrorCode::kPermissionDenied, "no role of these credentials exists here");
}

// What any of the roles may ask for in one request. Roles without caps of their own have the default's. That nothing
// may leave the machine is no amount: one role that says so binds.
void widen(Caps& caps, const Caps& other) {
  const auto larger = [](auto& one, auto another) { one = one == 0 || another == 0 ? 0 : std::max(one, another); };
  larger(caps.max_choices, other.max_choices);
  larger(caps.max_best_of, other.max_best_of);
  larger(caps.max_prompts, other.max_prompts);
  larger(caps.max_stops, other.max_stops);
  larger(caps.max_logprobs, other.max_logprobs);
  larger(caps.max_tokens, other.max_tokens);
  larger(caps.max_messages, other.max_messages);
  larger(caps.max_images, other.max_images);
  larger(caps.max_tools, other.max_tools);
  larger(caps.max_schema_depth, other.max_schema_depth);
  larger(caps.max_schema_bytes.bytes, other.max_schema_bytes.bytes);
  caps.local_only = caps.local_only || other.local_only;
}

struct RoleSum {
  std::shared_ptr<const std::vector<Rule>> rules;
  std::shared_ptr<const Caps> caps;
  bool local_only = false;
};

RoleSum sum_of(const std::vector<std::shared_ptr<const Role>>& roles) {
  if (roles.size() == 1) return {roles.front()->rules, roles.front()->caps};
  std::vector<Rule> rules;
  std::optional<Caps> caps;
  bool default_caps = false;
  for (const auto& role : roles) {
    rules.insert(rules.end(), role->rules->begin(), role->rules->end());
    if (!role->caps) {
      default_caps = true;
    } else if (caps) {
      widen(*caps, *role->caps);
    } else {
      caps = *role->caps;
    }
  }
  RoleSum sum;
  sum.rules = std::make_shared<const std::vector<Rule>>(std::move(rules));
  sum.local_only = caps && caps->local_only;
  if (caps && !default_caps) sum.caps = std::make_shared<const Caps>(*caps);
  return sum;
}

}  // namespace

std::shared_ptr<const Identity> narrowed_identity(const Identity& key, const VerifiedToken& token) {
  Identity identity = key;
  identity.kind = Identity::Kind::kToken;
  identity.scopes = key.scopes & token.scopes;
  identity.token = std::make_shared<const VerifiedToken>(token);
  return std::make_shared<const Identity>(std::move(identity));
}

Result<std::shared_ptr<const Identity>> foreign_identity(const Directory& directory, const VerifiedToken& token) {
  auto project = usable_project(directory, token.project);
  if (!project) return fail(std::move(project.error()));
  std::vector<std::shared_ptr<const Role>> roles;
  for (const std::string& name : token.roles) {
    if (auto role = directory.role(name)) roles.push_back(std::move(role));
  }
  if (roles.empty()) return no_role();
  RoleSum sum = sum_of(roles);
  Identity identity;
  identity.kind = Identity::Kind::kToken;
  identity.id = fmt::format("token:{}:{}", token.issuer, token.subject);
  identity.name = token.name.empty() ? token.subject : token.name;
  identity.role = fmt::format("{}", fmt::join(token.roles, ","));
  identity.project = std::move(*project);
  identity.rules = std::move(sum.rules);
  identity.caps = std::move(sum.caps);
  identity.local_only = sum.local_only;
  identity.scopes = token.scopes;
  identity.token = std::make_shared<const VerifiedToken>(token);
  return std::make_shared<const Identity>(std::move(identity));
}

std::optional<std::string_view> certificate_name(const CertificateMapping& mapping, const Credentials& credentials) {
  const auto fits = [&](std::string_view name) { return !name.empty() && pattern_matches(mapping.match, name); };
  if (fits(credentials.certificate_subject)) return credentials.certificate_subject;
  const auto found = std::ranges::find_if(credentials.certificate_names, fits);
  if (found == credentials.certificate_names.end()) return std::nullopt;
  return *found;
}

Result<std::shared_ptr<const Identity>> certificate_identity(const Directory& directory,
                                                             const CertificateMapping& mapping, std::string_view name) {
  auto project = usable_project(directory, mapping.project);
  if (!project) return fail(std::move(project.error()));
  const auto role = directory.role(mapping.role);
  if (!role) return no_role();
  Identity identity;
  identity.kind = Identity::Kind::kCertificate;
  identity.id = fmt::format("cert:{}", name);
  identity.name = name;
  identity.role = mapping.role;
  identity.project = std::move(*project);
  identity.rules = role->rules;
  identity.caps = role->caps;
  return std::make_shared<const Identity>(std::move(identity));
}

}  // namespace llm::access
