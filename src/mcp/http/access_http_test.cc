// Who may do what over HTTP: challenges, lists, and what belongs to somebody else.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

#include "mcp/http/http_under_test.h"

namespace llm::mcp {
namespace {

using access::Permission;

constexpr std::string_view kMeta =
    R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}})";

std::string modern(std::string_view method, std::string_view params, std::string_view more_headers) {
  return raw_request("POST",
                     fmt::format("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {}\r\n{}", method, more_headers),
                     fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"{}","params":{{{}{}{}}}}})", method, kMeta,
                                 params.empty() ? "" : ",", params));
}
std::string legacy(std::string_view session, std::string_view method, std::string_view params,
                   std::string_view more_headers) {
  const std::string field = session.empty() ? "" : fmt::format("Mcp-Session-Id: {}\r\n", session);
  return raw_request("POST", field + std::string(more_headers),
                     fmt::format(R"({{"jsonrpc":"2.0","id":7,"method":"{}","params":{{{}}}}})", method, params));
}
constexpr std::string_view kInitialize =
    R"("protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"})";
constexpr std::string_view kViewer = "X-Principal: key:viewer\r\nX-Role: viewer\r\n";
constexpr std::string_view kUser = "X-Principal: key:user\r\nX-Role: user\r\n";
constexpr std::string_view kNothing = "X-Principal: key:nobody\r\nX-Role: none\r\n";

Task<std::string> open_session(net::RawPeer& peer, std::string_view who) {
  const auto answer = co_await ask(peer, legacy("", "initialize", kInitialize, who));
  EXPECT_EQ(answer.status, 200) << answer.body;
  co_return answer.header("Mcp-Session-Id");
}

