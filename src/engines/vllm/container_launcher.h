#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "base/random.h"
#include "engines/vllm/launcher.h"
#include "net/http_client.h"

namespace llm::engines {

// Which gateway a container belongs to: the id of the gateway's data, so that two gateways of one machine leave each
// other's containers alone.
constexpr std::string_view kGatewayLabel = "llm-mcp.gateway";
// Which of its lives started the container: what this one has just created is no orphan of an earlier one.
constexpr std::string_view kRunLabel = "llm-mcp.run";

struct ContainerLauncherSettings {
  std::string gateway;              // value of kGatewayLabel; not empty, no secret
  std::filesystem::path state_dir;  // private (0700, made if it is not there): the keys of running containers, 0600
  std::string run = random_id();    // value of kRunLabel; the same in all copies that one gateway process uses
};

// Runs a plan's container through the API of Docker or Podman on this machine. What launch() does beside the contract
// in launcher.h:
//   - A container of this engine and gateway that runs with the plan's hash is adopted, if the file with its API key is
//     still there; any other container of this engine and gateway is stopped and removed first.
//   - An image that is not here is pulled (phase "pulling image").
//   - Ports are published on 127.0.0.1 alone, whatever the plan says. A plan without a published port shares the host's
//     network and listens on plan.port.
//   - The container engine never restarts the container. When it ends by itself it is removed, after its last line.
// Errors: kUnavailable (no container engine answers), kDiskFull, kCancelled, kEngineFailed for all else, each with what
// to do. Secrets are sent in the body of the create call and appear nowhere else.
// Destroy it after stop() returned or launch() failed, or when the loop no longer runs.
std::unique_ptr<Launcher> make_container_launcher(Loop& control, net::HttpClient& client,
                                                  ContainerLauncherSettings settings);

// At start-up, for each container engine that the configuration names: stops and removes this gateway's containers
// whose hash is not among `wanted_hashes`, and those that do not run; what runs and is wanted stays for launch() to
// adopt. Returns the engines ("big#1") whose containers were removed. Errors: as launch().
Task<Result<std::vector<std::string>>> remove_orphan_containers(Loop& control, net::HttpClient& client,
                                                                ContainerLauncherSettings settings,
                                                                std::string docker_host,
                                                                std::vector<std::string> wanted_hashes,
                                                                CancelToken cancel);

}  // namespace llm::engines
