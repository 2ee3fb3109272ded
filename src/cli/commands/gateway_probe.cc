#include "cli/commands/gateway_probe.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace llm::cli {

GatewayProbe probe_gateway(const std::filesystem::path& socket) {
  GatewayProbe probe;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.native().size() >= sizeof address.sun_path) return probe;
  std::memcpy(address.sun_path, socket.c_str(), socket.native().size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return probe;
  probe.answers = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;  // NOLINT
#ifdef SO_PEERCRED
  ucred peer{};
  socklen_t size = sizeof peer;
  // Of a connected client this is the process that called listen() (unix(7)); 0 in another PID namespace.
  if (probe.answers && ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0) {
    probe.pid = peer.pid;
  }
#endif
  ::close(fd);
  return probe;
}

}  // namespace llm::cli
