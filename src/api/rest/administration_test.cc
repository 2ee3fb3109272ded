// Keys, projects, users, roles, usage, the audit trail and tokens over HTTP.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "api/access_under_test.h"

namespace llm::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

json::object object_of(const std::string& answer) {
  auto parsed = json::parse(body_of(answer));
  EXPECT_TRUE(parsed && parsed->is_object()) << answer;
  return parsed && parsed->is_object() ? parsed->get_object() : json::object();
}
std::string text(const json::object& object, std::string_view name) {
  return std::string(json::string_or(object, name));
}

TEST(AccessRoutes, TheLifeOfAKey) {
  ProtectedApi t;
  const auto [admin, admin_id] = t.make_key("admin");
  auto body = [&]() -> Task<void> {
    const auto made = co_await t.ask("POST", "/api/v1/keys", admin, R"({"name":"ci","role":"user"})");
    EXPECT_EQ(status_of(made), "201");
    const auto key = text(object_of(made), "key");
    const auto id = text(object_of(made), "id");
    EXPECT_THAT(key, StartsWith("llm_" + id + "_"));
    EXPECT_EQ(field_of(made, "Cache-Control"), "no-store");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", key)), "200");

    const auto shown = co_await t.ask("GET", "/api/v1/keys/" + id, admin);
    EXPECT_THAT(shown, AllOf(HasSubstr(R"("name":"ci")"), Not(HasSubstr(key))));
    const auto listed = co_await t.ask("GET", "/api/v1/keys?revoked=false", admin);
    EXPECT_THAT(listed, AllOf(HasSubstr(id), Not(HasSubstr(key))));
    EXPECT_THAT(co_await t.ask("PATCH", "/api/v1/keys/" + id, admin, R"({"name":"ci-2"})"), HasSubstr("ci-2"));
    EXPECT_EQ(status_of(co_await t.ask("PATCH", "/api/v1/keys/" + id, admin, R"({"nmae":"x"})")), "400");

    const auto rotated = co_await t.ask("POST", "/api/v1/keys/" + id + "/rotate", admin, R"({"overlap":"1h"})");
    const auto next = text(object_of(rotated), "key");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", key)), "200");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", next)), "200");
    const auto at_once = co_await t.ask("POST", "/api/v1/keys/" + id + "/rotate", admin, R"({"overlap":"0"})");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", next)), "401");
    const auto last = text(object_of(at_once), "key");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", last)), "200");

    EXPECT_EQ(status_of(co_await t.ask("DELETE", "/api/v1/keys/" + id, admin)), "200");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", last)), "401");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/keys/nobody", admin)), "404");
  };
  t.api.run(body());
}

TEST(AccessRoutes, ProjectsUsersAndRoles) {
  ProtectedApi t;
  const auto [admin, admin_id] = t.make_key("admin");
  auto body = [&]() -> Task<void> {
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/projects", admin, R"({"id":"red","name":"Red"})")), "201");
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/projects", admin, R"({"id":"red","name":"Red"})")), "409");
    EXPECT_THAT(co_await t.ask("GET", "/api/v1/projects", admin), AllOf(HasSubstr("red"), HasSubstr("default")));
    EXPECT_THAT(co_await t.ask("PATCH", "/api/v1/projects/red", admin, R"({"weight":2})"), HasSubstr("\"weight\":2"));
    const auto user =
        co_await t.ask("POST", "/api/v1/users", admin, R"({"id":"ann","name":"Ann","role":"user","project":"red"})");
    EXPECT_EQ(status_of(user), "201");
    EXPECT_THAT(co_await t.ask("GET", "/api/v1/users?project=red", admin), HasSubstr("Ann"));
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/users/ann", admin)), "200");
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/roles", admin,
                                       R"({"name":"tiny","rules":[{"permissions":["generate"],"models":["m"]}]})")),
              "201");
    EXPECT_THAT(co_await t.ask("GET", "/api/v1/roles", admin), AllOf(HasSubstr("tiny"), HasSubstr("operator")));
    EXPECT_EQ(status_of(co_await t.ask("PATCH", "/api/v1/roles/tiny", admin, R"({"description":"small"})")), "200");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/roles/tiny", admin)), "200");
    EXPECT_EQ(status_of(co_await t.ask("DELETE", "/api/v1/roles/tiny", admin)), "200");
    EXPECT_EQ(status_of(co_await t.ask("DELETE", "/api/v1/users/ann", admin)), "200");
    const auto [red, red_id] = t.make_key("user", R"(,"project":"red")");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", red)), "200");
    EXPECT_EQ(status_of(co_await t.ask("DELETE", "/api/v1/projects/red", admin)), "200");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", red)), "401");
  };
  t.api.run(body());
}

