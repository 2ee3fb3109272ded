#include "mcp/client/client.h"

#include <fmt/format.h>

#include "mcp/client/client_under_test.h"

namespace llm::mcp {
namespace {

using T = ClientUnderTest;
using ClientTest = ClientUnderTest;
using testing::HasSubstr;
using namespace std::chrono_literals;

Task<void> connect(T* t) {
  const auto done = co_await t->client->connect(Era::kUnknown, {});
  EXPECT_TRUE(done) << done.error().message;
}

TEST_F(ClientTest, SpeaksTheModernEraWhereTheServerDoes) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        EXPECT_EQ(t->client->era(), Era::kModern);
        EXPECT_EQ(t->client->server().name, "peer");
        EXPECT_EQ(t->client->server().version, "1.2");
        EXPECT_TRUE(t->client->server().revision->modern);
        const auto result = co_await t->client->request("tools/call", {{"name", "x"}}, {});
        EXPECT_EQ(json::write(*result), R"({"content":[]})");
      }(this),
      [](T* t) -> Task<void> {
        const auto asked = co_await t->next();
        EXPECT_EQ(method_of(asked), "server/discover");
        const auto& meta = asked.at("params").at("_meta").as_object();
        EXPECT_EQ(meta.at(meta::kProtocolVersion), "2026-07-28");
        EXPECT_EQ(meta.at(meta::kClientCapabilities), json::object());
        EXPECT_EQ(meta.at(meta::kClientInfo).at("name"), "llm-mcp");
        co_await t->answer(asked, kDiscovered);
        const auto call = co_await t->next();
        EXPECT_EQ(call.at("params").at("_meta").at(meta::kProtocolVersion), "2026-07-28");
        EXPECT_FALSE(call.at("params").at("_meta").as_object().contains("progressToken"));
        co_await t->answer(call, R"({"content":[]})");
      }(this));
}

Task<void> legacy_handshake(T* t) {
  const auto asked = co_await t->next();
  EXPECT_EQ(method_of(asked), "initialize");
  EXPECT_EQ(asked.at("params").at("protocolVersion"), "2025-11-25");
  EXPECT_FALSE(asked.at("params").as_object().contains("_meta"));
  co_await t->answer(asked, kInitialized);
  EXPECT_EQ(method_of(co_await t->next()), "notifications/initialized");
}

Task<void> expect_legacy(T* t) {
  co_await connect(t);
  EXPECT_EQ(t->client->era(), Era::kLegacy);
  EXPECT_EQ(t->client->server().revision->version, "2025-06-18");
  EXPECT_TRUE(t->client->server().tools_change);
}

TEST_F(ClientTest, FallsBackToInitializeWhenDiscoverIsRefused) {
  for (const int code : {kMethodNotFound, kInvalidRequest, kInvalidParams, kUnsupportedProtocolVersion, -32000}) {
    make();
    play(expect_legacy(this), [](T* t, int refusal) -> Task<void> {
      co_await t->refuse(co_await t->next(), refusal);
      co_await legacy_handshake(t);
    }(this, code));
    run_task(loop, client->stop());
  }
}

TEST_F(ClientTest, FallsBackToInitializeWhenDiscoverIsNotAnswered) {
  make({.probe_timeout = 1ms});
  play(expect_legacy(this), [](T* t) -> Task<void> {
    EXPECT_EQ(method_of(co_await t->next()), "server/discover");
    EXPECT_EQ(method_of(co_await t->next()), "notifications/cancelled");
    co_await legacy_handshake(t);
  }(this));
}

TEST_F(ClientTest, FallsBackWhenTheServerKnowsOnlyAnotherModernRevision) {
  make();
  play(expect_legacy(this), [](T* t) -> Task<void> {
    co_await t->answer(co_await t->next(), R"({"supportedVersions":["2031-01-01"],"capabilities":{}})");
    co_await legacy_handshake(t);
  }(this));
}

