// LocalModelApi::pull_model against a file server of the test's own.
#include <gmock/gmock.h>

#include "inference/service_under_test.h"
#include "models/test_support.h"

namespace llm::inference {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class PullModelTest : public ::testing::Test {
 protected:
  PullModelTest() : server_({&t.loop}, {}, [this](net::Exchange& exchange) { return handle(exchange); }) {
    const int fd = net::listen_tcp("127.0.0.1", 0).value();
    url_ = "http://127.0.0.1:" + std::to_string(net::local_port(fd));
    server_.accept_on(fd);
  }
  void run(Task<void> task) { t.run(run_and_stop(std::move(task))); }
  json::object request(const std::string& file) { return {{"source", url_ + file}, {"name", "pulled"}}; }

  ServiceUnderTest t;
  LocalModelApi api_{t.backend, t.loop, {}, {}};
  int gone_ = 0;  // clients that left in the middle

 private:
  Task<void> run_and_stop(Task<void> task) {
    co_await std::move(task);
    server_.stop_accepting();
    server_.cancel();
    co_await server_.drained();
  }
  Task<void> handle(net::Exchange& exchange) {
    if (exchange.target() == "/model.gguf") {
      co_await exchange.respond(200, "application/octet-stream", models::testing::small_model('a', 4096));
      co_return;
    }
    if (exchange.target() != "/slow.gguf") {
      co_await exchange.respond(404, "text/plain", "no");
      co_return;
    }
    Event woken(t.loop.executor());
    const auto registration = exchange.cancelled().on_cancel([&] { woken.notify(); });
    exchange.response_headers().set("X-Slow", "1");
    co_await exchange.begin_stream(200, "application/octet-stream");
    co_await exchange.write(models::testing::small_model('a', 1024 * 1024));
    while (!exchange.cancelled().cancelled()) co_await woken.wait();
    ++gone_;
  }

  net::HttpServer server_;
  std::string url_;
};

TEST_F(PullModelTest, DownloadsTellsAndLists) {
  auto body = [&]() -> Task<void> {
    std::vector<std::string> events;
    auto sink = [&](json::object event) -> Task<Result<void>> {
      events.emplace_back(json::string_or(event, "status"));
      co_return Result<void>();
    };
    const auto pulled = co_await api_.pull_model(request("/model.gguf"), sink, {});
    EXPECT_TRUE(pulled) << pulled.error().message;
    if (!pulled) co_return;
    EXPECT_EQ(pulled->at("name"), "pulled");
    EXPECT_EQ(pulled->at("state"), "stopped");
    EXPECT_FALSE(events.empty());
    const auto listed = co_await api_.list_models();
    EXPECT_THAT(json::write(*listed), HasSubstr(R"("name":"pulled")"));
    const auto removed = co_await api_.remove_model("pulled");
    EXPECT_TRUE(removed);
    EXPECT_FALSE(co_await api_.model_info("pulled"));
  };
  run(body());
}

TEST_F(PullModelTest, ACancelEndsTheDownload) {
  auto body = [&]() -> Task<void> {
    CancelSource cancel;
    auto sink = [&](json::object event) -> Task<Result<void>> {
      if (json::int_or(event, "bytes_done") > 0) cancel.cancel();
      co_return Result<void>();
    };
    const auto pulled = co_await api_.pull_model(request("/slow.gguf"), sink, cancel.token());
    EXPECT_EQ(pulled.error().code, ErrorCode::kCancelled);
    while (gone_ == 0) co_await sleep_for(std::chrono::milliseconds(1));
  };
  run(body());
}

TEST_F(PullModelTest, ACancelledCallerNeedsNoSink) {
  auto body = [&]() -> Task<void> {
    CancelSource cancel;
    cancel.cancel();
    const auto pulled = co_await api_.pull_model(request("/slow.gguf"), {}, cancel.token());
    EXPECT_EQ(pulled.error().code, ErrorCode::kCancelled);
  };
  run(body());
}

TEST_F(PullModelTest, AFailingSinkEndsItAndIsNotAskedAgain) {
  auto body = [&]() -> Task<void> {
    int calls = 0;
    auto sink = [&](json::object) -> Task<Result<void>> {
      ++calls;
      co_return fail(ErrorCode::kUnavailable, "the reader left");
    };
    const auto pulled = co_await api_.pull_model(request("/slow.gguf"), sink, {});
    EXPECT_EQ(pulled.error().message, "the reader left");
    EXPECT_EQ(calls, 1);
  };
  run(body());
}

TEST_F(PullModelTest, WrongRequestsNameThePlace) {
  auto body = [&]() -> Task<void> {
    for (const auto& [text, pointer] :
         std::vector<std::pair<std::string, std::string>>{{"{}", "/source"},
                                                          {R"({"source":""})", "/source"},
                                                          {R"({"source":"hf:a/b","name":"../x"})", "/name"},
                                                          {R"({"source":"hf:a/b","sha256":"12"})", "/sha256"},
                                                          {R"({"source":"hf:a/b","force":true})", "/force"}}) {
      const auto pulled = co_await api_.pull_model(t.object(text), {}, {});
      EXPECT_EQ(pulled.error().pointer, pointer) << text;
    }
    EXPECT_FALSE(co_await api_.pull_model(request("/nothing.gguf"), {}, {}));
  };
  run(body());
}

}  // namespace
}  // namespace llm::inference
