// mcp_fixture stdio                serves MCP on its standard input and output
// mcp_fixture http [--port PORT]   serves MCP over HTTP on 127.0.0.1 (port 0: any free one) and prints the URL
//
// The same server behind both: see fixture.h. Ends with its input, or at SIGTERM.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <span>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "async/loop.h"
#include "async/watch.h"
#include "fixture.h"
#include "mcp/http/endpoint.h"
#include "mcp/stdio_transport.h"
#include "mcp/tasks/tasks.h"
#include "net/address.h"
#include "net/http_server.h"

namespace llm::fixture {
namespace {

mcp::ServerInfo server_info() {
  return {.name = "mcp_fixture",
          .version = "1.0.0",
          .title = "Conformance fixture",
          .description = "What the MCP conformance suite asks for",
          .instructions = "For tests only."};
}

void fill(mcp::Server& server) {
  add_plain_tools(server);
  add_asking_tools(server);
  add_input_tools(server);
  add_task_tools(server);
  add_resources(server);
  add_prompts(server);
  server.announce_changes(true, true, false);
}

void must_not_throw(std::exception_ptr error) {
  if (error) std::terminate();  // an exception that leaves a Task is a bug
}

Task<void> serve_stdio(const mcp::Server& server, mcp::Tasks& tasks, CancelToken stop, Loop& loop, int& status) {
  const auto served = co_await mcp::run_stdio(server, loop, STDIN_FILENO, STDOUT_FILENO, {}, std::move(stop));
  if (!served) std::fprintf(stderr, "mcp_fixture: %s\n", to_string(served.error()).c_str());
  status = served ? EXIT_SUCCESS : EXIT_FAILURE;
  co_await tasks.stop();
  loop.stop();
}

// One path, /mcp.
Task<void> answer(mcp::HttpEndpoint& endpoint, net::Exchange& exchange) {
  if (exchange.target() == "/mcp") co_return co_await endpoint.handle(exchange, {});
  co_await exchange.respond(404, "text/plain", "There is only /mcp.\n");
}

Task<void> serve_http(const mcp::Server& server, mcp::Tasks& tasks, std::uint16_t port, CancelToken stop, Loop& loop,
                      int& status) {
  // Streams begin early and ask for a quick return, so that the suite sees them.
  mcp::HttpEndpoint endpoint(
      server, {.keep_alive = std::chrono::milliseconds(200), .retry = std::chrono::milliseconds(100)}, {&loop});
  net::HttpServer http({&loop}, {}, [&endpoint](net::Exchange& exchange) { return answer(endpoint, exchange); });
  if (auto listening = net::listen_tcp("127.0.0.1", port)) {
    std::printf("http://127.0.0.1:%d/mcp\n", net::local_port(*listening));
    std::fflush(stdout);
    http.accept_on(*listening);
    Watch<int> nothing;  // that never happens
    co_await nothing.changed(nothing.get().version, std::move(stop), std::nullopt);
    status = EXIT_SUCCESS;
  } else {
    std::fprintf(stderr, "mcp_fixture: %s\n", to_string(listening.error()).c_str());
  }
  endpoint.stop();
  http.stop_accepting();
  co_await endpoint.drained();
  http.cancel();
  co_await http.drained();
  co_await tasks.stop();
  loop.stop();
}

struct Options {
  bool stdio = false;
  std::uint16_t port = 0;
};

int run(const Options& options) {
  Loop loop("fixture");
  mcp::Server server(server_info());
  mcp::Tasks tasks(server, {.poll_interval = std::chrono::milliseconds(100)});
  server.set_tasks(&tasks);
  fill(server);

  CancelSource stop;
  boost::asio::basic_signal_set<Executor> signals(loop.executor(), SIGINT, SIGTERM);
  signals.async_wait([stop](const boost::system::error_code& error, int) {
    if (!error) stop.cancel();
  });
  int status = EXIT_FAILURE;
  boost::asio::co_spawn(loop.executor(),
                        options.stdio ? serve_stdio(server, tasks, stop.token(), loop, status)
                                      : serve_http(server, tasks, options.port, stop.token(), loop, status),
                        must_not_throw);
  loop.run();
  return status;
}

std::optional<Options> parse_arguments(std::span<char*> arguments) {
  const auto is = [&](std::size_t at, std::string_view word) { return arguments[at] == word; };
  if (arguments.size() == 1 && is(0, "stdio")) return Options{.stdio = true};
  if (arguments.size() == 1 && is(0, "http")) return Options{};
  if (arguments.size() != 3 || !is(0, "http") || !is(1, "--port")) return std::nullopt;
  Options options;
  const std::string_view port = arguments[2];
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  return options;
}

}  // namespace
}  // namespace llm::fixture

int main(int count, char** arguments) {
  const auto options = llm::fixture::parse_arguments({arguments + 1, static_cast<std::size_t>(count - 1)});
  if (options) return llm::fixture::run(*options);
  std::fputs("usage: mcp_fixture stdio | http [--port PORT]\n", stderr);
  return 2;
}