TEST_F(ClientTest, RemembersThatAServerDiedOfDiscover) {
  make();
  play(
      [](T* t) -> Task<void> {
        const auto done = co_await t->client->connect(Era::kUnknown, {});
        EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
        EXPECT_EQ(t->client->era(), Era::kLegacy);
      }(this),
      [](T* t) -> Task<void> {
        co_await t->next();
        t->peer->close();
      }(this));
}

TEST_F(ClientTest, RefusesAServerOfAnUnknownRevision) {
  make();
  play(
      [](T* t) -> Task<void> {
        const auto done = co_await t->client->connect(Era::kLegacy, {});
        EXPECT_EQ(done.error().code, ErrorCode::kUnsupported);
        EXPECT_THAT(done.error().message, HasSubstr("1999-01-01"));
      }(this),
      [](T* t) -> Task<void> {
        co_await t->answer(co_await t->next(), R"({"protocolVersion":"1999-01-01","capabilities":{}})");
      }(this));
}

TEST_F(ClientTest, GarbageUnknownIdsAndSecondAnswersChangeNothing) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto first = co_await t->client->request("a", {}, {});
        EXPECT_EQ(json::write(*first), R"({"n":1})");
        const auto second = co_await t->client->request("b", {}, {});
        EXPECT_EQ(json::write(*second), R"({"n":2})");
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        const auto first = co_await t->next();
        for (const std::string_view odd :
             {"Starting up...", "{", "[]", "null", "\xff\xfe", R"({"jsonrpc":"2.0","id":999,"result":{}})",
              R"({"jsonrpc":"2.0","id":"2","result":{}})",
              R"({"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}})",
              R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":"x"}})",
              R"({"jsonrpc":"2.0","method":"notifications/unheard-of"})"}) {
          co_await t->say(std::string(odd));
        }
        co_await t->answer(first, R"({"n":1})");
        co_await t->answer(first, R"({"n":77})");
        co_await t->answer(co_await t->next(), R"({"n":2})");
      }(this));
}

TEST_F(ClientTest, LogsOnlySomeOfTheGarbage) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        co_await t->client->request("a", {}, {});
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        const auto asked = co_await t->next();
        for (int i = 0; i < 500; ++i) co_await t->say("garbage " + std::string(2000, 'x'));
        co_await t->answer(asked, "{}");
      }(this));
  EXPECT_EQ(log.lines().size(), 5U);
}

TEST_F(ClientTest, AnswersPingAndDeclinesEverythingElse) {
  make();
  play(connect(this), [](T* t) -> Task<void> {
    const auto asked = co_await t->next();
    co_await t->say(R"({"jsonrpc":"2.0","id":"p","method":"ping"})");
    EXPECT_EQ(json::write(co_await t->next()), R"({"jsonrpc":"2.0","id":"p","result":{}})");
    for (const std::string_view method : {"sampling/createMessage", "elicitation/create", "roots/list", "x"}) {
      co_await t->say(fmt::format(R"({{"jsonrpc":"2.0","id":4,"method":"{}","params":{{}}}})", method));
      const auto reply = co_await t->next();
      EXPECT_EQ(reply.at("id"), 4);
      EXPECT_EQ(reply.at("error").at("code"), kMethodNotFound);
    }
    co_await t->answer(asked, kDiscovered);
  }(this));
}

TEST_F(ClientTest, ErrorsOfTheServerKeepTheirCode) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto result = co_await t->client->request("x", {}, {});
        EXPECT_EQ(result.error().code, ErrorCode::kEngineFailed);
        EXPECT_EQ(rpc_code(result.error()), -32602);
        EXPECT_EQ(result.error().message, "the server: no");
        const auto odd = co_await t->client->request("y", {}, {});
        EXPECT_EQ(odd.error().code, ErrorCode::kEngineFailed);
        EXPECT_EQ(rpc_code(odd.error()), std::nullopt);
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        co_await t->refuse(co_await t->next(), kInvalidParams);
        co_await t->answer(co_await t->next(), "[1]");
      }(this));
}

