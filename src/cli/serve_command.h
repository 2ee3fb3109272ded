#pragma once

#include "cli/config.h"

namespace llm::cli {

// What `serve` does about its TCP address. The Unix socket is always there.
enum class TcpListen {
  kRequired,  // an address that cannot be had is a start-up error
  kOptional,  // goes on without it and says so in the log (a gateway that was started in the background)
  kOff,       // listens on the Unix socket only
};

struct ServeOptions {
  Sources sources;  // of the configuration, flags included; still to be loaded
  TcpListen tcp = TcpListen::kRequired;
  bool print_banner = true;  // "ready on http://..." for people on standard error, beside the log
};

// Builds the gateway and runs it until it is told to end. Returns the process's exit status (commands/exit_status.h);
// has reported its errors on standard error.
int run_serve_command(const ServeOptions& options);

}  // namespace llm::cli
