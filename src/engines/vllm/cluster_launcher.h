#pragma once

#include <functional>
#include <memory>

#include "engines/vllm/launcher.h"

namespace llm::engines {

// Runs a plan and its workers (LaunchPlan::workers), each with a launcher of its own from `make`: together they are one
// engine.
//   - Workers first: the head waits for them, and they for the head.
//   - All of them are adopted, or none: a worker does not find its way back to a head that lost it. What ran is then
//     ended and everything started anew.
//   - Where one ends by itself the engine has ended: on_exit is called once, and stop() ends the others.
//   - The log is that of all machines; `memory_bytes` is of the head, whose machine is this one.
std::unique_ptr<Launcher> make_cluster_launcher(std::function<std::unique_ptr<Launcher>()> make);

}  // namespace llm::engines