TEST_F(ClientTest, AServerThatDiesEndsWhatWaitsForIt) {
  make();
  int ended = 0;
  client->on_end = [&] { ++ended; };
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto result = co_await t->client->request("x", {}, {});
        EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
        EXPECT_THAT(result.error().message, HasSubstr("closed its output"));
        EXPECT_TRUE(t->client->closed());
        const auto next = co_await t->client->request("y", {}, {});
        EXPECT_EQ(next.error().code, ErrorCode::kUnavailable);
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        co_await t->next();
        co_await t->peer->send(R"({"jsonrpc":"2.0","id":2,"resu)");
        t->peer->close();
      }(this));
  EXPECT_EQ(ended, 1);
}

TEST_F(ClientTest, AServerThatNeverAnswersIsGivenUp) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto result = co_await t->client->request("x", {}, {.timeout = 1ms});
        EXPECT_EQ(result.error().code, ErrorCode::kEngineTimeout);
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        const auto asked = co_await t->next();
        const auto told = co_await t->next();
        EXPECT_EQ(method_of(told), "notifications/cancelled");
        EXPECT_EQ(told.at("params").at("requestId"), asked.at("id"));
        co_await t->answer(asked, "{}");  // too late: nobody minds
      }(this));
}

TEST_F(ClientTest, CancellingTellsTheServer) {
  make();
  CancelSource cancel;
  play(
      [](T* t, CancelToken token) -> Task<void> {
        co_await connect(t);
        const auto result = co_await t->client->request("x", {}, {.cancel = std::move(token)});
        EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
      }(this, cancel.token()),
      [](T* t, CancelSource* source) -> Task<void> {
        co_await t->discover();
        const auto asked = co_await t->next();
        source->cancel();
        const auto told = co_await t->next();
        EXPECT_EQ(method_of(told), "notifications/cancelled");
        EXPECT_EQ(told.at("params").at("requestId"), asked.at("id"));
      }(this, &cancel));
}

TEST_F(ClientTest, ProgressReachesWhoWantsItAndMustGrow) {
  make();
  std::vector<std::string> heard;
  const Progress progress([&](double value, std::optional<double> total, std::string_view message) {
    heard.push_back(fmt::format("{}/{} {}", value, total.value_or(-1), message));
  });
  play(
      [](T* t, Progress sink) -> Task<void> {
        co_await connect(t);
        EXPECT_TRUE(co_await t->client->request("x", {}, {.progress = std::move(sink)}));
      }(this, progress),
      [](T* t) -> Task<void> {
        co_await t->discover();
        const auto asked = co_await t->next();
        const auto token = json::write(asked.at("params").at("_meta").at("progressToken"));
        for (const std::string_view rest :
             {R"("progress":1,"total":4,"message":"one")", R"("progress":1,"message":"again")", R"("progress":0.5)",
              R"("progress":2.5)", R"("message":"none")"}) {
          co_await t->say(
              fmt::format(R"({{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{},{}}}}})",
                          token, rest));
        }
        co_await t->answer(asked, "{}");
      }(this));
  EXPECT_THAT(heard, testing::ElementsAre("1/4 one", "2.5/-1 "));
}

