#include "cli/serve_command.h"

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

#include "access/bind_policy.h"
#include "async/watch.h"
#include "cli/access_wiring.h"
#include "cli/commands/exit_status.h"
#include "cli/installation.h"
#include "cli/wiring.h"
#include "net/address.h"

namespace llm::cli {
namespace {

using Signals = boost::asio::basic_signal_set<Executor>;

// Where the gateway listens, and the files that tell others. Removed at the end.
class Presence {
 public:
  explicit Presence(const Installation& installation) : installation_(installation) {}
  ~Presence() {
    std::error_code ignored;
    for (const auto& path : {installation_.pid_file, installation_.state_file}) {
      if (written_) std::filesystem::remove(path, ignored);
    }
    if (!socket_.empty()) std::filesystem::remove(socket_, ignored);
  }

  Result<void> listen(Gateway& gateway, const ServerSettings& settings, TcpListen tcp,
                      std::shared_ptr<net::TlsServer> tls, observe::Log& log) {
    socket_path_ = settings.unix_socket.empty() ? installation_.socket : std::filesystem::path(settings.unix_socket);
    auto local = net::listen_unix(socket_path_.string());
    if (!local) return fail(local.error());
    socket_ = socket_path_;
    gateway.accept_on(*local);
    if (tcp == TcpListen::kOff) return {};
    auto fd = net::listen_tcp(settings.host, settings.port);
    if (!fd) {
      if (tcp == TcpListen::kRequired) return fail(fd.error());
      log.warn("no TCP address, the Unix socket alone is served", {{"error", fd.error().message}});
      return {};
    }
    port_ = net::local_port(*fd);
    const bool encrypted = tls != nullptr;
    gateway.accept_on(*fd, std::move(tls));
    const bool v6 = settings.host.find(':') != std::string::npos;
    url_ =
        fmt::format("{}://{}:{}", encrypted ? "https" : "http", v6 ? "[" + settings.host + "]" : settings.host, port_);
    return {};
  }

  // After the sockets answer: whoever reads the files can connect.
  Result<void> announce() {
    const json::object state{{"pid", getpid()},
                             {"port", port_},
                             {"url", url_},
                             {"unix_socket", socket_path_.string()},
                             {"version", kProductVersion}};
    written_ = true;
    for (const auto& [path, text] : {std::pair(installation_.pid_file, fmt::format("{}\n", getpid())),
                                     std::pair(installation_.state_file, json::write(state) + "\n")}) {
      const auto temporary = path.string() + ".new";
      std::ofstream out(temporary, std::ios::trunc);
      out << text;
      out.close();
      if (!out) return fail(ErrorCode::kIo, "cannot write " + temporary);
      std::filesystem::rename(temporary, path);
    }
    return {};
  }

  void print_banner(const std::string& model) const {
    const std::string base = url_.empty() ? "http://localhost" : url_;
    const std::string unix_flag = url_.empty() ? fmt::format("--unix-socket {} ", socket_path_.string()) : "";
    fmt::print(stderr, "llm-mcp {} is ready\n", kProductVersion);
    if (!url_.empty()) {
      fmt::print(stderr, "  REST           {}/api/v1   (GET {}/ lists all routes)\n", url_, url_);
      fmt::print(stderr, "  OpenAI API     {}/v1\n", url_);
      fmt::print(stderr, "  WebSocket      ws{}/api/v1/ws\n", url_.substr(4));  // "http" and "https" lose four letters
      fmt::print(stderr, "  metrics        {}/metrics\n", url_);
    }
    fmt::print(stderr, "  Unix socket    {}\n", socket_path_.string());
    if (!url_.empty()) fmt::print(stderr, "  MCP (HTTP)     {}/mcp\n", url_);
    fmt::print(stderr, "  MCP (stdio)    {{\"command\": \"{}\", \"args\": [\"stdio\"]}}\n", program_path().string());
    fmt::print(stderr,
               "Try:\n  curl -s {}{}/api/v1/generate -H 'content-type: application/json' -d "
               "'{{\"model\":\"{}\",\"prompt\":\"The "
               "capital of France is\",\"max_tokens\":20,\"temperature\":0}}'\n",
               unix_flag, base, model);
    std::fflush(stderr);
  }

  const std::string& url() const { return url_; }
  std::uint16_t port() const { return port_; }

