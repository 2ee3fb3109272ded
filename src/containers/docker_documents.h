#pragma once

#include "containers/docker_client.h"

// The container engine's JSON as our own types. What is missing or of another type stays at its default: Podman leaves
// out much, and versions differ. Only for the files of this layer.
namespace llm::containers {

DaemonVersion read_version(const json::value& document);
DaemonInfo read_info(const json::value& document);
ContainerDetails read_details(const json::value& document);
std::vector<ContainerSummary> read_list(const json::value& document);
std::uint64_t read_memory(const json::value& document);

}  // namespace llm::containers
