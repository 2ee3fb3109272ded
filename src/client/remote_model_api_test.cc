#include "client/remote_model_api.h"

#include <boost/asio/co_spawn.hpp>
#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/event.h"
#include "async/loop.h"
#include "net/http_server.h"

namespace llm::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Seen {
  std::string method;
  std::string target;
  std::string authorization;
  std::string body;
};

// A gateway that answers as the test says, on a Unix socket, and a client of it, all on one loop that the test runs.
class RemoteModel : public testing::Test {
 protected:
  using Script = std::function<Task<void>(net::Exchange&)>;

  RemoteModel() {
    std::string name = testing::TempDir() + "/llm-client-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    endpoint_.unix_path = directory_ + "/gateway.sock";
    auto fd = net::listen_unix(endpoint_.unix_path);
    EXPECT_TRUE(fd) << fd.error().message;
    server_.accept_on(*fd);
  }
  ~RemoteModel() override { std::filesystem::remove_all(directory_); }

  // Answers every request with this.
  void answer(int status, std::string type, std::string body) {
    script_ = [=](net::Exchange& exchange) { return respond(exchange, status, type, body); };
  }
  void answer_events(std::string body) { answer(200, "text/event-stream", std::move(body)); }

  static Task<void> respond(net::Exchange& exchange, int status, std::string type, std::string body) {
    co_await exchange.respond(status, type, body);
  }
  static Task<void> handle(RemoteModel* self, net::Exchange& exchange) {
    auto read = co_await exchange.read_body();
    EXPECT_TRUE(read);
    self->seen_.push_back({std::string(exchange.method()), std::string(exchange.target()),
                           std::string(exchange.headers().get("Authorization").value_or("")), exchange.body()});
    co_await self->script_(exchange);
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    boost::asio::co_spawn(loop_.context(), finish(this, std::move(task), &result), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    loop_.context().restart();
    loop_.run();
    return std::move(*result);
  }
  template <class T>
  static Task<void> finish(RemoteModel* self, Task<T> task, std::optional<T>* result) {
    result->emplace(co_await std::move(task));
    self->loop_.stop();
  }

  inference::EventSink sink() {
    return [this](json::object event) {
      events_.push_back(json::write(event));
      return heard(sink_result_);
    };
  }
  static Task<Result<void>> heard(Result<void> result) { co_return result; }

  Loop loop_{"test"};
  std::string directory_;
  net::Endpoint endpoint_;
  Script script_;
  std::vector<Seen> seen_;
  std::vector<std::string> events_;
  Result<void> sink_result_;
  net::HttpServer server_{{&loop_}, {}, [this](net::Exchange& exchange) { return handle(this, exchange); }};
  net::HttpClient http_{loop_, {}};
};

TEST_F(RemoteModel, StreamsAGenerationAndPutsItsTextTogether) {
  answer_events(
      "data: {\"status\":\"loading\",\"model\":\"m\",\"phase\":\"loading weights\",\"progress\":0.5}\n\n"
      ": ping\n\n"
      "data: {\"text\":\"Hel\",\"tokens\":1}\n\ndata: {\"text\":\"lo\",\"tokens\":2}\n\n"
      "data: {\"done\":true,\"id\":\"g1\",\"model\":\"m\",\"finish_reason\":\"stop\"}\n\ndata: [DONE]\n\n");
  RemoteModelApi api(http_, endpoint_, "secret");
  const auto result = run(api.generate({{"prompt", "Hi"}}, sink(), {}));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(json::write(*result), R"({"id":"g1","model":"m","finish_reason":"stop","text":"Hello"})");
  EXPECT_EQ(events_.size(), 3U);
  EXPECT_EQ(events_[1], R"({"text":"Hel","tokens":1})");
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_EQ(seen_[0].method, "POST");
  EXPECT_EQ(seen_[0].target, "/api/v1/generate");
  EXPECT_EQ(seen_[0].authorization, "Bearer secret");
  EXPECT_EQ(seen_[0].body, R"({"prompt":"Hi","stream":true})");
}

TEST_F(RemoteModel, AsksForNoStreamWithoutASink) {
  answer(200, "application/json", R"({"text":"whole"})");
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.generate({{"prompt", "Hi"}, {"stream", true}}, {}, {}));
  ASSERT_TRUE(result);
  EXPECT_EQ(json::write(*result), R"({"text":"whole"})");
  EXPECT_EQ(seen_[0].body, R"({"prompt":"Hi","stream":false})");
  EXPECT_EQ(seen_[0].authorization, "");
}

