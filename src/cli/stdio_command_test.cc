#include "cli/stdio_command.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

#include "cli/fake_gateway.h"
#include "json/json.h"

namespace llm::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

// An MCP client at the other ends of two pipes, on a thread of its own, while the command runs on the test's.
class Stdio : public testing::Test {
 protected:
  Stdio() {
    EXPECT_EQ(::pipe2(to_server_.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(from_server_.data(), O_CLOEXEC), 0);
    options_.attach = gateways_.settings();
    options_.in = to_server_[0];
    options_.out = from_server_[1];
  }
  ~Stdio() override {
    hang_up();
    for (const int fd : {to_server_[0], from_server_[0], from_server_[1]}) ::close(fd);
  }

  int run(std::function<void()> client) {
    std::thread thread([this, client = std::move(client)] {
      client();
      if (hangs_up_) hang_up();
    });
    observe::Log log;
    const int status = run_stdio_command(options_, standalone_, log);
    thread.join();
    return status;
  }

  // Sends a request and waits for its answer.
  json::object ask(std::string_view method, std::string_view params = "{}") {
    const std::string line = R"({"jsonrpc":"2.0","id":)" + std::to_string(++id_) + R"(,"method":")" +
                             std::string(method) + R"(","params":)" + std::string(params) + "}\n";
    EXPECT_EQ(::write(to_server_[1], line.data(), line.size()), static_cast<ssize_t>(line.size()));
    std::string answer;
    for (char c = 0; ::read(from_server_[0], &c, 1) == 1 && c != '\n';) answer.push_back(c);
    auto document = json::parse(answer);
    EXPECT_TRUE(document && document->is_object()) << answer;
    return document && document->is_object() ? document->as_object() : json::object{};
  }
  std::string initialize() {
    const auto answer = ask("initialize", R"({"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{}})");
    return json::write(answer);
  }
  // The text of a tool's result, or "error: …".
  std::string call(std::string_view tool, std::string_view arguments = "{}") {
    const auto answer =
        ask("tools/call", R"({"name":")" + std::string(tool) + R"(","arguments":)" + std::string(arguments) + "}");
    const auto& result = answer.at("result").as_object();
    const std::string text(result.at("content").at(0).at("text").as_string());
    return json::bool_or(result, "isError") ? "error: " + text : text;
  }
  void hang_up() {
    if (to_server_[1] >= 0) ::close(std::exchange(to_server_[1], -1));
  }

  FakeGateways gateways_;
  StdioOptions options_;
  BackendFactory standalone_;
  std::array<int, 2> to_server_{};
  std::array<int, 2> from_server_{};
  bool hangs_up_ = true;  // the client, when it is done
  int id_ = 0;
};

TEST_F(Stdio, WorksThroughTheGatewayThatItStarts) {
  const int status = run([this] {
    EXPECT_THAT(initialize(), AllOf(HasSubstr(R"("name":"llm-mcp")"), HasSubstr("Local LLM MCP")));
    EXPECT_EQ(call("llm_generate", R"({"prompt":"Hi"})"), "Hello");
    EXPECT_EQ(call("llm_chat", R"({"messages":[{"role":"user","content":"Hi"}]})"), "Hello");
  });
  EXPECT_EQ(status, 0);
  EXPECT_THAT(gateways_.starts(), SizeIs(1));
}

TEST_F(Stdio, AnswersWithoutAGatewayAndSaysWhyThereIsNone) {
  options_.attach.program = "/nowhere/llm-mcp";
  run([this] {
    EXPECT_THAT(initialize(), HasSubstr("llm-mcp"));
    EXPECT_TRUE(ask("ping").contains("result"));
    EXPECT_EQ(ask("tools/list").at("result").at("tools").as_array().size(), 12U);
    EXPECT_THAT(call("llm_status"), AllOf(HasSubstr("error: "), HasSubstr("/nowhere/llm-mcp")));
  });
}

TEST_F(Stdio, StartsTheGatewayAgainAfterACrash) {
  run([this] {
    initialize();
    EXPECT_EQ(call("llm_generate", R"({"prompt":"Hi"})"), "Hello");
    const std::string lost = call("llm_generate", R"({"prompt":"crash"})");
    EXPECT_THAT(lost, AllOf(HasSubstr("error: "), HasSubstr("broke before the call was done"), HasSubstr("Call again"),
                            HasSubstr("gateway.log")));
    EXPECT_EQ(call("llm_generate", R"({"prompt":"Hi"})"), "Hello");
  });
  EXPECT_THAT(gateways_.starts(), SizeIs(2));
}

TEST_F(Stdio, EndsOnASignal) {
  hangs_up_ = false;
  options_.attach.program = "/nowhere/llm-mcp";
  const int status = run([this] {
    initialize();
    ::kill(::getpid(), SIGTERM);
  });
  EXPECT_EQ(status, 0);
}

class NoBackend final : public ModelBackend, public inference::ModelApi {
 public:
  using Answer = Task<Result<json::object>>;
  explicit NoBackend(bool& stopped) : stopped_(stopped) {}
  inference::ModelApi& models() override { return *this; }
  Task<void> stop() override {
    stopped_ = true;
    co_return;
  }
  Answer generate(json::object, inference::EventSink, CancelToken) override { return nothing(); }
  Answer embed(json::object, inference::EventSink, CancelToken) override { return nothing(); }
  Answer rerank(json::object, inference::EventSink, CancelToken) override { return nothing(); }
  Answer tokenize(json::object, inference::EventSink, CancelToken) override { return nothing(); }
  Answer list_models() override { return nothing(); }
  Answer model_info(std::string) override { return nothing(); }
  Answer load_model(json::object, inference::EventSink, CancelToken) override { return nothing(); }
  Answer unload_model(json::object) override { return nothing(); }
  Answer pull_model(json::object, inference::EventSink, CancelToken) override { return nothing(); }
  Answer remove_model(std::string) override { return nothing(); }
  Answer engines() override { return nothing(); }
  Answer engine_logs(std::string) override { return nothing(); }
  Answer status() override { return nothing(); }
  Answer operate(std::string, json::object, inference::EventSink, CancelToken) override { return nothing(); }

 private:
  static Answer nothing() { co_return fail(ErrorCode::kUnsupported, "standing alone"); }
  bool& stopped_;
};

TEST_F(Stdio, StandaloneTakesItsOwnBackend) {
  bool stopped = false;
  options_.standalone = true;
  standalone_ = [&stopped](Loop&) { return std::make_unique<NoBackend>(stopped); };
  EXPECT_EQ(run([this] { EXPECT_EQ(call("llm_status"), "error: standing alone"); }), 0);
  EXPECT_TRUE(stopped);
  EXPECT_THAT(gateways_.starts(), SizeIs(0));
  standalone_ = [](Loop&) { return fail(ErrorCode::kNotFound, "no engine"); };
  EXPECT_EQ(run([] {}), 1);
}

}  // namespace
}  // namespace llm::cli