void expect_challenge(const HttpAnswer& answer, std::string_view scope) {
  EXPECT_EQ(answer.status, 403) << answer.body;
  EXPECT_EQ(answer.header("Content-Type"), "application/json");
  const std::string challenge = answer.header("WWW-Authenticate");
  EXPECT_TRUE(challenge.starts_with("Bearer ")) << challenge;
  EXPECT_TRUE(challenge.contains(R"(error="insufficient_scope")")) << challenge;
  EXPECT_TRUE(challenge.contains(fmt::format(R"(scope="{}")", scope))) << challenge;
  EXPECT_TRUE(challenge.contains(R"(resource_metadata="https://here/.well-known/meta")")) << challenge;
  EXPECT_EQ(answer.error_code(), -32603);
  EXPECT_EQ(answer.json().at("id"), 7);
}

std::set<std::string> names_in(const HttpAnswer& answer, std::string_view list) {
  std::set<std::string> names;
  const auto document = answer.json();
  const json::value* result = json::find(document, "result");
  EXPECT_NE(result, nullptr) << answer.body;
  if (result == nullptr) return names;
  for (const auto& one : result->at(list).as_array()) names.emplace(one.at("name").as_string());
  return names;
}

HttpSettings settings() {
  return {.resource_metadata = [](const net::Exchange&) { return "https://here/.well-known/meta"; }};
}

// `echo` needs generate, `note` models:write; the prompt needs generate, resources models:read.
void set_permissions(Server& server) {
  for (const auto& [name, permission] :
       {std::pair("echo_for_users", Permission::kGenerate), std::pair("write", Permission::kModelsWrite)}) {
    server.tools()
        .add({.name = name,
              .input_schema = {{"type", "object"}},
              .handler = [](ToolCall) -> Task<Result<ToolResult>> { co_return ToolResult{.text = "done"}; },
              .permission = permission})
        .value();
  }
  server.prompts()
      .add({.name = "for_users",
            .handler = [](PromptCall) -> Task<Result<PromptResult>> { co_return PromptResult{}; },
            .permission = Permission::kGenerate})
      .value();
  server.resources()
      .add({.uri = "a://models", .name = "models", .permission = Permission::kModelsRead},
           [](ResourceRead read) -> Task<Result<ResourceContents>> {
             co_return ResourceContents{.parts = {{.uri = read.uri, .data = "x"}}};
           })
      .value();
  server.resources()
      .add({.uri_template = "a://models/{name}",
            .name = "model",
            .permission = Permission::kModelsRead,
            .watchable = [](const access::Principal&, const UriVariables& of) { return of.at("name") == "open"; }},
           [](ResourceRead read) -> Task<Result<ResourceContents>> {
             co_return ResourceContents{.parts = {{.uri = read.uri, .data = "x"}}};
           })
      .value();
}

Task<void> check_lists(HttpUnderTest& under) {
  auto peer = under.open();
  EXPECT_EQ(names_in(co_await ask(peer, modern("tools/list", "", kViewer)), "tools"), (std::set<std::string>{}));
  EXPECT_EQ(names_in(co_await ask(peer, modern("tools/list", "", kUser)), "tools"),
            (std::set<std::string>{"echo_for_users"}));
  EXPECT_TRUE(names_in(co_await ask(peer, modern("tools/list", "", "")), "tools").contains("write")) << "local user";
  EXPECT_EQ(names_in(co_await ask(peer, modern("prompts/list", "", kViewer)), "prompts"), (std::set<std::string>{}));
  EXPECT_EQ(names_in(co_await ask(peer, modern("prompts/list", "", kUser)), "prompts"),
            (std::set<std::string>{"for_users"}));
  EXPECT_EQ(names_in(co_await ask(peer, modern("resources/list", "", kUser)), "resources"),
            (std::set<std::string>{"a", "b", "models"}));
  EXPECT_EQ(names_in(co_await ask(peer, modern("resources/list", "", kNothing)), "resources"),
            (std::set<std::string>{}));
  EXPECT_EQ(names_in(co_await ask(peer, modern("resources/templates/list", "", kNothing)), "resourceTemplates"),
            (std::set<std::string>{}));
  const auto answer = co_await ask(peer, modern("tools/list", "", kUser));
  EXPECT_TRUE(answer.body.contains(R"("cacheScope":"private")")) << answer.body;
  const std::string session = co_await open_session(peer, kUser);
  EXPECT_EQ(names_in(co_await ask(peer, legacy(session, "tools/list", "", kUser)), "tools"),
            (std::set<std::string>{"echo_for_users"}));
  co_await under.stop();
}

TEST(McpAccess, ListsShowWhatTheCallerMayUse) {
  Loop loop("test");
  HttpUnderTest under(loop, settings());
  set_permissions(under.server);
  run_task(loop, check_lists(under));
}

Task<void> check_challenges(HttpUnderTest& under) {
  auto peer = under.open();
  const auto name = [](std::string_view value) { return fmt::format("Mcp-Name: {}\r\n", value); };
  const auto ask_modern = [&](std::string_view method, std::string_view params, std::string_view named,
                              std::string_view who) {
    return ask(peer, modern(method, params, name(named) + std::string(who)));
  };
  expect_challenge(co_await ask_modern("tools/call", R"("name":"write")", "write", kUser),
                   "generate models:read models:write");
  EXPECT_EQ((co_await ask_modern("tools/call", R"("name":"echo_for_users")", "echo_for_users", kUser)).status, 200);
  expect_challenge(co_await ask_modern("prompts/get", R"("name":"for_users")", "for_users", kNothing), "generate");
  expect_challenge(co_await ask_modern("resources/read", R"("uri":"a://models")", "a://models", kNothing),
                   "models:read");
  expect_challenge(co_await ask_modern("resources/read", R"("uri":"a://models/x")", "a://models/x", kNothing),
                   "models:read");
  expect_challenge(
      co_await ask(peer, modern("completion/complete",
                                R"("ref":{"type":"ref/prompt","name":"for_users"},"argument":{"name":"a","value":""})",
                                kNothing)),
      "generate");
  // A header that names something harmless decides nothing.
  const auto lied = co_await ask_modern("tools/call", R"("name":"write")", "echo_for_users", kUser);
  EXPECT_EQ(lied.status, 400);
  EXPECT_EQ(lied.error_code(), -32020);
  // What nobody has is told as before, and suggests nothing that the caller may not see.
  const auto unknown = co_await ask_modern("tools/call", R"("name":"writ")", "writ", kUser);
  EXPECT_EQ(unknown.status, 200);
  EXPECT_EQ(unknown.error_code(), -32602);
  EXPECT_FALSE(unknown.body.contains("'write'")) << unknown.body;

  const std::string session = co_await open_session(peer, kUser);
  expect_challenge(co_await ask(peer, legacy(session, "tools/call", R"("name":"write")", kUser)),
                   "generate models:read models:write");
  // The rights of today count, not those of the day on which the session was opened.
  const std::string narrowed = "X-Principal: key:user\r\nX-Role: none\r\n";
  expect_challenge(co_await ask(peer, legacy(session, "tools/call", R"("name":"echo_for_users")", narrowed)),
                   "generate");
  EXPECT_EQ(names_in(co_await ask(peer, legacy(session, "tools/list", "", narrowed)), "tools"),
            (std::set<std::string>{}));
  const auto called = co_await ask(peer, legacy(session, "tools/call", R"("name":"echo_for_users")", kUser));
  EXPECT_EQ(called.status, 200);
  EXPECT_TRUE(called.body.contains("done")) << called.body;
  co_await under.stop();
}

TEST(McpAccess, WhatIsNotAllowedIsChallengedByTheNameInTheBody) {
  Loop loop("test");
  std::vector<std::string> denied;
  auto with = settings();
  with.on_denied = [&](const net::Exchange&, const access::Principal& who, Permission needed, const std::string& what) {
    denied.push_back(fmt::format("{} {} {}", who.id, to_string(needed), what));
  };
  HttpUnderTest under(loop, std::move(with));
  set_permissions(under.server);
  run_task(loop, check_challenges(under));
  ASSERT_EQ(denied.size(), 7U);
  EXPECT_EQ(denied.front(), "key:user models:write tools/call write");
}

Task<void> check_batches(HttpUnderTest& under) {
  auto peer = under.open();
  const auto opened = co_await ask(
      peer,
      legacy("", "initialize",
             R"("protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"c","version":"1"})", kUser));
  const std::string session = fmt::format("Mcp-Session-Id: {}\r\n", opened.header("Mcp-Session-Id"));
  const auto answer = co_await ask(
      peer, raw_request("POST", session + std::string(kUser),
                        R"([{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write"}},)"
                        R"({"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo_for_users"}}])"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.body.contains(R"("data":{"permission":"models:write"})")) << answer.body;
  EXPECT_TRUE(answer.body.contains("done")) << answer.body;
  co_await under.stop();
}

TEST(McpAccess, ARequestOfABatchIsRefusedAmongTheOthers) {
  Loop loop("test");
  HttpUnderTest under(loop, settings());
  set_permissions(under.server);
  run_task(loop, check_batches(under));
}

Task<void> check_foreign_sessions(HttpUnderTest& under) {
  auto peer = under.open();
  const std::string session = co_await open_session(peer, kUser);
  std::string unknown = session;
  unknown[0] = unknown[0] == '0' ? '1' : '0';
  constexpr std::string_view kOther = "X-Principal: key:other\r\nX-Role: admin\r\n";
  const auto fields = [&](std::string_view id, std::string_view who) {
    return fmt::format("Mcp-Session-Id: {}\r\nAccept: text/event-stream\r\n{}", id, who);
  };
  struct Pair {
    std::string foreign;
    std::string unknown;
  };
  const std::vector<Pair> pairs{
      {legacy(session, "ping", "", kOther), legacy(unknown, "ping", "", kOther)},
      {legacy(session, "tools/call", R"("name":"write")", kOther),
       legacy(unknown, "tools/call", R"("name":"write")", kOther)},
      {raw_request("GET", fields(session, kOther)), raw_request("GET", fields(unknown, kOther))},
      {raw_request("GET", fields(session, kOther) + "Last-Event-ID: 1-0\r\n"),
       raw_request("GET", fields(unknown, kOther) + "Last-Event-ID: 1-0\r\n")},
      {raw_request("DELETE", fields(session, kOther)), raw_request("DELETE", fields(unknown, kOther))},
      // Nobody in particular, and the local user, are others too.
      {raw_request("DELETE", fields(session, "")), raw_request("DELETE", fields(unknown, ""))},
  };
  for (const auto& [foreign, absent] : pairs) {
    const auto of_foreign = co_await ask(peer, foreign);
    const auto of_unknown = co_await ask(peer, absent);
    EXPECT_EQ(of_foreign.status, 404) << foreign;
    EXPECT_EQ(of_foreign.status, of_unknown.status);
    EXPECT_EQ(of_foreign.body, of_unknown.body);
  }
  EXPECT_EQ((co_await ask(peer, legacy(session, "ping", "", kUser))).status, 200) << "it goes on for its owner";
  co_await under.stop();
}

TEST(McpAccess, AForeignSessionIsAsGoodAsUnknown) {
  Loop loop("test");
  HttpUnderTest under(loop, settings());
  set_permissions(under.server);
  run_task(loop, check_foreign_sessions(under));
}

Task<void> check_ending(HttpUnderTest& under, bool* valid) {
  auto legacy_peer = under.open();
  const std::string session = co_await open_session(legacy_peer, kUser);
  auto listening = under.open();
  co_await listening.send(
      raw_request("GET", fmt::format("Mcp-Session-Id: {}\r\nAccept: text/event-stream\r\n{}", session, kUser)));
  EXPECT_TRUE((co_await read_answer(listening)).streaming());
  EXPECT_TRUE((co_await read_event(listening)).retry);
  auto modern_peer = under.open();
  co_await modern_peer.send(modern("subscriptions/listen", R"("notifications":{})", kUser));
  EXPECT_TRUE((co_await read_answer(modern_peer)).streaming());
  EXPECT_TRUE((co_await read_event(modern_peer)).data.contains("acknowledged"));
  // The local user's goes on.
  auto local = under.open();
  co_await local.send(modern("subscriptions/listen", R"("notifications":{})", ""));
  EXPECT_TRUE((co_await read_answer(local)).streaming());
  EXPECT_TRUE((co_await read_event(local)).data.contains("acknowledged"));

  *valid = false;
  EXPECT_TRUE(co_await stream_ends(listening));
  EXPECT_TRUE((co_await read_event(modern_peer)).data.contains(R"("result":)"));
  EXPECT_TRUE(co_await stream_ends(modern_peer));
  under.endpoint.stop();
  EXPECT_TRUE((co_await read_event(local)).data.contains(R"("result":)")) << "only the end of the server ends it";
  co_await under.stop();
}

TEST(McpAccess, ListeningStreamsEndWithTheRightToThem) {
  Loop loop("test");
  bool valid = true;
  auto with = settings();
  with.validity_interval = std::chrono::milliseconds(1);
  with.still_valid = [&valid](const access::Principal& principal) { return valid || principal.local(); };
  HttpUnderTest under(loop, std::move(with));
  run_task(loop, check_ending(under, &valid));
}

Task<void> check_subscriptions(HttpUnderTest& under) {
  auto peer = under.open();
  co_await peer.send(modern("subscriptions/listen",
                            R"("notifications":{"resourceSubscriptions":["a://models/open","a://models/closed"]})",
                            kUser));
  EXPECT_TRUE((co_await read_answer(peer)).streaming());
  const auto acknowledged = co_await read_event(peer);
  EXPECT_TRUE(acknowledged.data.contains(R"("resourceSubscriptions":["a://models/open"])")) << acknowledged.data;
  auto other = under.open();
  const std::string session = co_await open_session(other, kUser);
  EXPECT_TRUE((co_await ask(other, legacy(session, "resources/subscribe", R"("uri":"a://models/open")", kUser)))
                  .body.contains("result"));
  EXPECT_EQ(
      (co_await ask(other, legacy(session, "resources/subscribe", R"("uri":"a://models/closed")", kUser))).error_code(),
      -32603);
  co_await under.stop();
}

TEST(McpAccess, NobodyHearsOfWhatItMayNotSee) {
  Loop loop("test");
  HttpUnderTest under(loop, settings());
  set_permissions(under.server);
  run_task(loop, check_subscriptions(under));
}

}  // namespace
}  // namespace llm::mcp
