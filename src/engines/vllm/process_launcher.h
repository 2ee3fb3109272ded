#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/loop.h"
#include "base/paths.h"
#include "engines/vllm/launcher.h"

namespace llm::engines {

// The environment of a vLLM process: a few names of ours that any program needs, then `own`, which wins. No keys and no
// settings of ours are among them.
std::vector<std::pair<std::string, std::string>> process_environment_for(const EnvLookup& gateway,
                                                                         const std::map<std::string, std::string>& own);

// Runs a plan's argv as a child of this process, in a process group of its own, on a free port of loopback where the
// plan has none. vLLM's own children do not notice that their parent is killed and would keep the GPU's memory; a
// watching shell in the group ends them all when this process is gone, however it went. Hence nothing is ever adopted,
// and stop(keep) stops. `environment`: of the gateway.
std::unique_ptr<Launcher> make_process_launcher(Loop& control, EnvLookup environment);

// The version of the vLLM whose `vllm` is `program` (a path, or a name in PATH): from its installation's metadata, else
// by asking the program itself. Empty: not found out within `patience`.
Task<std::string> installed_vllm_version(Loop& control, std::string program,
                                         std::vector<std::pair<std::string, std::string>> environment,
                                         std::chrono::milliseconds patience, CancelToken cancel);

}  // namespace llm::engines
