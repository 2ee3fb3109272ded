#include "mcp/request_state.h"

#include <gtest/gtest.h>
#include <string>

namespace llm::mcp {
namespace {

using namespace std::chrono_literals;

TEST(RequestState, ComesBackAsItWas) {
  const RequestState states("secret", 1h);
  for (const std::string state :
       {std::string(), std::string("a:b"), std::string("\0\xFF", 2), std::string(5000, 'x')}) {
    EXPECT_EQ(states.open(states.seal(state, "ada", "tools/call"), "ada", "tools/call"), state);
  }
}

TEST(RequestState, IsGoodForItsPrincipalRequestAndSecretOnly) {
  const RequestState states("secret", 1h);
  const std::string sealed = states.seal("state", "ada", "tools/call");
  EXPECT_EQ(states.open(sealed, "bob", "tools/call").error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(states.open(sealed, "ada", "prompts/get"));
  EXPECT_FALSE(states.open(sealed, "adat", "ools/call"));  // the same text, cut elsewhere
  EXPECT_FALSE(RequestState("other", 1h).open(sealed, "ada", "tools/call"));
  EXPECT_FALSE(RequestState("", 1h).open(RequestState("", 1h).seal("s", "", ""), "", ""));  // each has its own
  EXPECT_TRUE(RequestState("secret", 1s).open(sealed, "ada", "tools/call"));                // the time is in the state
}

TEST(RequestState, NoByteCanBeChanged) {
  const RequestState states("secret", 1h);
  const std::string sealed = states.seal("state", "ada", "tools/call");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(states.open(changed, "ada", "tools/call")) << i;
  }
  EXPECT_FALSE(states.open("", "ada", "tools/call"));
  EXPECT_FALSE(states.open(sealed.substr(0, 20), "ada", "tools/call"));
}

TEST(RequestState, Expires) {
  const RequestState states("secret", -1s);
  EXPECT_FALSE(states.open(states.seal("state", "ada", "tools/call"), "ada", "tools/call"));
}

}  // namespace
}  // namespace llm::mcp
