// The real routes over HTTP, with a scripted engine behind them.
#include "api/routes.h"

#include <gmock/gmock.h>

#include "api/api_under_test.h"

namespace llm::api {
namespace {

using inference::ScriptedUpstream;
using inference::sse;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kChat = R"({"model":"m","messages":[{"role":"user","content":"hi"}])";
const std::string kText = R"({"id":"c","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]})";
const std::string kEnd = R"({"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";
const std::string kUsage = R"({"id":"c","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}})";
std::string stream() {
  return sse(kText) + sse(kEnd) + sse(kUsage) + sse("[DONE]");
}

TEST(Routes, WhatNeedsNoEngine) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    EXPECT_THAT(co_await t.get("/"), AllOf(HasSubstr("200 OK"), HasSubstr("/v1/chat/completions")));
    EXPECT_THAT(co_await t.get("/livez"), HasSubstr("200 OK"));
    EXPECT_THAT(co_await t.get("/readyz"), HasSubstr("200 OK"));
    EXPECT_THAT(co_await t.get("/metrics"), HasSubstr("llm_mcp_http_requests_total"));
    EXPECT_THAT(co_await t.get("/v1/models"), AllOf(HasSubstr("\"id\":\"m\""), HasSubstr("\"owned_by\":\"up\"")));
    EXPECT_THAT(co_await t.get("/v1/models/up/other"), HasSubstr("\"id\":\"up/other\""));
    EXPECT_THAT(co_await t.get("/v1/models/nobody"), AllOf(HasSubstr("404"), HasSubstr("model_not_found")));
    EXPECT_THAT(co_await t.get("/api/v1/models/m"), AllOf(HasSubstr("200 OK"), HasSubstr("\"external\":\"up\"")));
    EXPECT_THAT(co_await t.get("/api/v1/engines"), HasSubstr("\"engines\":[]"));
    EXPECT_THAT(co_await t.get("/api/v1/status"), HasSubstr("\"status\":\"ok\""));
    t.health.draining();
    EXPECT_THAT(co_await t.get("/readyz"), HasSubstr("503"));
  };
  t.run(body());
}

TEST(Routes, ChatWholeAndStreamed) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    t.back.upstream.script = ScriptedUpstream::answer(200, R"({"odd":1,"choices":[{}]})");
    const auto whole = co_await t.post("/v1/chat/completions", std::string(kChat) + R"(,"keep_alive":"5m"})");
    EXPECT_EQ(body_of(whole), R"({"odd":1,"choices":[{}]})");
    EXPECT_EQ(field_of(whole, "X-LLM-Model"), "m");
    EXPECT_FALSE(t.back.upstream.seen.at(0).body.contains("keep_alive"));
    EXPECT_EQ(t.back.supervisor.report().at(0).keep_alive.ms, 300'000);
    t.back.upstream.script = ScriptedUpstream::stream({stream()});
    const auto streamed = co_await t.post("/v1/chat/completions", std::string(kChat) + R"(,"stream":true})");
    EXPECT_EQ(field_of(streamed, "Content-Type"), "text/event-stream; charset=utf-8");
    EXPECT_THAT(streamed, AllOf(HasSubstr(sse(kText) + sse(kEnd)), HasSubstr(sse("[DONE]")), Not(HasSubstr(kUsage))));
    const auto counted = co_await t.post(
        "/v1/chat/completions", std::string(kChat) + R"(,"stream":true,"stream_options":{"include_usage":true}})");
    EXPECT_THAT(counted, HasSubstr(kUsage));
  };
  t.run(body());
}

TEST(Routes, CountsTokens) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::answer(200, R"({"tokens":[5,6,7],"more":1})");
  auto body = [&]() -> Task<void> {
    EXPECT_EQ(body_of(co_await t.post("/api/v1/tokenize", R"({"model":"m","text":"a b c"})")),
              R"({"model":"m","count":3})");
    EXPECT_EQ(body_of(co_await t.post("/api/v1/tokenize", R"({"model":"m","text":"a b c","tokens":true})")),
              R"({"model":"m","count":3,"tokens":[5,6,7]})");
    EXPECT_EQ(t.back.upstream.seen.at(0).body.at("content"), "a b c");
    EXPECT_THAT(co_await t.post("/api/v1/tokenize", R"({"model":"m"})"), AllOf(HasSubstr("400"), HasSubstr("/text")));
    EXPECT_THAT(co_await t.post("/api/v1/tokenize", R"({"model":"nobody","text":""})"), HasSubstr("404"));
    t.back.upstream.script = ScriptedUpstream::answer(200, R"({"odd":1})");
    EXPECT_THAT(co_await t.post("/api/v1/tokenize", R"({"model":"m","text":""})"), HasSubstr("502"));
  };
  t.run(body());
}

