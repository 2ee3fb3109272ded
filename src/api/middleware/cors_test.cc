#include "api/middleware/cors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "api/access_under_test.h"

namespace llm::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kPage = "https://chat.example";

std::string preflight(std::string_view target, std::string_view origin, std::string_view more = "") {
  return fmt::format("OPTIONS {} HTTP/1.1\r\nHost: localhost\r\nOrigin: {}\r\nAccess-Control-Request-Method: POST{}",
                     target, origin, more);
}

TEST(Cors, OffUnlessOriginsAreListed) {
  ApiUnderTest t;
  auto body = [&]() -> Task<void> {
    const auto loopback = co_await t.ask("GET /livez HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000");
    EXPECT_EQ(status_of(loopback), "200");
    EXPECT_THAT(loopback, Not(HasSubstr("Access-Control")));
    const auto asked = co_await t.ask(preflight("/v1/embeddings", "http://localhost:3000"));
    EXPECT_EQ(status_of(asked), "405");
    EXPECT_THAT(asked, Not(HasSubstr("Access-Control")));
    EXPECT_EQ(status_of(co_await t.ask(preflight("/v1/embeddings", kPage))), "403");
  };
  t.run(body());
}

TEST(Cors, ForListedOrigins) {
  ApiUnderTest t(make_routes(), {}, {std::string(kPage)});
  auto body = [&]() -> Task<void> {
    const auto asked = co_await t.ask(preflight("/v1/embeddings", kPage));
    EXPECT_EQ(status_of(asked), "204");
    EXPECT_EQ(field_of(asked, "Access-Control-Allow-Origin"), kPage);
    EXPECT_EQ(field_of(asked, "Access-Control-Allow-Methods"), "POST");
    EXPECT_THAT(field_of(asked, "Access-Control-Allow-Headers"), HasSubstr("Authorization"));
    EXPECT_EQ(field_of(asked, "Access-Control-Max-Age"), "600");
    EXPECT_EQ(field_of(asked, "Vary"), "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    EXPECT_EQ(field_of(asked, "Access-Control-Allow-Credentials"), "");
    EXPECT_EQ(field_of(asked, "Access-Control-Allow-Private-Network"), "");
    EXPECT_EQ(body_of(asked), "");

    const auto sdk = co_await t.ask(preflight(
        "/v1/embeddings", kPage, "\r\nAccess-Control-Request-Headers: authorization,content-type,x-stainless-os"));
    EXPECT_EQ(field_of(sdk, "Access-Control-Allow-Headers"), "authorization,content-type,x-stainless-os");
    const auto odd =
        co_await t.ask(preflight("/v1/embeddings", kPage, "\r\nAccess-Control-Request-Headers: a\"b; c=d"));
    EXPECT_THAT(field_of(odd, "Access-Control-Allow-Headers"), Not(HasSubstr("\"")));
    const auto inside =
        co_await t.ask(preflight("/v1/embeddings", kPage, "\r\nAccess-Control-Request-Private-Network: true"));
    EXPECT_EQ(field_of(inside, "Access-Control-Allow-Private-Network"), "true");
    EXPECT_EQ(status_of(co_await t.ask(preflight("/nowhere", kPage))), "404");

    const auto plain = co_await t.ask(fmt::format("GET /livez HTTP/1.1\r\nHost: localhost\r\nOrigin: {}", kPage));
    EXPECT_EQ(field_of(plain, "Access-Control-Allow-Origin"), kPage);
    EXPECT_EQ(field_of(plain, "Vary"), "Origin");
    EXPECT_THAT(field_of(plain, "Access-Control-Expose-Headers"), HasSubstr("X-Request-Id"));
    // An error is for the page to read, too.
    const auto error = co_await t.ask(fmt::format("GET /nowhere HTTP/1.1\r\nHost: localhost\r\nOrigin: {}", kPage));
    EXPECT_EQ(field_of(error, "Access-Control-Allow-Origin"), kPage);
    // No origin, or a loopback page: nothing is allowed, but caches are told that it depends.
    const auto other = co_await t.ask("GET /livez HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000");
    EXPECT_EQ(field_of(other, "Access-Control-Allow-Origin"), "");
    EXPECT_EQ(field_of(other, "Vary"), "Origin");
    EXPECT_EQ(field_of(co_await t.get("/livez"), "Vary"), "Origin");
  };
  t.run(body());
}

// Preflights carry no credentials; what follows them does.
TEST(Cors, APreflightNeedsNoTokenAndTheRequestDoes) {
  ProtectedApi t({}, {std::string(kPage)});
  auto body = [&]() -> Task<void> {
    EXPECT_EQ(status_of(co_await t.api.ask(preflight("/v1/embeddings", kPage))), "204");
    const auto answer = co_await t.api.ask(
        fmt::format("POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nOrigin: {}",
                    kPage),
        "{}");
    EXPECT_EQ(status_of(answer), "401");
    EXPECT_EQ(field_of(answer, "Access-Control-Allow-Origin"), kPage);
  };
  t.api.run(body());
}

}  // namespace
}  // namespace llm::api
