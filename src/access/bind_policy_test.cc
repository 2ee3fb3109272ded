#include "access/bind_policy.h"

#include <gtest/gtest.h>

namespace llm::access {
namespace {

TEST(BindPolicy, BeyondLoopbackOnlyWithAnAdminKey) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1", "[::1]"}) {
    EXPECT_TRUE(check_bind_address(host, false)) << host;
    EXPECT_TRUE(check_bind_address(host, true)) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "[::]", "192.168.1.5", "10.0.0.1", "example.com", "", "127.0.0.1.evil.com",
                           "2130706433", "0x7f.1"}) {
    const auto result = check_bind_address(host, false);
    ASSERT_FALSE(result) << host;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(result.error().pointer, "/server/host");
    // The message is the way out.
    EXPECT_NE(result.error().message.find("llm-mcp keys create --name admin --role admin"), std::string::npos);
    EXPECT_TRUE(check_bind_address(host, true)) << host;
  }
}

}  // namespace
}  // namespace llm::access