// An external engine writes no log that we could read.
TEST(Routes, LogsOfEngines) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::answer(200, R"({"data":[]})");
  auto body = [&]() -> Task<void> {
    EXPECT_THAT(co_await t.get("/api/v1/engines/m/logs"), AllOf(HasSubstr("404"), HasSubstr("no engine")));
    EXPECT_THAT(co_await t.get("/api/v1/engines/nobody/logs"), AllOf(HasSubstr("404"), HasSubstr("nobody")));
    (void)co_await t.post("/v1/embeddings", R"({"model":"m","input":"a"})");
    EXPECT_EQ(body_of(co_await t.get("/api/v1/engines/m/logs")), R"({"model":"m","lines":[]})");
  };
  t.run(body());
}

// Once a model is loaded, a request that names none gets that.
TEST(Routes, TheLoadedModelIsTheDefault) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::answer(200, R"({"choices":[]})");
  auto body = [&]() -> Task<void> {
    constexpr std::string_view kNameless = R"({"messages":[{"role":"user","content":"hi"}]})";
    EXPECT_THAT(co_await t.post("/v1/chat/completions", std::string(kNameless)), HasSubstr("404"));
    (void)co_await t.post("/v1/chat/completions", std::string(kChat) + "}");
    EXPECT_EQ(field_of(co_await t.post("/v1/chat/completions", std::string(kNameless)), "X-LLM-Model"), "m");
    EXPECT_THAT(co_await t.get("/api/v1/models"), HasSubstr(R"("default":"m")"));
  };
  t.run(body());
}

TEST(Routes, StreamMeansNothingForEmbeddings) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::answer(200, R"({"data":[]})");
  auto body = [&]() -> Task<void> {
    const auto answer = co_await t.post("/v1/embeddings", R"({"model":"m","input":"a","stream":true})");
    EXPECT_EQ(body_of(answer), R"({"data":[]})");
  };
  t.run(body());
}

TEST(Routes, WrongRequests) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    for (const auto& [target, text, status, pointer] :
         std::vector<std::tuple<std::string, std::string, std::string, std::string>>{
             {"/v1/chat/completions", std::string(kChat) + R"(,"stream":"yes"})", "400", "/stream"},
             {"/v1/chat/completions", std::string(kChat) + R"(,"keep_alive":"soon"})", "400", "/keep_alive"},
             {"/v1/chat/completions", std::string(kChat) + R"(,"keep_alive":[]})", "400", "/keep_alive"},
             {"/v1/chat/completions", std::string(kChat) + R"(,"stream":true,"stream_options":{"include_usage":1}})",
              "400", "/stream_options/include_usage"},
             {"/v1/chat/completions", "{}", "400", "/messages"},
             {"/v1/chat/completions", R"({"model":"nobody","messages":[{"role":"user"}]})", "404", "/model"},
             {"/api/v1/generate", R"({"prompt":"a","temprature":1})", "400", "/temprature"},
             {"/api/v1/generate", R"({"prompt":"a","stream":1})", "400", "/stream"},
             {"/api/v1/models/pull", "{}", "400", "/source"},
         }) {
      const auto answer = co_await t.post(target, text);
      EXPECT_EQ(status_of(answer), status) << text;
      EXPECT_EQ(std::string(json::string_or(error_of(answer), "pointer")), pointer) << answer;
    }
    EXPECT_TRUE(t.back.upstream.seen.empty());
  };
  t.run(body());
}

TEST(Routes, HugeKeepAlivesAreForEver) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::answer(200, R"({"choices":[{}]})");
  auto body = [&]() -> Task<void> {
    EXPECT_THAT(co_await t.post("/v1/chat/completions", std::string(kChat) + R"(,"keep_alive":1e300})"),
                HasSubstr("200 OK"));
    EXPECT_GT(t.back.supervisor.report().at(0).keep_alive.ms, 1'000'000'000);
    EXPECT_THAT(co_await t.post("/v1/chat/completions", std::string(kChat) + R"(,"keep_alive":-1})"),
                HasSubstr("200 OK"));
    EXPECT_TRUE(t.back.supervisor.report().at(0).keep_alive.never());
  };
  t.run(body());
}

