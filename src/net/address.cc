#include "net/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "async/event.h"
#include "base/strings.h"
#include "net/http_policy.h"
#include "net/port_holder.h"
#include "net/tls_client.h"

namespace llm::net {
namespace {

using boost::asio::ip::tcp;
using Resolver = boost::asio::ip::basic_resolver<tcp, Executor>;

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "a Unix socket needs a path without NUL bytes");
  }
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the socket path {} has {} bytes; the system allows {}. Choose a shorter runtime directory "
                            "(XDG_RUNTIME_DIR)",
                            path, path.size(), sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// Only a refused connection proves that nobody listens; a full backlog (EAGAIN) or a lack of permission does not.
bool unix_socket_is_stale(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool stale = result != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return stale;
}

// Ends a connect when its deadline passes or its caller gives up.
class ConnectGuard {
 public:
  ConnectGuard(Loop& loop, std::chrono::milliseconds timeout, const CancelToken& cancel, std::function<void()> stop)
      : deadline_([this, stop] {
          timed_out_ = true;
          stop();
        }),
        registration_(cancel.on_cancel(stop)) {
    loop.wheel().arm(deadline_, timeout);
  }
  bool timed_out() const { return timed_out_; }

 private:
  bool timed_out_ = false;
  Deadline deadline_;
  CancelRegistration registration_;
};

// Looks a name up on Asio's resolver thread. A look-up in progress cannot be stopped (getaddrinfo), so whoever gives up
// leaves it behind with this state, which it shares.
struct Resolution : std::enable_shared_from_this<Resolution> {
  explicit Resolution(Loop& loop) : resolver(loop.executor()), arrived(loop.executor()) {}

  void start(const std::string& host, std::uint16_t port) {
    boost::system::error_code not_an_address;
    const auto address = boost::asio::ip::make_address(host, not_an_address);
    if (!not_an_address) {
      addresses.emplace_back(address, port);
      done = true;
      return;
    }
    resolver.async_resolve(host, std::to_string(port),
                           [self = shared_from_this()](const boost::system::error_code& why, const auto& entries) {
                             self->error = why;
                             for (const auto& entry : entries) self->addresses.push_back(entry.endpoint());
                             if (!why && self->addresses.empty()) self->error = boost::asio::error::host_not_found;
                             self->done = true;
                             self->arrived.notify();
                           });
  }

  Resolver resolver;
  Event arrived;
  bool done = false;
  boost::system::error_code error;
  std::vector<tcp::endpoint> addresses;
};

Task<boost::system::error_code> connect_unix(Socket& socket, const std::string& path) {
  const auto result = co_await socket.async_connect(boost::asio::local::stream_protocol::endpoint(path), use_tuple);
  boost::system::error_code error = std::get<0>(result);
  // A listener with a full backlog refuses with EAGAIN, which Asio takes for a connect in progress and then for
  // success.
  if (!error) (void)socket.remote_endpoint(error);
  if (error == boost::asio::error::not_connected) error = boost::asio::error::try_again;
  co_return error;
}

bool visible_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

Error connect_error(const Endpoint& endpoint, bool timed_out, const CancelToken& cancel, const std::string& why) {
  if (cancel.cancelled()) return {ErrorCode::kCancelled, "cancelled while connecting", {}, {}, 0};
  if (timed_out) return {ErrorCode::kUnavailable, "connecting to " + endpoint.text() + " took too long", {}, {}, 0};
  return {ErrorCode::kUnavailable, fmt::format("cannot connect to {}: {}", endpoint.text(), why), {}, {}, 0};
}

}  // namespace

std::string Endpoint::authority() const {
  if (!unix_path.empty()) return "localhost";
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? 443 : 80) ? name : name + ":" + std::to_string(port);
}

std::string Endpoint::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  return (tls ? "https://" : "http://") + authority() + base_path;
}