TEST_F(RemoteModel, GivesAnEmptyTextWhereNothingWasGenerated) {
  answer_events("data: {\"done\":true,\"model\":\"m\"}\n\n");
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.generate({{"prompt", "Hi"}}, sink(), {}));
  ASSERT_TRUE(result);
  EXPECT_EQ(json::write(*result), R"({"model":"m","text":""})");
}

TEST_F(RemoteModel, MakesErrorsOfErrorBodies) {
  answer(400, "application/json",
         R"({"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded",)"
         R"("param":"prompt","pointer":"/prompt","n_ctx":8192,"hint":"shorten","retry_after":3}})");
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.generate({}, sink(), {}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), (Error{ErrorCode::kContextLengthExceeded,
                                   "too long",
                                   "/prompt",
                                   {{"n_ctx", std::int64_t{8192}}, {"hint", std::string("shorten")}},
                                   3}));
}

TEST_F(RemoteModel, KnowsTheCodesOfOtherApis) {
  EXPECT_EQ(read_error_body({{"error", json::object{{"code", "too_many_tokens"}}}}, 429).code, ErrorCode::kRateLimited);
  answer(404, "application/json",
         R"({"error":{"message":"no such model","code":"model_not_found","param":"model","pointer":"/model"}})");
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.model_info("x"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(result.error().pointer, "/model");
}

TEST_F(RemoteModel, AsksWhoAnswersWithoutAnExplanation) {
  answer(401, "text/html", "<h1>Login</h1>");
  RemoteModelApi api(http_, endpoint_);
  const auto refused = run(api.status());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(refused.error().message, HasSubstr("is it an llm-mcp gateway?"));
  answer(200, "text/html", "<h1>Welcome</h1>");
  const auto odd = run(api.status());
  ASSERT_FALSE(odd);
  EXPECT_THAT(odd.error().message, HasSubstr("is it an llm-mcp gateway?"));
}

TEST_F(RemoteModel, MakesAnErrorOfAnErrorEvent) {
  answer_events(
      "data: {\"text\":\"a\"}\n\n"
      "data: {\"error\":{\"message\":\"the engine "
      "crashed\",\"type\":\"server_error\",\"code\":\"engine_failed\"}}\n\n");
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.generate({}, sink(), {}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kEngineFailed);
  EXPECT_EQ(result.error().message, "the engine crashed");
  EXPECT_EQ(events_.size(), 1U);
}

TEST_F(RemoteModel, TellsAStreamThatEndedTooEarly) {
  answer_events("data: {\"text\":\"a\"}\n\n");
  RemoteModelApi api(http_, endpoint_, {}, {.lost_hint = "Look into the log."});
  const auto result = run(api.generate({}, sink(), {}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("broke before the call was done"));
  EXPECT_THAT(result.error().message, HasSubstr("Look into the log."));
}

TEST_F(RemoteModel, TellsThatNobodyAnswers) {
  endpoint_.unix_path = directory_ + "/nobody.sock";
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.list_models());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("nobody.sock"));
}

TEST_F(RemoteModel, EndsTheCallWhenTheSinkFails) {
  answer_events("data: {\"text\":\"a\"}\n\ndata: {\"text\":\"b\"}\n\ndata: {\"done\":true}\n\n");
  sink_result_ = fail(ErrorCode::kCancelled, "enough");
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.generate({}, sink(), {}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "enough");
  EXPECT_EQ(events_.size(), 1U);
}

// Streams a piece, then waits until the client goes away.
Task<void> generate_for_ever(net::Exchange& exchange, bool* client_left, CancelSource* on_piece) {
  co_await exchange.begin_stream(200, "text/event-stream");
  co_await exchange.write("data: {\"text\":\"a\",\"tokens\":1}\n\n");
  Event gone(exchange.loop().executor());
  const auto registration = exchange.cancelled().on_cancel([&gone] { gone.notify(); });
  on_piece->cancel();
  co_await gone.wait();
  *client_left = true;
  exchange.loop().stop();
}

TEST_F(RemoteModel, ClosesTheConnectionOnCancel) {
  bool client_left = false;
  CancelSource cancel;
  script_ = [&](net::Exchange& exchange) { return generate_for_ever(exchange, &client_left, &cancel); };
  RemoteModelApi api(http_, endpoint_);
  const auto result = run(api.generate({}, sink(), cancel.token()));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
  loop_.context().restart();
  if (!client_left) loop_.run();
  EXPECT_TRUE(client_left);
}