TEST(Routes, GenerateWholeAndStreamed) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::stream({stream()});
  auto body = [&]() -> Task<void> {
    const auto whole =
        co_await t.post("/api/v1/generate", R"({"model":"m","messages":[{"role":"user","content":"a"}]})");
    const auto answer = json::parse(body_of(whole));
    EXPECT_TRUE(answer);
    EXPECT_EQ(answer->at("text"), "hello");
    EXPECT_EQ(answer->at("finish_reason"), "stop");
    EXPECT_EQ(answer->at("usage").at("total_tokens"), 6);
    const auto streamed = co_await t.post("/api/v1/generate",
                                          R"({"model":"m","messages":[{"role":"user","content":"a"}],"stream":true})");
    EXPECT_THAT(streamed,
                AllOf(HasSubstr(R"("text":"hello","tokens":1)"), HasSubstr(R"("done":true)"), HasSubstr("[DONE]")));
    EXPECT_EQ(t.back.upstream.seen.at(0).body.at("stream"), true);
  };
  t.run(body());
}

TEST(Routes, ToolCallsArePutTogether) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::stream(
      {sse(R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}]}}]})") +
       sse(R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\":1}"}},{"index":-9},{"index":9999}]}}]})") +
       sse(kEnd) + sse("[DONE]")});
  auto body = [&]() -> Task<void> {
    const auto whole =
        co_await t.post("/api/v1/generate", R"({"model":"m","messages":[{"role":"user","content":"a"}]})");
    EXPECT_THAT(whole, HasSubstr(R"("tool_calls":[{"id":"a","name":"f","arguments":"{\"x\":1}"}])"));
  };
  t.run(body());
}

TEST(Routes, AClientThatGoesAwayStopsTheWork) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    int cancelled = 0;
    for (const std::string& target : {std::string("/v1/chat/completions"), std::string("/api/v1/generate")}) {
      for (const std::string& more : {std::string("}"), std::string(R"(,"stream":true})")}) {
        t.back.upstream.script = t.back.upstream.stall(sse(kText));
        const auto seen = t.back.upstream.seen.size();
        auto peer = t.open();
        const std::string text = std::string(kChat) + more;
        co_await peer.send("POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
                           "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text);
        co_await t.back.upstream.until_seen(seen + 1);
        peer.close();
        co_await t.back.upstream.until_cancelled(++cancelled);
      }
    }
    while (t.server.connections() > 0) co_await t.back.settle();
    EXPECT_EQ(t.back.service.in_flight(), 0U);
    EXPECT_TRUE(t.back.log.contains(R"("outcome":"cancelled")"));
  };
  t.run(body());
}

TEST(Routes, AnEngineErrorInTheStreamIsItsLastEvent) {
  ApiUnderTest t;
  t.back.upstream.script = ScriptedUpstream::stream({sse(kText)}, false);
  auto body = [&]() -> Task<void> {
    const auto answer = co_await t.post("/v1/chat/completions", std::string(kChat) + R"(,"stream":true})");
    EXPECT_THAT(answer, AllOf(HasSubstr(sse(kText)), HasSubstr(R"("code":"engine_failed")"), Not(HasSubstr("[DONE]"))));
  };
  t.run(body());
}

TEST(Routes, LoadAndUnload) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    EXPECT_THAT(co_await t.post("/api/v1/models/m/load", "{}"), HasSubstr(R"("state":"ready")"));
    EXPECT_THAT(co_await t.get("/api/v1/engines"), HasSubstr(R"("state":"ready")"));
    EXPECT_THAT(co_await t.post("/api/v1/models/m/unload", "{}"), HasSubstr(R"("was_loaded":true)"));
    EXPECT_THAT(co_await t.post("/api/v1/models/m/unload", "{}"), HasSubstr(R"("was_loaded":false)"));
    EXPECT_THAT(co_await t.ask("DELETE /api/v1/models/m HTTP/1.1\r\nHost: localhost"), HasSubstr("409"));
  };
  t.run(body());
}

}  // namespace
}  // namespace llm::api
