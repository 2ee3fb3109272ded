// CPU time of one request through a connection, without a transport.
#include <benchmark/benchmark.h>
#include <boost/asio/post.hpp>
#include <string>
#include <string_view>

#include "mcp/connection.h"
#include "mcp/example_tools.h"
#include "mcp/jsonrpc.h"

namespace {

using namespace llm::mcp;

constexpr std::string_view kPing = R"({"jsonrpc":"2.0","id":12345,"method":"ping"})";
constexpr std::string_view kCall =
    R"({"jsonrpc":"2.0","id":12345,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}})";
constexpr std::string_view kModernCall =
    R"({"jsonrpc":"2.0","id":12345,"method":"tools/call","params":{"_meta":{)"
    R"("io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
    R"("io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},)"
    R"("io.modelcontextprotocol/clientCapabilities":{}},"name":"echo","arguments":{"message":"hello"}}})";
constexpr std::string_view kList = R"({"jsonrpc":"2.0","id":12345,"method":"tools/list"})";

class Counter final : public Outbox {
 public:
  void send(std::string_view message, const Label&) override {
    bytes += message.size();
    ++messages;
  }
  std::size_t bytes = 0;
  std::size_t messages = 0;
};

// Runs inside the loop, as the transport does.
void through_connection(benchmark::State& state, std::string_view line) {
  Server server(example::server_info());
  example::add_tools(server.tools());
  llm::Loop loop("bench");
  auto& context = loop.context();
  Counter outbox;
  Connection connection(server, loop, outbox);
  boost::asio::post(context, [&] {
    for (auto _ : state) {
      connection.on_line(line);
      context.poll();
    }
    loop.stop();
  });
  loop.run();
  if (outbox.messages != static_cast<std::size_t>(state.iterations())) state.SkipWithError("answers are missing");
  state.SetItemsProcessed(static_cast<std::int64_t>(outbox.messages));
}

void decode(benchmark::State& state, std::string_view line) {
  for (auto _ : state) benchmark::DoNotOptimize(decode_line(line));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * line.size()));
}

BENCHMARK_CAPTURE(decode, ping, kPing);
BENCHMARK_CAPTURE(decode, call, kCall);
BENCHMARK_CAPTURE(decode, modern_call, kModernCall);
BENCHMARK_CAPTURE(through_connection, ping, kPing);
BENCHMARK_CAPTURE(through_connection, list, kList);
BENCHMARK_CAPTURE(through_connection, call, kCall);
BENCHMARK_CAPTURE(through_connection, modern_call, kModernCall);

}  // namespace