TEST_F(ClientTest, AMessageThatIsTooLongFailsWhatIsInFlight) {
  make({}, {.max_message_bytes = 1000});
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto lost = co_await t->client->request("x", {}, {});
        EXPECT_EQ(lost.error().code, ErrorCode::kEngineFailed);
        EXPECT_THAT(lost.error().message, HasSubstr("more than 1000"));
        EXPECT_TRUE(co_await t->client->request("y", {}, {}));
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        const auto asked = co_await t->next();
        co_await t->answer(asked, fmt::format(R"({{"text":"{}"}})", std::string(100'000, 'x')));
        co_await t->answer(co_await t->next(), "{}");
      }(this));
}

TEST_F(ClientTest, AServerThatDoesNotReadCostsTheRequestOnly) {
  make({}, {.max_queued_bytes = 1 << 20});
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        // More than the socket takes; each waits for an answer that never comes.
        TaskGroup group(t->loop.executor());
        const auto send = [](T* test, int* overloaded) -> Task<void> {
          const auto result =
              co_await test->client->request("x", {{"text", std::string(200'000, 'x')}}, {.timeout = 50ms});
          *overloaded += result.error().code == ErrorCode::kOverloaded ? 1 : 0;
        };
        int overloaded = 0;
        for (int i = 0; i < 40; ++i) group.spawn(send(t, &overloaded));
        co_await group.join();
        EXPECT_GT(overloaded, 0);
      }(this),
      discover());
}

TEST_F(ClientTest, UnansweredRequestsAreBounded) {
  make({.max_pending = 3});
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        TaskGroup group(t->loop.executor());
        std::vector<ErrorCode> codes;
        const auto send = [](T* test, std::vector<ErrorCode>* out) -> Task<void> {
          const auto result = co_await test->client->request("x", {}, {.timeout = 1ms});
          out->push_back(result.error().code);
        };
        for (int i = 0; i < 5; ++i) group.spawn(send(t, &codes));
        co_await group.join();
        EXPECT_EQ(std::ranges::count(codes, ErrorCode::kOverloaded), 2);
        EXPECT_EQ(std::ranges::count(codes, ErrorCode::kEngineTimeout), 3);
      }(this),
      discover());
}

TEST_F(ClientTest, ListsToolsOfAllPages) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto tools = co_await t->client->list_tools({});
        EXPECT_EQ(tools->size(), 2U);
        EXPECT_EQ(tools->at(1).at("name"), "b");
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        const auto first = co_await t->next();
        EXPECT_FALSE(first.at("params").as_object().contains("cursor"));
        co_await t->answer(
            first, R"({"tools":[{"name":"a","inputSchema":{"type":"object"}},{"name":"odd"},7],"nextCursor":"p2"})");
        const auto second = co_await t->next();
        EXPECT_EQ(second.at("params").at("cursor"), "p2");
        co_await t->answer(second, R"({"tools":[{"name":"b","inputSchema":{"type":"object"}}]})");
      }(this));
}

TEST_F(ClientTest, AListThatNeverEndsIsRefused) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        const auto tools = co_await t->client->list_tools({});
        EXPECT_EQ(tools.error().code, ErrorCode::kEngineFailed);
      }(this),
      [](T* t) -> Task<void> {
        co_await t->discover();
        for (int i = 0; i < 2; ++i) co_await t->answer(co_await t->next(), R"({"tools":[],"nextCursor":"same"})");
      }(this));
}

TEST_F(ClientTest, ListensForChangesInTheModernEra) {
  make();
  Event changed(loop.executor());
  client->on_tools_changed = [&] { changed.notify(); };
  play(
      [](T* t, Event* event) -> Task<void> {
        co_await connect(t);
        co_await event->wait();
      }(this, &changed),
      [](T* t) -> Task<void> {
        co_await t->answer(co_await t->next(),
                           R"({"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}}})");
        const auto listen = co_await t->next();
        EXPECT_EQ(method_of(listen), "subscriptions/listen");
        EXPECT_EQ(listen.at("params").at("notifications"), json::object({{"toolsListChanged", true}}));
        co_await t->say(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}})");
      }(this));
}

TEST_F(ClientTest, StoppingEndsWhatWaits) {
  make();
  play(
      [](T* t) -> Task<void> {
        co_await connect(t);
        TaskGroup group(t->loop.executor());
        group.spawn([](T* test) -> Task<void> {
          const auto result = co_await test->client->request("x", {}, {});
          EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
        }(t));
        co_await t->client->stop();
        co_await group.join();
      }(this),
      discover());
}

}  // namespace
}  // namespace llm::mcp
