// CPU time of one call over HTTP, and what idle listening streams cost in memory. The client is a bare socket in the
// same thread: its system calls are counted, nothing else of it is.
#include <array>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <malloc.h>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "mcp/example_tools.h"
#include "mcp/http/endpoint.h"

namespace {

using namespace llm;
using namespace llm::mcp;

std::string request(std::string_view method, std::string_view name, std::string_view params) {
  const std::string body = fmt::format(
      R"({{"jsonrpc":"2.0","id":12345,"method":"{}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}},{}}}}})",
      method, params);
  return fmt::format(
      "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, "
      "text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {}\r\n{}Content-Length: {}\r\n\r\n{}",
      method, name.empty() ? "" : fmt::format("Mcp-Name: {}\r\n", name), body.size(), body);
}

struct Setup {
  Setup() {
    example::add_tools(server.tools());
    example::add_all(server);
  }
  ~Setup() { loop.stop(); }

  int connect() {
    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) std::abort();
    net::Socket socket(loop.executor(), boost::asio::generic::stream_protocol(AF_UNIX, 0), pair[0]);
    http.serve(net::make_plain_transport(std::move(socket)), {true, "unix"});
    return pair[1];
  }
  // Sends, and lets the server work until bytes come back.
  void ask(int fd, std::string_view bytes) {
    if (write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
    while (recv(fd, answer.data(), answer.size(), 0) <= 0) loop.context().poll();
  }

  Loop loop{"bench"};
  Server server{example::server_info()};
  HttpEndpoint endpoint{server, {.keep_alive = std::chrono::milliseconds(100)}, {&loop}};
  net::HttpServer http{
      {&loop}, {.max_connections = 20'000}, [this](net::Exchange& exchange) { return endpoint.handle(exchange, {}); }};
  std::array<char, 65536> answer{};
};

void BM_ModernCall(benchmark::State& state) {
  Setup setup;
  const std::string bytes = request("tools/call", "echo", R"("name":"echo","arguments":{"message":"hello"})");
  const int fd = setup.connect();
  for (auto _ : state) setup.ask(fd, bytes);
  close(fd);
}
BENCHMARK(BM_ModernCall);

std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t pages = 0;
  file >> all >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void BM_IdleListens(benchmark::State& state) {
  rlimit files{};  // both ends of each connection are ours
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const std::string bytes =
      request("subscriptions/listen", "", R"("notifications":{"toolsListChanged":true,"resourcesListChanged":true})");
  for (auto _ : state) {
    Setup setup;
    std::vector<int> clients;
    const std::size_t before = resident();
    for (int i = 0; i < state.range(0); ++i) {
      clients.push_back(setup.connect());
      setup.ask(clients.back(), bytes);
    }
    for (const int fd : clients) {  // silent for a while
      while (recv(fd, setup.answer.data(), setup.answer.size(), 0) <= 0) setup.loop.context().poll();
    }
    malloc_trim(0);
    state.counters["bytes_per_stream"] = static_cast<double>(resident() - before) / static_cast<double>(state.range(0));
    for (const int fd : clients) close(fd);
  }
}
BENCHMARK(BM_IdleListens)->Arg(9'000)->Iterations(1);

}  // namespace