// Nobody hands out what it does not have, and nobody sees another project.
TEST(AccessRoutes, NoWayUp) {
  ProtectedApi t;
  const auto [admin, admin_id] = t.make_key("admin");
  EXPECT_TRUE(t.system().admin().create_project({{"id", "red"}, {"name", "Red"}}, {}));
  EXPECT_TRUE(t.system().admin().create_role(
      json::parse(R"({"name":"lead","rules":[{"permissions":["generate","models:read","keys:read","keys:write"]}]})")
          .value()
          .as_object(),
      {}));
  const auto [lead, lead_id] = t.make_key("lead");
  const auto [other, other_id] = t.make_key("user", R"(,"project":"red")");
  auto body = [&]() -> Task<void> {
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/keys", lead, R"({"name":"a","role":"admin"})")), "403");
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/keys", lead, R"({"name":"a","role":"user","project":"red"})")),
              "403");
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/keys", lead, R"({"name":"a","role":"user"})")), "201");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/keys/" + other_id, lead)), "404");
    EXPECT_EQ(status_of(co_await t.ask("DELETE", "/api/v1/keys/" + other_id, lead)), "404");
    EXPECT_THAT(co_await t.ask("GET", "/api/v1/keys", lead), Not(HasSubstr(other_id)));
    EXPECT_EQ(status_of(co_await t.ask("PATCH", "/api/v1/keys/" + lead_id, lead, R"({"role":"admin"})")), "403");
    EXPECT_EQ(status_of(co_await t.ask("DELETE", "/api/v1/keys/" + admin_id, lead)), "403");
  };
  t.api.run(body());
}

TEST(AccessRoutes, UsageAsJsonAndCsv) {
  ProtectedApi t;
  const auto [admin, admin_id] = t.make_key("admin");
  const auto principal = access::Principal{
      .id = "key:" + admin_id, .identity = t.system().directory().identity("key:" + admin_id), .address = {}};
  t.system().control().usage.add(principal, "=model", {.input_tokens = 7, .output_tokens = 3});
  EXPECT_TRUE(t.system().control().usage.flush());
  auto body = [&]() -> Task<void> {
    const auto plain = co_await t.ask("GET", "/api/v1/usage?by=model,key", admin);
    EXPECT_EQ(field_of(plain, "Content-Type"), "application/json");
    EXPECT_THAT(plain, AllOf(HasSubstr(R"("input_tokens":7)"), HasSubstr(admin_id), HasSubstr(R"("total")")));
    const auto csv = co_await t.ask("GET", "/api/v1/usage?format=csv&by=model&by=key", admin);
    EXPECT_THAT(field_of(csv, "Content-Type"), StartsWith("text/csv"));
    EXPECT_THAT(body_of(csv), AllOf(StartsWith("day,project,key,model,requests,"), HasSubstr("'=model,1,0,7,0,3")));
    const auto accepted =
        co_await t.api.ask(ProtectedApi::head("GET", "/api/v1/usage", admin) + "\r\nAccept: text/csv;q=1");
    EXPECT_THAT(field_of(accepted, "Content-Type"), StartsWith("text/csv"));
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/usage?format=xml", admin)), "400");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/usage?by=colour", admin)), "400");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/usage?form=%zz", admin)), "400");
  };
  t.api.run(body());
}

TEST(AccessRoutes, TheAuditTrail) {
  ProtectedApi t;
  const auto [admin, admin_id] = t.make_key("admin");
  auto body = [&]() -> Task<void> {
    (void)co_await t.ask("POST", "/api/v1/projects", admin, R"({"id":"red","name":"Red"})");
    EXPECT_TRUE(t.system().control().audit.flush());
    const auto trail = co_await t.ask("GET", "/api/v1/audit?limit=10", admin);
    EXPECT_EQ(status_of(trail), "200");
    EXPECT_THAT(trail, AllOf(HasSubstr("project.create"), HasSubstr("key:" + admin_id)));
    EXPECT_EQ(status_of(co_await t.ask("GET", "/api/v1/audit?limit=many", admin)), "400");
  };
  t.api.run(body());
}

TEST(Tokens, TradedRenewedAndRevoked) {
  ProtectedApi t;
  const auto [key, id] = t.make_key("user");
  auto body = [&]() -> Task<void> {
    const auto answer = co_await t.ask("POST", "/api/v1/auth/token", "", fmt::format(R"({{"api_key":"{}"}})", key));
    EXPECT_EQ(status_of(answer), "200");
    EXPECT_EQ(field_of(answer, "Cache-Control"), "no-store");
    EXPECT_EQ(field_of(answer, "Pragma"), "no-cache");
    const auto grant = object_of(answer);
    EXPECT_EQ(text(grant, "token_type"), "Bearer");
    EXPECT_GT(json::int_or(grant, "expires_in"), 0);
    const auto access_token = text(grant, "access_token");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", access_token)), "200");
    EXPECT_THAT(co_await t.ask("GET", "/api/v1/auth/me", access_token),
                AllOf(HasSubstr(R"("kind":"token")"), HasSubstr(R"("role":"user")"), HasSubstr(id)));
    // A token buys no token.
    EXPECT_EQ(
        status_of(co_await t.ask("POST", "/api/v1/auth/token", "", fmt::format(R"({{"api_key":"{}"}})", access_token))),
        "401");
    const auto refresh = text(grant, "refresh_token");
    const auto renewed = object_of(
        co_await t.ask("POST", "/api/v1/auth/token", "", fmt::format(R"({{"refresh_token":"{}"}})", refresh)));
    const auto second = text(renewed, "access_token");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", second)), "200");
    // Used twice: everything of this sign-in ends.
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/auth/token", "",
                                       fmt::format(R"({{"refresh_token":"{}"}})", refresh))),
              "401");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", second)), "401");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", access_token)), "401");

    const auto other = object_of(co_await t.ask("POST", "/api/v1/auth/token", "",
                                                fmt::format(R"({{"api_key":"{}","scope":"models:read"}})", key)));
    const auto narrow = text(other, "access_token");
    EXPECT_EQ(text(other, "scope"), "models:read");
    EXPECT_EQ(status_of(co_await t.ask("POST", "/v1/embeddings", narrow, R"({"model":"m","input":"a"})")), "403");
    EXPECT_EQ(
        status_of(co_await t.ask("POST", "/api/v1/auth/revoke", narrow, fmt::format(R"({{"token":"{}"}})", narrow))),
        "200");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models", narrow)), "401");
  };
  t.api.run(body());
  EXPECT_THAT(t.audit_trail(), AllOf(HasSubstr("auth.token"), HasSubstr("auth.renew"), HasSubstr("auth.revoke")));
}

