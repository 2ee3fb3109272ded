#include "net/base64.h"

#include <gtest/gtest.h>
#include <string>

namespace llm {
namespace {

TEST(Base64, TheVectorsOfTheRfc) {  // RFC 4648 section 10
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
    EXPECT_EQ(base64url_decode(base64url_encode(bytes)), bytes);
  }
  EXPECT_EQ(base64_encode("\xFB\xFF"), "+/8=");
  EXPECT_EQ(base64url_encode("\xFB\xFF"), "-_8");
}

TEST(Base64, TakesOnlyWhatTheEncoderMakes) {
  for (const auto* text : {"Zg", "Zg=", "Zg===", "Zh==", "Z g=", " Zg==", "Zg==\n", "====", "Z===", "Zg-_"}) {
    EXPECT_FALSE(base64_decode(text)) << text;
  }
  for (const auto* text : {"Zg==", "+/8", "Zh", "Z"}) EXPECT_FALSE(base64url_decode(text)) << text;
}

}  // namespace
}  // namespace llm
