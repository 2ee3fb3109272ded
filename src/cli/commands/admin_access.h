#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "access/access_system.h"
#include "cli/commands/session.h"

namespace llm::cli {

// Managing keys, projects, users and roles, as their owner: by way of the gateway that runs (its Unix socket is the
// local user's), or on the database when there is none. The same JSON either way.
class AdminAccess {
 public:
  // Errors: those of the database.
  static Result<std::unique_ptr<AdminAccess>> open(CommandContext& context, const Setup& setup);

  using Local = std::function<Result<json::object>(access::AccessAdmin& admin, const access::Principal& actor)>;
  // A request to the gateway, or `local`, which means the same. The body of a GET is its query; other requests without
  // members have no body.
  Result<json::object> call(std::string_view method, const std::string& path, const json::object& body,
                            const Local& local);

 private:
  std::unique_ptr<GatewaySession> gateway_;  // one of the two
  std::unique_ptr<observe::Log> log_;
  std::unique_ptr<access::AccessSystem> local_;
};

// "/api/v1/keys/abc", with what needs it percent-encoded.
std::string resource_path(std::string_view kind, std::string_view id = {}, std::string_view action = {});

}  // namespace llm::cli