 private:
  const Installation& installation_;
  std::filesystem::path socket_path_;
  std::filesystem::path socket_;  // ours to remove
  std::uint16_t port_ = 0;
  std::string url_;
  bool written_ = false;
};

// Ends when a signal comes, or when the gateway was idle for `idle_exit`.
Task<std::string> wait_for_end(Gateway& gateway, Signals& signals, json::Duration idle_exit) {
  CancelSource signalled;
  std::string reason = "idle";
  bool running = true;
  signals.async_wait([&](const boost::system::error_code& error, int number) {
    if (!running) return;
    if (!error) reason = number == SIGINT ? "SIGINT" : "SIGTERM";
    signalled.cancel();
  });
  Watch<int> never;
  if (idle_exit.never()) {
    co_await never.changed(1, signalled.token(), std::nullopt);
    running = false;
    co_return reason;
  }
  const auto step = std::chrono::milliseconds(std::clamp<std::int64_t>(idle_exit.ms / 10, 10, 1000));
  auto busy_until = std::chrono::steady_clock::now();
  while (!signalled.cancelled()) {
    co_await never.changed(1, signalled.token(), step);
    const auto now = std::chrono::steady_clock::now();
    if (!gateway.idle()) busy_until = now;
    if (now - busy_until > std::chrono::milliseconds(idle_exit.ms)) break;
  }
  running = false;
  co_return reason;
}

// Certificates are replaced while we run; whoever renews them need not tell us.
Task<void> watch_certificate(Gateway& gateway, std::shared_ptr<net::TlsServer> tls, CancelToken stop,
                             observe::Log& log) {
  constexpr std::chrono::milliseconds kBetweenLooks{1000};
  Watch<int> never;
  while (!stop.cancelled()) {
    co_await never.changed(1, stop, kBetweenLooks);
    if (stop.cancelled()) break;
    const auto changed = co_await gateway.backend().files.run([tls] { return tls->reload_if_changed(); });
    if (!changed) {
      log.error("the TLS files have changed and cannot be used; what was in use stays",
                {{"problem", to_string(changed.error())}});
    } else if (*changed) {
      log.info("the TLS certificate was read again", {});
    }
  }
}

Task<void> run_gateway(Gateway& gateway, const Settings& settings, std::shared_ptr<net::TlsServer> tls,
                       observe::Log& log) {
  // Never destroyed: that would give the signals their default back, and one that comes between here and the end of the
  // process would make a clean stop look like a death by signal.
  static Signals& signals = *new Signals(gateway.control().executor(), SIGINT, SIGTERM);
  CancelSource ending;
  TaskGroup watching(gateway.control().executor());
  if (tls) watching.spawn(watch_certificate(gateway, tls, ending.token(), log));
  const std::string reason = co_await wait_for_end(gateway, signals, settings.server.idle_exit);
  ending.cancel();
  co_await watching.join();
  log.info("stopping", {{"reason", reason}, {"drain_ms", settings.server.drain_timeout.ms}});
  signals.cancel();
  const auto hurry = std::make_shared<CancelSource>();
  signals.async_wait([hurry](const boost::system::error_code& error, int) {
    if (!error) hurry->cancel();  // the second Ctrl-C
  });
  co_await gateway.stop(std::chrono::milliseconds(settings.server.drain_timeout.ms), hurry->token());
  signals.cancel();
}

// Null: the configuration wants no TLS.
Result<std::shared_ptr<net::TlsServer>> load_tls(const TlsSettings& settings, observe::Log& log) {
  if (settings.certificate.empty()) return std::shared_ptr<net::TlsServer>();
  auto tls = net::TlsServer::load({.certificate_file = settings.certificate,
                                   .key_file = settings.key,
                                   .key_password = settings.key_password,
                                   .client_ca_file = settings.client_ca,
                                   .client_certificate = settings.client_certificate,
                                   .minimum_version = settings.minimum_version});
  if (!tls) return fail(std::move(tls.error()));
  for (const auto& warning : (*tls)->info().warnings) log.warn(warning);
  return tls;
}

int report(const Error& error) {
  fmt::print(stderr, "llm-mcp: {}\n", to_string(error));
  return exit_status(error.code);
}

}  // namespace

int run_serve_command(const ServeOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  auto config = load_config(options.sources);
  if (!config) {
    report(config.error());
    return kExitUsage;  // whatever its kind, as in every other command
  }
  const Settings& settings = config->settings;
  auto installation = find_installation(settings, process_environment(), getuid());
  if (!installation) return report(installation.error());
  auto log = observe::Log::open(
      {.level = settings.observe.log_level, .format = settings.observe.log_format, .file = settings.observe.log_file});
  if (!log) return report(log.error());
  for (const auto& warning : config->warnings) (*log)->warn(warning);
  const EnvLookup env = process_environment();
  auto access = open_gateway_access(settings, *installation, env, **log);
  if (!access) return report(access.error());
  if (options.tcp != TcpListen::kOff) {
    const bool protected_by_key = (*access)->directory().has_admin_key() || !settings.access.issuers.empty();
    auto allowed = access::check_bind_address(settings.server.host, protected_by_key);
    if (!allowed) return report(allowed.error());
  }
  auto tls = load_tls(settings.server.tls, **log);
  if (!tls) return report(tls.error());
  auto gateway = Gateway::build(settings, *installation, access->get(), **log, env);
  if (!gateway) return report(gateway.error());
  Presence presence(*installation);
  if (auto listening = presence.listen(**gateway, settings.server, options.tcp, *tls, **log); !listening) {
    return report(listening.error());
  }
  (*access)->start();
  (*gateway)->start();
  if (auto announced = presence.announce(); !announced) return report(announced.error());
  (*log)->info("gateway started", {{"version", kProductVersion}, {"url", presence.url()}, {"pid", getpid()}});
  if (options.print_banner) {
    presence.print_banner(settings.models.default_model.empty() ? "smollm2" : settings.models.default_model);
  }
  TaskGroup tasks((*gateway)->control().executor());
  tasks.spawn(run_gateway(**gateway, settings, *tls, **log));
  (*gateway)->control().run();
  (*access)->stop();
  (*log)->info("gateway stopped");
  return kExitSuccess;
}

}  // namespace llm::cli
