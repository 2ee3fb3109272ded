#include "access/host_policy.h"

#include <gtest/gtest.h>

namespace llm::access {
namespace {

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
