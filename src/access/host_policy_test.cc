#include "access/host_policy.h"

#include <gtest/gtest.h>

#include "access/bind_policy.h"

namespace llm::access {
namespace {

TEST(BindPolicy, OnlyLoopbackIsAllowedWithoutAuthentication) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1", "[::1]"}) {
    EXPECT_TRUE(check_bind_address(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "[::]", "192.168.1.5", "10.0.0.1", "example.com", "", "127.0.0.1.evil.com",
                           "2130706433", "0x7f.1"}) {
    const auto result = check_bind_address(host);
    ASSERT_FALSE(result) << host;
    EXPECT_EQ(result.error().pointer, "/server/host");
  }
}

struct Case {
  const char* host;
  const char* origin;
  bool allowed;
};

TEST(HostPolicy, Table) {
  const HostPolicy policy({"gpu.lan", "proxy.lan:8443"}, {"https://chat.example"});
  const Case cases[] = {
      {"127.0.0.1:10833", nullptr, true},
      {"localhost", nullptr, true},
      {"LocalHost:1", nullptr, true},
      {"[::1]:10833", nullptr, true},
      {"127.8.8.8", nullptr, true},
      {"gpu.lan", nullptr, true},
      {"GPU.lan:99", nullptr, true},
      {"proxy.lan:8443", nullptr, true},
      {"proxy.lan:1", nullptr, false},
      {nullptr, nullptr, true},
      {"evil.example", nullptr, false},
      {"0.0.0.0:10833", nullptr, false},
      {"localhost.evil.example", nullptr, false},
      {"127.0.0.1.evil.example", nullptr, false},
      {"[::2]", nullptr, false},
      {"localhost", "http://localhost:3000", true},
      {"localhost", "http://127.0.0.1", true},
      {"localhost", "http://[::1]:5", true},
      {"localhost", "https://chat.example", true},
      {"localhost", "https://chat.example.evil.example", false},
      {"localhost", "http://evil.example", false},
      {"localhost", "http://localhost.evil.example", false},
      {"localhost", "null", false},
      {"localhost", "file://", false},
      {"localhost", "", false},
  };
  for (const auto& c : cases) {
    const auto host = c.host ? std::optional<std::string_view>(c.host) : std::nullopt;
    const auto origin = c.origin ? std::optional<std::string_view>(c.origin) : std::nullopt;
    EXPECT_EQ(policy.check(host, origin).has_value(), c.allowed) << host.value_or("-") << " " << origin.value_or("-");
  }
}

}  // namespace
}  // namespace llm::access