TEST_F(RemoteModel, UsesTheRightPathForEveryCall) {
  answer(200, "application/json", "{}");
  RemoteModelApi api(http_, endpoint_);
  EXPECT_TRUE(run(api.embed({{"input", "x"}}, {}, {})));
  EXPECT_TRUE(run(api.rerank({{"query", "x"}}, {}, {})));
  EXPECT_TRUE(run(api.list_models()));
  EXPECT_TRUE(run(api.model_info("a/b c:1")));
  EXPECT_TRUE(run(api.load_model({{"model", "a/b"}, {"keep_alive", "1h"}}, {}, {})));
  EXPECT_TRUE(run(api.unload_model({{"model", "m"}, {"force", true}})));
  EXPECT_TRUE(run(api.pull_model({{"source", "hf:o/r"}}, sink(), {})));
  EXPECT_TRUE(run(api.remove_model("m")));
  EXPECT_TRUE(run(api.engines()));
  EXPECT_TRUE(run(api.status()));
  std::vector<std::string> lines;
  for (const auto& one : seen_) lines.push_back(one.method + " " + one.target + " " + one.body);
  EXPECT_THAT(lines, ElementsAre(R"(POST /v1/embeddings {"input":"x"})", R"(POST /v1/rerank {"query":"x"})",
                                 "GET /api/v1/models ", "GET /api/v1/models/a%2Fb%20c%3A1 ",
                                 R"(POST /api/v1/models/a%2Fb/load {"keep_alive":"1h","stream":false})",
                                 R"(POST /api/v1/models/m/unload {"force":true})",
                                 R"(POST /api/v1/models/pull {"source":"hf:o/r","stream":true})",
                                 "DELETE /api/v1/models/m ", "GET /api/v1/engines ", "GET /api/v1/status "));
}

TEST_F(RemoteModel, WantsANameWhereThePathNeedsOne) {
  RemoteModelApi api(http_, endpoint_);
  EXPECT_EQ(run(api.model_info("")).error().pointer, "/model");
  EXPECT_EQ(run(api.load_model({}, {}, {})).error().pointer, "/model");
  EXPECT_EQ(run(api.unload_model({})).error().pointer, "/model");
  EXPECT_EQ(run(api.remove_model("")).error().pointer, "/model");
  EXPECT_TRUE(seen_.empty());
}

TEST_F(RemoteModel, AsksTheHookFirst) {
  answer(200, "application/json", "{}");
  int asked = 0;
  Result<void> ready;
  RemoteModelApi api(http_, endpoint_, {}, {.before_call = [&](CancelToken) {
                       ++asked;
                       return heard(ready);
                     }});
  EXPECT_TRUE(run(api.status()));
  ready = fail(ErrorCode::kUnavailable, "could not be started");
  const auto result = run(api.status());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "could not be started");
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(seen_.size(), 1U);
}

TEST_F(RemoteModel, CountsTokensAndReadsLogs) {
  answer(200, "application/json", R"({"model":"m","count":2})");
  RemoteModelApi api(http_, endpoint_);
  ASSERT_TRUE(run(api.tokenize({{"text", "a b"}}, sink(), {})));
  ASSERT_TRUE(run(api.engine_logs("org/m:v2")));
  EXPECT_EQ(run(api.engine_logs("")).error().pointer, "/model");
  ASSERT_EQ(seen_.size(), 2U);
  EXPECT_EQ(seen_[0].target, "/api/v1/tokenize");
  EXPECT_EQ(seen_[0].body, R"({"text":"a b"})");
  EXPECT_EQ(seen_[1].method + " " + seen_[1].target, "GET /api/v1/engines/org%2Fm%3Av2/logs");
}

TEST_F(RemoteModel, SpeaksTcp) {
  auto fd = net::listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(fd);
  const net::Endpoint tcp{
      .unix_path = {}, .host = "127.0.0.1", .port = net::local_port(*fd), .tls = false, .base_path = {}};
  server_.accept_on(*fd);
  answer(200, "application/json", R"({"status":"ok"})");
  RemoteModelApi api(http_, tcp);
  const auto result = run(api.status());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(json::write(*result), R"({"status":"ok"})");
}

TEST(ErrorBody, IsReadWhateverItHolds) {
  EXPECT_EQ(read_error_body({}, 429).code, ErrorCode::kRateLimited);
  EXPECT_EQ(read_error_body({{"error", "text"}}, 0).code, ErrorCode::kInternal);
  const auto bare = read_error_body({{"error", json::object{}}}, 503);
  EXPECT_EQ(bare.code, ErrorCode::kOverloaded);
  EXPECT_FALSE(bare.message.empty());
}

}  // namespace
}  // namespace llm::client
