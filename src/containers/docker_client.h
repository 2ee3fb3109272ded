#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"
#include "containers/log_lines.h"
#include "json/json.h"
#include "net/http_client.h"

namespace llm::containers {

// "unix:/var/run/docker.sock", "unix:///run/podman/podman.sock", "tcp://127.0.0.1:2375", "http://[::1]:2375". An
// address of another machine is kInvalidArgument: what a container publishes on loopback would be out of our reach.
Result<net::Endpoint> parse_docker_host(std::string_view text);

// Value of the X-Registry-Auth header for "user:password". Secret like its input. kInvalidArgument without a colon.
Result<std::string> registry_auth(std::string_view user_and_password);

// An image's name cut for POST /images/create, which pulls every tag of a name without one.
struct ImageName {
  std::string repository;  // "localhost:5000/vllm/vllm-openai"
  std::string tag;         // "latest", or a digest
  friend bool operator==(const ImageName&, const ImageName&) = default;
};
ImageName split_image(std::string_view image);

struct DaemonVersion {
  std::string version;  // "20.10.24", the container engine's own
  std::string api;      // that is spoken with it, such as "1.41"
  bool podman = false;
};

struct DaemonInfo {
  std::vector<std::string> runtimes;  // "runc", "nvidia"
  std::string operating_system;
  std::uint64_t memory = 0;  // bytes; 0 unknown
};

struct ContainerSummary {
  std::string id;
  std::string name;   // without the slash
  std::string state;  // "created", "running", "paused", "restarting", "removing", "exited", "dead"
  std::map<std::string, std::string> labels;
};

struct ContainerDetails {
  std::string id;
  std::string name;
  std::string image;  // as it was asked for
  bool running = false;
  bool out_of_memory = false;
  int exit_code = 0;
  int pid = 0;  // on this machine; 0: none, or not this machine's
  bool terminal = false;
  std::string failure;  // why it could not be started; empty: it could
  std::map<std::string, std::string> labels;
  std::map<std::string, std::uint16_t> ports;  // "8000/tcp" -> port on the host
};

// Client of the Docker Engine API (version 1.41; Podman's compatible socket too). Every call has a deadline but those
// that wait for the container: wait() and follow_logs(), which end with it or with the token. Lives on the loop of its
// HttpClient and is destroyed before that.
//
// Errors, all with words that say what to do: kUnavailable (nobody answers at the socket, or it may not be used),
// kNotFound, kConflict, kInvalidArgument (it refuses the request), kDiskFull, kPermissionDenied (a registry refuses),
// kEngineTimeout, kCancelled, kEngineFailed for all else. None holds what the request said.
class DockerClient {
 public:
  DockerClient(net::HttpClient& client, net::Endpoint endpoint);

  // Asks for the version once and settles the API version; all other calls do it by themselves.
  Task<Result<DaemonVersion>> version(CancelToken cancel);
  Task<Result<void>> ping(CancelToken cancel);
  Task<Result<DaemonInfo>> info(CancelToken cancel);

  Task<Result<bool>> has_image(std::string image, CancelToken cancel);
  // `auth`: registry_auth(), or empty. `on_progress` gets 0..1, each time it has grown. The image is there when this
  // returns without an error.
  Task<Result<void>> pull_image(std::string image, std::string auth, std::function<void(double)> on_progress,
                                CancelToken cancel);

  // Returns the container's id. kConflict: another container has that name.
  Task<Result<std::string>> create(std::string name, json::object body, CancelToken cancel);
  Task<Result<void>> start(std::string id, CancelToken cancel);  // one that runs: no error
  Task<Result<ContainerDetails>> inspect(std::string id, CancelToken cancel);
  // All containers, running or not, that have these labels; an empty value asks for the label alone.
  Task<Result<std::vector<ContainerSummary>>> list(std::map<std::string, std::string> labels, CancelToken cancel);
  // SIGTERM, then SIGKILL after `patience` (whole seconds, rounded up). No error if it does not run.
  Task<Result<void>> stop(std::string id, std::chrono::milliseconds patience, CancelToken cancel);
  Task<Result<void>> kill(std::string id, CancelToken cancel);  // no error if it does not run
  Task<Result<void>> remove(std::string id,
                            CancelToken cancel);               // by force, with its unnamed volumes; no error if gone
  Task<Result<int>> wait(std::string id, CancelToken cancel);  // until it has ended; its exit code
  // Bytes of host memory in use, without file pages that can go at any time; 0 if the container engine does not say.
  Task<Result<std::uint64_t>> memory_bytes(std::string id, CancelToken cancel);
  // Feeds `lines` from lines.resume_since() on until the container ends or the token fires.
  Task<Result<void>> follow_logs(std::string id, LogLines& lines, LogLines::OnLine on_line, CancelToken cancel);

  const net::Endpoint& endpoint() const { return endpoint_; }

 private:
  struct Call;
  Task<Result<net::ClientResponse>> open(Call call, CancelToken cancel);
  Task<Result<json::value>> ask(Call call, CancelToken cancel);  // reads the whole answer; null for an empty one
  Task<Result<void>> negotiate(CancelToken cancel);

  net::HttpClient& client_;
  net::Endpoint endpoint_;
  std::optional<DaemonVersion> version_;
};

}  // namespace llm::containers
