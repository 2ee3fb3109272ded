#include "containers/docker_errors.h"

#include <cerrno>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/strings.h"
#include "json/json.h"

namespace llm::containers {
namespace {

constexpr std::string_view kPullRefused = "could not pull the image: ";
constexpr std::size_t kMostWords = 600;  // bytes of the container engine's own message that are repeated

// The name of the group that owns a file, or its number.
std::string group_of(const std::string& path) {
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) return "docker";
  std::vector<char> buffer(16 * 1024);
  group entry{};
  group* result = nullptr;
  if (getgrgid_r(found.st_gid, &entry, buffer.data(), buffer.size(), &result) == 0 && result) return entry.gr_name;
  return std::to_string(found.st_gid);
}

Error unreachable_socket(const std::string& path, const Error& seen) {
  Error error{ErrorCode::kUnavailable, {}, {}, {}, 0};
  if (access(path.c_str(), R_OK | W_OK) == 0) {
    error.message = fmt::format(
        "the container engine at unix:{} does not answer ({}); is it running? (systemctl status docker, or podman)",
        path, seen.message);
    return error;
  }
  if (errno == EACCES || errno == EPERM) {
    error.message = fmt::format(
        "this user may not use the container engine at unix:{}: it is for root and the group {}. Add the user to that "
        "group, which amounts to root's rights, or name the socket of a rootless Podman or Docker in "
        "container.docker_host",
        path, group_of(path));
    return error;
  }
  error.message = fmt::format(
      "there is no container engine at unix:{}: install and start Docker (docker.io, systemctl start docker) or Podman "
      "(systemctl --user start podman.socket), or name its socket in container.docker_host",
      path);
  return error;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string message_of(std::string_view body) {
  const auto document = json::parse(body);
  std::string_view message = trim(body);
  std::string own;
  if (document && document->is_object()) {
    own = json::string_or(document->get_object(), "message", json::string_or(document->get_object(), "cause"));
    message = own;
  }
  message = message.substr(0, kMostWords);
  std::string out(message.substr(0, utf8_complete_prefix(message)));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out;
}

ErrorCode code_of(int status) {
  switch (status) {
    case 400:
      return ErrorCode::kInvalidArgument;
    case 401:
    case 403:
      return ErrorCode::kPermissionDenied;
    case 404:
      return ErrorCode::kNotFound;
    case 409:
      return ErrorCode::kConflict;
    case 503:
      return ErrorCode::kUnavailable;
    default:
      return ErrorCode::kEngineFailed;
  }
}

// What to do about a message that is known; empty for another.
std::string_view way_out(std::string_view said) {
  if (contains(said, "could not select device driver") || contains(said, "nvidia-container-cli") ||
      contains(said, "unresolvable CDI devices")) {
    return "The machine lacks the NVIDIA driver or the container engine its runtime: install nvidia-container-toolkit, "
           "run nvidia-ctk runtime configure and restart the container engine; container.gpus: false asks for none";
  }
  if (contains(said, "unknown or invalid runtime name") || contains(said, "Unknown runtime specified") ||
      contains(said, "default OCI runtime")) {
    return "The container engine does not know the runtime that container.gpu_runtime names";
  }
  if (contains(said, "port is already allocated") || contains(said, "address already in use")) {
    return "Something else uses the port; choose another or leave it out";
  }
  if (contains(said, "no space left on device")) return "The disk of the container engine's images is full";
  if (contains(said, "bind source path does not exist")) return "A folder of container.mounts is not there";
  if (contains(said, "executable file not found")) return "The image has no such entry point; is it a vLLM image?";
  return {};
}

}  // namespace

Error unreachable(const net::Endpoint& endpoint, const Error& seen) {
  if (seen.code == ErrorCode::kCancelled) return seen;
  if (seen.code == ErrorCode::kEngineTimeout) {
    return {ErrorCode::kEngineTimeout,
            fmt::format("the container engine at {} did not answer in time", endpoint.text()),
            {},
            {},
            0};
  }
  const bool connected = seen.code != ErrorCode::kUnavailable;
  if (!connected && !endpoint.unix_path.empty()) return unreachable_socket(endpoint.unix_path, seen);
  if (!connected) {
    return {ErrorCode::kUnavailable,
            fmt::format("no container engine answers at {} ({}); start it, or name its socket in container.docker_host",
                        endpoint.text(), seen.message),
            {},
            {},
            0};
  }
  if (seen.code == ErrorCode::kEngineFailed) {
    return {ErrorCode::kUnavailable,
            fmt::format("the container engine at {} broke the connection off; was it stopped?", endpoint.text()),
            {},
            {},
            0};
  }
  return seen;
}

Error refused(const net::Endpoint& endpoint, int status, std::string_view what, std::string_view said) {
  const std::string message = message_of(said);
  Error error{code_of(status), {}, {}, {}, 0};
  if (contains(message, "no space left on device")) error.code = ErrorCode::kDiskFull;
  error.message = fmt::format("the container engine at {} could not {}: {}", endpoint.text(), what,
                              message.empty() ? fmt::format("status {}", status) : message);
  if (const auto hint = way_out(message); !hint.empty()) error.message.append(". ").append(hint);
  return error;
}

Error pull_failed(std::string_view image, std::string_view said, bool had_auth) {
  // What refused() put before it says nothing about the image.
  if (const auto at = said.find(kPullRefused); at != std::string_view::npos)
    said.remove_prefix(at + kPullRefused.size());
  const std::string message = message_of(said);
  const std::string lower = to_lower(message);
  Error error{ErrorCode::kEngineFailed, {}, {}, {}, 0};
  std::string_view hint = "Check the registry and the network, or load the image by hand and set container.pull: false";
  // Registries answer for a private image as for one that does not exist.
  if (contains(lower, "unauthorized") || contains(lower, "denied") || contains(lower, "authentication required") ||
      contains(lower, "no basic auth")) {
    error.code = ErrorCode::kPermissionDenied;
    hint = had_auth ? "The registry does not accept container.registry_auth, or this account may not read the image"
                    : "The image is private or does not exist; give the account in container.registry_auth "
                      "(user:password, best as a reference to a secret)";
  } else if (contains(lower, "not found") || contains(lower, "manifest unknown") || contains(lower, "no such image")) {
    error.code = ErrorCode::kNotFound;
    hint = "Check container.image: the registry has no such name or tag";
  } else if (contains(lower, "no space left")) {
    error.code = ErrorCode::kDiskFull;
    hint = "The disk of the container engine's images is full";
  } else if (contains(lower, "toomanyrequests")) {
    hint = "The registry limits how much may be pulled without an account; give one in container.registry_auth";
  }
  error.message = fmt::format("the image \"{}\" could not be pulled: {}. {}", image, message, hint);
  return error;
}

}  // namespace llm::containers
