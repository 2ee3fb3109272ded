#pragma once

#include <sys/types.h>

#include "base/paths.h"
#include "cli/arguments.h"
#include "cli/attach.h"
#include "cli/config.h"
#include "cli/installation.h"
#include "cli/terminal.h"

namespace llm::cli {

// What every command gets. Commands return the exit status, or an Error that the program reports and maps to one.
struct CommandContext {
  Terminal& terminal;
  const GlobalArguments& global;
  EnvLookup env;
  uid_t uid;
};

// Where the configuration of this invocation comes from; nothing is read yet.
Sources sources_of(const CommandContext& context);

struct Setup {
  LoadedConfig config;
  Installation installation;
};

// Reads the configuration. Every error is kInvalidArgument: a wrong configuration is a usage error.
Result<Setup> load_setup(const CommandContext& context);

// How to reach the gateway, and how to start one that reads the same configuration as this invocation.
AttachSettings attach_settings(const CommandContext& context, const Installation& installation);

}  // namespace llm::cli
