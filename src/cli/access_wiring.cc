#include "cli/access_wiring.h"

#include "net/address.h"

namespace llm::cli {

access::AccessPaths access_paths(const Installation& installation) {
  return {.data_dir = installation.data_dir / "access"};
}

Result<std::unique_ptr<access::AccessSystem>> open_gateway_access(const Settings& settings,
                                                                  const Installation& installation,
                                                                  const EnvLookup& env, observe::Log& log) {
  return access::AccessSystem::open(settings.access, access_paths(installation),
                                    !net::is_loopback(settings.server.host), env, log);
}

Result<std::unique_ptr<access::AccessSystem>> open_access(const Settings& settings, const Installation& installation,
                                                          const EnvLookup& env, observe::Log& log) {
  return access::AccessSystem::open_for_admin(settings.access, access_paths(installation), env, log);
}

}  // namespace llm::cli
