#pragma once

#include <memory>

#include "access/access_system.h"
#include "base/paths.h"
#include "cli/installation.h"
#include "cli/settings.h"
#include "observe/log.h"

namespace llm::cli {

// Where access control keeps its files: the folder `access` (0700) of the data directory.
access::AccessPaths access_paths(const Installation& installation);

// For the gateway: everything, with what the settings say. Blocks.
Result<std::unique_ptr<access::AccessSystem>> open_gateway_access(const Settings& settings,
                                                                  const Installation& installation,
                                                                  const EnvLookup& env, observe::Log& log);
// For a command that manages keys while no gateway runs: `->admin()`. Blocks.
Result<std::unique_ptr<access::AccessSystem>> open_access(const Settings& settings, const Installation& installation,
                                                          const EnvLookup& env, observe::Log& log);

}  // namespace llm::cli