Result<Endpoint> parse_endpoint(std::string_view url) {
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}; expected http://host[:port][/path], https://… or unix:/path/to.sock", why));
  };
  Endpoint endpoint;
  if (url.starts_with("unix:")) {
    endpoint.unix_path = url.substr(5);
    if (const auto colon = endpoint.unix_path.find(":/"); colon != std::string::npos) {
      endpoint.base_path = endpoint.unix_path.substr(colon + 1);
      endpoint.unix_path.resize(colon);
    }
    if (!endpoint.unix_path.starts_with('/')) return wrong("a Unix socket needs an absolute path");
    if (endpoint.unix_path.find('\0') != std::string::npos) return wrong("NUL byte in the socket's path");
    if (!visible_ascii(endpoint.base_path)) return wrong("space, control or non-ASCII byte in the base path");
    while (endpoint.base_path.ends_with('/')) endpoint.base_path.pop_back();
    if (endpoint.base_path.find_first_of("?#") != std::string::npos) {
      return wrong("a base URL has no query and no fragment");
    }
    return endpoint;
  }
  if (iequals(url.substr(0, 8), "https://")) {
    endpoint.tls = true;
    url.remove_prefix(8);
  } else if (iequals(url.substr(0, 7), "http://")) {
    url.remove_prefix(7);
  } else {
    return wrong("not a URL this program can reach");
  }
  if (!visible_ascii(url)) return wrong("space, control or non-ASCII byte in the URL");
  const auto slash = url.find('/');
  std::string_view authority = url.substr(0, slash);
  if (slash != std::string_view::npos) endpoint.base_path = url.substr(slash);
  while (endpoint.base_path.ends_with('/')) endpoint.base_path.pop_back();
  if (endpoint.base_path.find_first_of("?#") != std::string::npos ||
      authority.find_first_of("?#") != std::string_view::npos) {
    return wrong("a base URL has no query and no fragment");
  }
  if (authority.find('@') != std::string_view::npos) return wrong("credentials do not belong in a URL");
  endpoint.port = endpoint.tls ? 443 : 80;
  std::string_view port;
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return wrong("unclosed '[' in the address");
    endpoint.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    if (!port.empty() && !port.starts_with(':')) return wrong("malformed port");
  } else {
    const auto colon = authority.find(':');
    endpoint.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon);
  }
  if (!port.empty()) {
    const auto number = parse_number<std::uint16_t>(port.substr(1));
    if (!number || *number == 0) return wrong("the port is not a number from 1 to 65535");
    endpoint.port = *number;
  }
  if (endpoint.host.empty()) return wrong("the URL names no host");
  if (!valid_host(authority)) return wrong("malformed host name");
  return endpoint;
}

Task<Result<std::unique_ptr<Transport>>> connect(Loop& loop, Endpoint endpoint, std::chrono::milliseconds timeout,
                                                 CancelToken cancel, std::shared_ptr<TlsTrust> trust) {
  if (cancel.cancelled()) co_return fail(connect_error(endpoint, false, cancel, {}));
  Socket socket(loop.executor());
  const auto resolution = std::make_shared<Resolution>(loop);
  ConnectGuard guard(loop, timeout, cancel, [&] {
    boost::system::error_code ignored;
    resolution->arrived.notify();
    socket.close(ignored);
  });
  boost::system::error_code error;
  if (!endpoint.unix_path.empty()) {
    auto checked = unix_address(endpoint.unix_path);
    if (!checked) co_return fail(checked.error());
    error = co_await connect_unix(socket, endpoint.unix_path);
  } else {
    resolution->start(endpoint.host, endpoint.port);
    while (!resolution->done && !cancel.cancelled() && !guard.timed_out()) co_await resolution->arrived.wait();
    error = resolution->error;
    for (const auto& address : resolution->addresses) {
      if (cancel.cancelled() || guard.timed_out()) break;
      boost::system::error_code ignored;
      socket.close(ignored);
      const auto result = co_await socket.async_connect(address, use_tuple);
      error = std::get<0>(result);
      if (!error) break;
    }
  }
  if (cancel.cancelled() || guard.timed_out() || error) {
    co_return fail(connect_error(endpoint, guard.timed_out(), cancel, error.message()));
  }
  if (!endpoint.tls) co_return make_plain_transport(std::move(socket));
  if (!trust) trust = load_tls_trust();
  co_return co_await make_tls_client(loop, std::move(socket), endpoint.host, timeout, cancel, std::move(trust));
}

Result<int> listen_tcp(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("cannot listen on host \"{}\": {}", host, gai_strerror(code)),
                "/server/host");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(errno_error(errno, "socket"));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 1024) == 0) return fd;
  const int code = errno;
  ::close(fd);
  if (code == EADDRINUSE) {
    return fail(ErrorCode::kConflict,
                fmt::format("port {} on {} is in use{}. Choose another with --port (0 takes any free one)", port, host,
                            port_holder(port)),
                "/server/port");
  }
  return fail(errno_error(code, fmt::format("cannot listen on {}:{}", host, port)));
}

Result<int> listen_unix(const std::string& path) {
  const auto address = unix_address(path);
  if (!address) return fail(address.error());
  struct stat info{};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return fail(ErrorCode::kConflict, path + " exists and is not a socket; remove it or choose another path");
    }
    if (!unix_socket_is_stale(*address)) {
      return fail(ErrorCode::kConflict,
                  "another process already listens on " + path + "; stop it first, or choose another path");
    }
    unlink(path.c_str());
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(errno_error(errno, "socket"));
  // fchmod before bind sets the mode the file is created with on Linux, so no other user ever has a window.
  fchmod(fd, 0600);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 || chmod(path.c_str(), 0600) != 0 ||
      listen(fd, 1024) != 0) {
    const int code = errno;
    ::close(fd);
    return fail(errno_error(code, "cannot listen on " + path));
  }
  return fd;
}

std::uint16_t local_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

bool is_loopback(std::string_view host) {
  if (iequals(host, "localhost") || host == "::1" || host == "[::1]") return true;
  in_addr v4{};
  in6_addr v6{};
  const std::string text(host);
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return inet_pton(AF_INET, text.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

}  // namespace llm::net
