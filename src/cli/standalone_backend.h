#pragma once

#include "cli/config.h"
#include "cli/installation.h"
#include "cli/stdio_command.h"

namespace llm::cli {

// What `stdio --standalone` runs on: the gateway's objects without its listeners, engines included. The references must
// outlive what the factory makes.
BackendFactory standalone_backend(const Settings& settings, const Installation& installation, observe::Log& log);

}  // namespace llm::cli