TEST(Tokens, WhatIsRefused) {
  access::AccessSettings settings;
  settings.login.failures = 6;
  ProtectedApi t(settings);
  const auto [key, id] = t.make_key("user");
  auto body = [&]() -> Task<void> {
    for (const auto& [request, status] : std::vector<std::pair<std::string, std::string>>{
             {"{}", "400"},
             {R"({"api_key":"a","refresh_token":"b"})", "400"},
             {R"({"api_key":7})", "400"},
             {R"({"api_key":""})", "400"},
             {R"({"api_key":"a","password":"b"})", "400"},
             {R"({"api_key":"llm_wrong"})", "401"},
             {R"({"api_key":"a.b.c"})", "401"},
             {R"({"refresh_token":"llr_wrong"})", "401"},
             {fmt::format(R"({{"refresh_token":"{}"}})", key), "401"},
             {fmt::format(R"({{"api_key":"{}","scope":"admin"}})", key), "400"},
         }) {
      const auto answer = co_await t.ask("POST", "/api/v1/auth/token", "", request);
      EXPECT_EQ(status_of(answer), status) << request;
      EXPECT_THAT(answer, Not(HasSubstr(key)));
    }
    // Guessing has an end, for refresh tokens as for keys.
    for (int i = 0; i < 2; ++i) {
      (void)co_await t.ask("POST", "/api/v1/auth/token", "", R"({"refresh_token":"llr_wrong"})");
    }
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/auth/token", "", R"({"refresh_token":"llr_wrong"})")), "429");
    EXPECT_EQ(status_of(co_await t.ask("POST", "/api/v1/auth/token", "", fmt::format(R"({{"api_key":"{}"}})", key))),
              "429");
  };
  t.api.run(body());
}

TEST(Tokens, PublicKeysAndWhoOneIs) {
  ProtectedApi t;
  const auto [key, id] = t.make_key("user", R"(,"models":["m","up/*"])");
  auto body = [&]() -> Task<void> {
    const auto keys = co_await t.ask("GET", "/.well-known/jwks.json", "");
    EXPECT_EQ(field_of(keys, "Content-Type"), "application/jwk-set+json");
    EXPECT_THAT(body_of(keys), AllOf(HasSubstr(R"("keys":[)"), Not(HasSubstr(R"("d":)"))));
    const auto me = object_of(co_await t.ask("GET", "/api/v1/auth/me", key));
    EXPECT_EQ(text(me, "id"), "key:" + id);
    EXPECT_EQ(text(me, "kind"), "key");
    EXPECT_EQ(text(me, "project"), "default");
    EXPECT_EQ(json::write(me.at("models")), R"(["m","up/*"])");
    EXPECT_THAT(json::write(me.at("permissions")), AllOf(HasSubstr("generate"), Not(HasSubstr("admin"))));
    t.api.peer = {.unix_socket = true, .address = "unix"};
    EXPECT_THAT(co_await t.ask("GET", "/api/v1/auth/me", ""),
                AllOf(HasSubstr(R"("kind":"local")"), HasSubstr("admin"), HasSubstr(R"("models":["*"])")));
  };
  t.api.run(body());
}

TEST(Models, OnlyThoseThatOneMayUse) {
  ProtectedApi t;
  const auto [all, all_id] = t.make_key("user");
  const auto [none, none_id] = t.make_key("user", R"(,"models":["other*"])");
  auto body = [&]() -> Task<void> {
    EXPECT_THAT(co_await t.ask("GET", "/v1/models", all), HasSubstr(R"("id":"m")"));
    EXPECT_THAT(co_await t.ask("GET", "/v1/models", none), HasSubstr(R"("data":[])"));
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models/m", all)), "200");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models/m", none)), "403");
    EXPECT_EQ(status_of(co_await t.ask("GET", "/v1/models/nobody", none)), "403") << "as for one that exists";
  };
  t.api.run(body());
}

}  // namespace
}  // namespace llm::api
