#pragma once

#include <string>
#include <string_view>

#include "engines/vllm/container_launcher.h"
#include "engines/vllm/launcher.h"

namespace llm::engines {

// The body of POST /containers/create: the plan's, with what the launcher answers for. Labels and environment come in,
// every published port goes to 127.0.0.1, the container engine neither restarts nor removes the container, and its log
// is bounded where the plan does not say.
json::object container_body(const LaunchPlan& plan, const ContainerLauncherSettings& settings);

// The port inside that the plan publishes first, as "8000/tcp"; empty: none, it shares the host's network.
std::string published_port(const LaunchPlan& plan);

// "llm-mcp-big-1-0a1b2c3d": the engine and the gateway, in the letters that names of containers have.
std::string launched_name(std::string_view engine, std::string_view gateway);

}  // namespace llm::engines
