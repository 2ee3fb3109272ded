#include "cli/fake_gateway.h"

#include <fmt/format.h>
#include <string_view>
#include <unistd.h>

#include "async/loop.h"
#include "json/json.h"
#include "net/http_server.h"

namespace llm::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Task<void> answer(net::Exchange& exchange) {
  const auto target = exchange.target();
  if (auto read = co_await exchange.read_body(); !read) co_return;
  if (target == "/api/v1/generate" && exchange.body().contains("crash")) {
    co_await exchange.begin_stream(200, "text/event-stream");
    co_await exchange.write("data: {\"text\":\"a\",\"tokens\":1}\n\n");
    ::_exit(3);
  }
  const std::string body = target == "/api/v1/generate" ? R"({"model":"fake","text":"Hello","finish_reason":"stop"})"
                                                        : fmt::format(R"({{"status":"ok","version":"{}"}})", getpid());
  co_await exchange.respond(200, "application/json", body);
}

// Not a test: see fake_gateway.h.
TEST(FakeGateway, DISABLED_Serves) {
  const std::string socket = variable(kFakeSocket);
  if (socket.empty()) GTEST_SKIP() << "serves other tests";
  ::alarm(60);  // should a test die without cleaning up
  std::ofstream(variable(kFakeStarts), std::ios::app) << getpid() << std::endl;
  if (variable(kFakeMode) == "hang") ::pause();
  if (variable(kFakeMode) == "die") {
    fmt::print(stderr, "reading the configuration\nport 99999 is no port\n");
    ::_exit(2);
  }
  auto fd = net::listen_unix(socket);
  ASSERT_TRUE(fd) << fd.error().message;
  Loop loop("fake");
  net::HttpServer server({&loop}, {}, answer);
  server.accept_on(*fd);
  loop.run();
}

}  // namespace
}  // namespace llm::cli
