#include "mcp/http/request_headers.h"

#include <gtest/gtest.h>

#include "json/json.h"
#include "mcp/example_tools.h"
#include "mcp/http/origin_check.h"
#include "mcp/http/replay_buffer.h"
#include "mcp/http/server_card.h"

namespace llm::mcp {
namespace {

TEST(RequestHeaders, NumbersAreComparedAsNumbers) {
  for (const auto* same : {"42", "42.0", "4.2e1", " 42 ", "=?base64?NDI=?="}) {
    EXPECT_EQ(compare_header(same, std::int64_t{42}), HeaderMatch::kEqual) << same;
  }
  for (const auto* other : {"43", "", "+42", "0x2A", "42.", ".42e2", "4,2", "42 1", "nan", "inf"}) {
    EXPECT_EQ(compare_header(other, std::int64_t{42}), HeaderMatch::kDifferent) << other;
  }
  EXPECT_EQ(compare_header("9007199254740993", std::int64_t{9007199254740992}), HeaderMatch::kDifferent);
  EXPECT_EQ(compare_header("0.5", 0.5), HeaderMatch::kEqual);
  EXPECT_EQ(compare_header("=?base64?!?=", 0.5), HeaderMatch::kBadEncoding);
  EXPECT_EQ(compare_header("=?base64?/w==?=", std::string_view("\xFF")), HeaderMatch::kBadEncoding);  // no UTF-8
  EXPECT_EQ(compare_header("=?base64?"
                           "?=",
                           std::string_view()),
            HeaderMatch::kEqual);
}

TEST(OriginCheck, OnlyThisMachine) {
  for (const auto* host : {"localhost", "localhost:3000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:80"}) {
    EXPECT_TRUE(loopback_only(host, std::nullopt)) << host;
    EXPECT_TRUE(loopback_only(host, "http://" + std::string(host))) << host;
    EXPECT_FALSE(loopback_only(host, host)) << host;  // an origin has a scheme
  }
  for (const auto* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1].evil.example",
                           "[::1", "", "evil.example:80"}) {
    EXPECT_FALSE(loopback_only(host, std::nullopt)) << host;
    EXPECT_FALSE(loopback_only("localhost", "https://" + std::string(host))) << host;
  }
  EXPECT_FALSE(loopback_only("localhost", "null"));
  EXPECT_TRUE(loopback_only(std::nullopt, std::nullopt));
}

TEST(ReplayBuffer, KeepsTheNewest) {
  ReplayBudget budget{1000};
  ReplayBuffer buffer(400, budget);
  for (std::uint64_t i = 1; i <= 10; ++i) buffer.add({3, i}, "hello");
  EXPECT_LE(buffer.bytes(), 400U);
  EXPECT_EQ(budget.used, buffer.bytes());
  std::uint64_t last = 0;
  buffer.after({3, 8}, [&last](EventId id, const std::string&) {
    EXPECT_GT(id.position, 8U);
    last = id.position;
  });
  EXPECT_EQ(last, 10U);
  buffer.add({4, 1}, std::string(600, 'x'));  // longer than allowed, but the newest
  EXPECT_FALSE(buffer.holds(3));
  EXPECT_TRUE(buffer.holds(4));
  buffer.add({5, 1}, std::string(2000, 'x'));  // more than all may have together
  EXPECT_EQ(buffer.bytes(), 0U);
  EXPECT_EQ(budget.used, 0U);
}

TEST(EventId, IsRead) {
  EXPECT_EQ(EventId::parse(EventId(3, 17).text()), EventId(3, 17));
  for (const auto* wrong : {"", "3", "3-", "-3", "a-1", "3-1-2", "3 -1", "99999999999999999999-1"}) {
    EXPECT_EQ(EventId::parse(wrong), std::nullopt) << wrong;
  }
}

TEST(ServerCard, NamesTheServerAndWhereItIs) {
  const Server server(example::server_info());
  const Publisher publisher{.domain = "api.example.com", .base_url = "https://api.example.com"};
  const auto card = json::parse(server_card(server, publisher)).value().get_object();
  EXPECT_EQ(json::string_or(card, "name"), "com.example.api/example");
  EXPECT_EQ(json::string_or(card, "version"), "1.2.3");
  EXPECT_EQ(json::string_or(card.at("remotes").at(0).get_object(), "url"), "https://api.example.com/mcp");
  const auto catalog = json::parse(ai_catalog(server, publisher)).value().get_object();
  const auto& entry = catalog.at("entries").at(0).get_object();
  EXPECT_EQ(json::string_or(entry, "identifier"), "urn:air:api.example.com:mcp:example");
  EXPECT_EQ(json::string_or(entry, "url"), "https://api.example.com/mcp/server-card");
  EXPECT_EQ(json::string_or(entry, "type"), kServerCardType);
}

}  // namespace
}  // namespace llm::mcp
