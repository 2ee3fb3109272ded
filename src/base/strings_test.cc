#include "base/strings.h"

#include <gtest/gtest.h>
#include <limits>

namespace llm {
namespace {

TEST(Strings, Compare) {
  EXPECT_TRUE(iequals("Content-Length", "cONTENT-lENGTH"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_FALSE(iequals("[", "{")) << "only letters have a case";
  EXPECT_FALSE(iequals("\xc3\x84", "\xc3\xa4")) << "ASCII only";
  EXPECT_EQ(to_lower("ABCxyz-\xc3\x84"), "abcxyz-\xc3\x84");
}

TEST(Strings, TrimAndSplit) {
  EXPECT_EQ(trim(" \t a b\t "), "a b");
  EXPECT_EQ(trim(" \t"), "");
  EXPECT_EQ(trim("\n"), "\n");
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string_view>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), std::vector<std::string_view>{""});
}

TEST(Strings, Numbers) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_number<std::uint8_t>("255"), 255);
  for (const std::string_view bad : {"", "+1", " 1", "1 ", "0x1", "1_0", "1.0", "1e3", "256", "-1", "a"}) {
    EXPECT_FALSE(parse_number<std::uint8_t>(bad)) << bad;
  }
}

TEST(Strings, NearestNames) {
  const std::vector<std::string> names{"server", "access", "models", "engines", "providers", "routing"};
  EXPECT_EQ(nearest("sever", names), std::vector<std::string>{"server"});
  EXPECT_EQ(nearest("MODELS", names), std::vector<std::string>{"models"});
  EXPECT_EQ(nearest("model", names), std::vector<std::string>{"models"});
  EXPECT_EQ(nearest("pro", names), std::vector<std::string>{"providers"}) << "a prefix counts";
  EXPECT_EQ(nearest("zzzzzz", names), std::vector<std::string>{});
  EXPECT_EQ(nearest("abc", std::vector<std::string>{"abd", "abc", "xbc", "abcd"}, 2),
            (std::vector<std::string>{"abc", "abcd"}))
      << "the best first, no more than asked for";
  EXPECT_EQ(nearest("x", {}), std::vector<std::string>{});
}

TEST(Strings, Utf8) {
  for (const std::string_view good :
       {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf",
        "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}) {
    EXPECT_TRUE(valid_utf8(good)) << good;
  }
  EXPECT_TRUE(valid_utf8(std::string_view("a\0b", 3)));
  for (const std::string_view bad :
       {"\x80", "\xbf", "\xc3", "\xc3(", "\xe2\x82", "\xf0\x9f\x98", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80",
        "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff", "\xfe", "a\xc3\xa4\x80", "\xe2\x28\xa1"}) {
    EXPECT_FALSE(valid_utf8(bad)) << bad;
  }
}

TEST(Strings, Utf8PrefixesAreNotCut) {
  const std::string_view text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const auto prefix = text.substr(0, cut);
    const auto kept = utf8_complete_prefix(prefix);
    EXPECT_LE(kept, cut);
    EXPECT_LT(cut - kept, 4U);
    EXPECT_TRUE(valid_utf8(prefix.substr(0, kept))) << cut;
  }
  EXPECT_EQ(utf8_complete_prefix(text), text.size());
  EXPECT_EQ(utf8_complete_prefix("a\xc3"), 1U);
  EXPECT_EQ(utf8_complete_prefix("\x80\x80\x80\x80"), 4U) << "what is malformed is not held back";
  EXPECT_EQ(utf8_complete_prefix("a\xff"), 2U);
}

TEST(Strings, Bytes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1536ULL << 20), "1.5 GiB");
  EXPECT_EQ(format_bytes(1ULL << 62), "4194304.0 TiB");
  EXPECT_EQ(parse_bytes("1000000"), 1000000U);
  EXPECT_EQ(parse_bytes("512MiB"), 512U << 20);
  EXPECT_EQ(parse_bytes(" 8 GiB "), 8ULL << 30);
  EXPECT_EQ(parse_bytes("1.5k"), 1536U);
  EXPECT_EQ(parse_bytes("2 MB"), 2000000U);
  EXPECT_EQ(parse_bytes("1tb"), 1000000000000U);
  EXPECT_EQ(parse_bytes("0"), 0U);
  for (const std::string_view bad :
       {"", "x", "-1", "-1 GiB", "1 XB", "1 Gi B", "nan", "inf", "1e30", "9999999 TiB", "1,5", "MiB"}) {
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  }
}

TEST(Strings, Durations) {
  EXPECT_EQ(parse_duration_ms("5m"), 300'000);
  EXPECT_EQ(parse_duration_ms("1h30m"), 5'400'000);
  EXPECT_EQ(parse_duration_ms("250ms"), 250);
  EXPECT_EQ(parse_duration_ms("-1"), -1);
  EXPECT_EQ(parse_duration_ms("20"), 20'000);
  EXPECT_EQ(parse_duration_ms("1.5s"), 1500);
  EXPECT_EQ(parse_duration_ms("2d"), 172'800'000);
  EXPECT_EQ(parse_duration_ms("0"), 0);
  for (const std::string_view bad : {"", " ", "m", "5x", "-5", "-1s", "5 m", "1h-3m", "1e300d", "nan", "inf", "5mm"}) {
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
  }
  EXPECT_EQ(format_duration_ms(250), "250 ms");
  EXPECT_EQ(format_duration_ms(1500), "1.5 s");
  EXPECT_EQ(format_duration_ms(61'000), "1 min 1 s");
  EXPECT_EQ(format_duration_ms(5'400'000), "1 h 30 min");
}

TEST(Strings, Hex) {
  const unsigned char bytes[] = {0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(hex(bytes), "000fa5ff");
  EXPECT_EQ(hex({}), "");
}

}  // namespace
}  // namespace llm
