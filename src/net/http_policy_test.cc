#include "net/http_policy.h"

#include <gtest/gtest.h>

namespace llm::net {
namespace {

TEST(HttpPolicy, Hosts) {
  for (const std::string_view good : {"a", "a.b-c_d", "A:80", "127.0.0.1", "127.0.0.1:0", "[::1]",
                                      "[::ffff:1.2.3.4]:80", "localhost:65535", "x--1.example"}) {
    EXPECT_TRUE(valid_host(good)) << good;
  }
  for (const std::string_view bad :
       {"",       ":80",     "a:",           "a:x",    "a:65536", "a:-1",        "a:+1", "a:80:80", "a b", "a/b",
        "a?b",    "a#b",     "a\\b",         "u@a",    "a,b",     "[",           "[]",   "[::1",    "::1", "[::1]x",
        "[::1]:", "[::1]:x", "[::1%25eth0]", "[a.b!]", "a\t",     "caf\xc3\xa9", "a%41", "*"}) {
    EXPECT_FALSE(valid_host(bad)) << bad;
  }
  EXPECT_TRUE(valid_host(std::string(255, 'a')));
  EXPECT_FALSE(valid_host(std::string(256, 'a')));
}

TEST(HttpPolicy, TheScanFindsTheEndOfAHead) {
  EXPECT_EQ(scan_head("a\r\n\r\nbody", 0, 100).size, 5U);
  EXPECT_EQ(scan_head("a\r\n\r", 0, 100).size, 0U);
  EXPECT_FALSE(scan_head("a\r\n\r", 0, 100).violation);
  EXPECT_EQ(scan_head("a\r\n\r\n", 4, 100).size, 5U) << "where it went on";
  EXPECT_EQ(scan_head("a\r\n\r\n", 0, 5).size, 5U) << "at the limit";
  EXPECT_EQ(scan_head("a\r\n\r\n", 0, 4).violation->status, 431) << "one past the limit";
  EXPECT_EQ(scan_head("", 0, 0).size, 0U);
}

TEST(HttpPolicy, TheScanRefusesAtTheByteThatIsWrong) {
  const auto reason = [](std::string_view bytes) {
    auto scan = scan_head(bytes, 0, 100);
    return scan.violation ? scan.violation->reason : "";
  };
  EXPECT_EQ(reason("a\rb"), "bare CR in the header");
  EXPECT_EQ(reason("a\r\r"), "bare CR in the header");
  EXPECT_EQ(reason("a\n"), "bare LF in the header");
  EXPECT_EQ(reason("\n"), "bare LF in the header");
  EXPECT_EQ(reason("a\r\n "), "folded header line (obs-fold)");
  EXPECT_EQ(reason("a\r\n\t"), "folded header line (obs-fold)");
  EXPECT_EQ(reason(std::string_view("\0", 1)), "control byte in the header");
  EXPECT_EQ(reason("\x7f"), "control byte in the header");
  EXPECT_EQ(reason("a \t\x80\xff"), "");
  EXPECT_EQ(reason("a\r"), "");
}

Headers headers(std::initializer_list<Headers::Field> fields) {
  Headers all;
  for (const auto& field : fields) all.add(field.name, field.value);
  return all;
}

TEST(HttpPolicy, Targets) {
  const auto status = [](std::string_view method, std::string_view target) {
    const auto violation = check_request(method, target, 11, headers({{"Host", "h:8080"}}));
    return violation ? violation->status : 200;
  };
  for (const std::string_view good :
       {"/", "/a?b=c&d", "//a", "/%2e%2e/", "/;x", "http://h:8080", "http://H:8080?x", "HTTPS://h:8080/a"}) {
    EXPECT_EQ(status("GET", good), 200) << good;
  }
  for (const std::string_view bad : {"", "*", "a", "?x", "h:8080", "http://", "http://h", "http://h:8080.evil/",
                                     "http://h:8080@evil/", "/a b", "/a\x80", "/#", "ws://h:8080/"}) {
    EXPECT_EQ(status("GET", bad), 400) << bad;
  }
  EXPECT_EQ(status("OPTIONS", "*"), 200);
}

TEST(HttpPolicy, FramingOfResponses) {
  EXPECT_FALSE(check_response(11, headers({{"Content-Length", "0"}})));
  EXPECT_FALSE(check_response(11, headers({{"Transfer-Encoding", "Chunked"}})));
  EXPECT_FALSE(check_response(10, headers({})));
  EXPECT_TRUE(check_response(10, headers({{"Transfer-Encoding", "chunked"}})));
  EXPECT_TRUE(check_response(11, headers({{"content-length", "1"}, {"Content-Length", "1"}})));
  EXPECT_TRUE(check_response(11, headers({{"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}})));
}

TEST(Headers, AreComparedWithoutCaseAndKeepTheirOrder) {
  Headers all;
  all.add("Accept", "a, B ,c");
  all.add("X", "1");
  all.add("accept", "d");
  EXPECT_EQ(all.get("ACCEPT"), "a, B ,c");
  EXPECT_EQ(all.count("Accept"), 2U);
  EXPECT_TRUE(all.has_token("accept", "b"));
  EXPECT_TRUE(all.has_token("accept", "D"));
  EXPECT_FALSE(all.has_token("accept", ""));
  EXPECT_FALSE(all.get("y"));
  all.set("Accept", *all.get("accept"));  // from its own bytes
  EXPECT_EQ(all.count("accept"), 1U);
  EXPECT_EQ(all.get("accept"), "a, B ,c");
  EXPECT_EQ(all.at(0).name, "X");
  all.clear();
  EXPECT_EQ(all.size(), 0U);
}

}  // namespace
}  // namespace llm::net
