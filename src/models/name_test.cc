#include "models/name.h"

#include <gtest/gtest.h>

namespace llm::models {
namespace {

TEST(Name, Accepts) {
  const struct {
    std::string_view text;
    ModelName expected;
  } kTable[] = {
      {"a", {"a", "latest"}},
      {"smollm2", {"smollm2", "latest"}},
      {"smollm2:135m", {"smollm2", "135m"}},
      {"smollm2:Q4_K_M", {"smollm2", "Q4_K_M"}},
      {"org/model", {"org/model", "latest"}},
      {"org/model-2.5_x:v1.0", {"org/model-2.5_x", "v1.0"}},
      {"0model:_x", {"0model", "_x"}},
      {"mODEL", {"mODEL", "latest"}},
  };
  for (const auto& row : kTable) {
    const auto name = parse_model_name(row.text);
    ASSERT_TRUE(name) << row.text << ": " << name.error().message;
    EXPECT_EQ(*name, row.expected);
    EXPECT_EQ(*parse_model_name(to_string(*name)), *name);
    EXPECT_EQ(*decode_name(encode_name(name->name)), name->name);
    EXPECT_EQ(encode_name(name->name).find('/'), std::string::npos);
  }
  EXPECT_TRUE(parse_model_name(std::string(128, 'a')));
  EXPECT_TRUE(parse_model_name("a:" + std::string(128, 'a')));
}

TEST(Name, RefusesAttacks) {
  using namespace std::string_literals;
  for (const std::string& text : {
           ""s,
           ":"s,
           "a:"s,
           ":a"s,
           "a:b:c"s,
           "/"s,
           "/a"s,
           "a/"s,
           "a//b"s,
           "a/b/c"s,
           "."s,
           ".."s,
           "../a"s,
           "a/.."s,
           "a/../b"s,
           "..a"s,
           "a..b"s,
           "a:.."s,
           "a:../../etc/passwd"s,
           "a:b/c"s,
           ".hidden"s,
           "a/.b"s,
           "a:.b"s,
           "-rf"s,
           "a/-b"s,
           "a:-b"s,
           "a\0b"s,
           "a\0"s,
           "a:b\0"s,
           "a\\b"s,
           "..\\a"s,
           "%2e%2e%2fa"s,
           "a%2Fb"s,
           "a%00"s,
           "\xc0\xae\xc0\xae/a"s,
           "\xef\xbc\x8e\xef\xbc\x8e/a"s,
           "mod\xc3\xa8le"s,
           "a\xe2\x80\x8b"s,
           "a b"s,
           " a"s,
           "a "s,
           "a\n"s,
           "a\tb"s,
           "a\r\nX: y"s,
           "~a"s,
           "$HOME"s,
           "`id`"s,
           "a;b"s,
           "a|b"s,
           "a*b"s,
           "a?b"s,
           "C:/a"s,
           "A"s,
           "Qwen/x"s,
           "_a"s,
           "@a"s,
           "a@b"s,
           "latest.json/../../x"s,
           "a\x7f"s,
           "a\x1b[2J"s,
           "\"a\""s,
           "<a>"s,
           std::string(129, 'a'),
           "a:" + std::string(129, 'a'),
           std::string(1 << 20, 'a'),
       }) {
    const auto name = parse_model_name(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, ErrorCode::kInvalidArgument);
    for (const char c : name.error().message) {
      EXPECT_TRUE(c >= ' ' && c < 0x7F) << "raw bytes of the attack in the message";
    }
    EXPECT_LT(name.error().message.size(), 200u);
  }
}

TEST(Name, DecodesOnlyWhatItEncoded) {
  for (const std::string_view component : {"%2F", "a%2F", "%2Fa", "a%2Fb%2Fc", "a%2fb", "a%2E", "..", ".tmp-1", "a%"}) {
    EXPECT_FALSE(decode_name(component)) << component;
  }
}

TEST(Name, SuggestsValidNames) {
  EXPECT_EQ(suggest_name("SmolLM2 135M.Q4_1.gguf"), "smollm2-135m.q4_1");
  EXPECT_EQ(suggest_name("a/b/Model..x.GGUF"), "model.x");
  EXPECT_EQ(suggest_name("..."), "model");
  EXPECT_EQ(suggest_name(""), "model");
  for (const std::string& text :
       {std::string("--x"), std::string("\xff\xfe"), std::string(500, 'Z'), std::string("é")}) {
    EXPECT_TRUE(parse_plain_name(suggest_name(text))) << text;
  }
}

}  // namespace
}  // namespace llm::models
