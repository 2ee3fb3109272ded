#include "json/schema_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace llm::json::rules {
namespace {

using testing::HasSubstr;

bool matches(std::string_view pattern, std::string_view text) {
  const auto compiled = Pattern::compile(pattern);
  EXPECT_TRUE(compiled) << pattern << ": " << compiled.error().message;
  return compiled && compiled->matches(text);
}

struct Case {
  std::string_view pattern;
  std::string_view fits;
  std::string_view fails;
};

class SchemaPattern : public testing::TestWithParam<Case> {};

TEST_P(SchemaPattern, MatchesAsEcma262Says) {
  EXPECT_TRUE(matches(GetParam().pattern, GetParam().fits));
  EXPECT_FALSE(matches(GetParam().pattern, GetParam().fails));
}

INSTANTIATE_TEST_SUITE_P(Syntax, SchemaPattern,
                         testing::Values(Case{"b+", "abba", "aca"},                        // not anchored
                                         Case{"^a$", "a", "a\n"},                          // $ is the very end
                                         Case{"^.$", "\xF0\x9F\x98\x80", "\xE2\x80\xA8"},  // no line separator
                                         Case{"^\\s$", "\xC2\xA0", "x"},                   // no-break space
                                         Case{"^[\\S]$", "x", "\xEF\xBB\xBF"},             // byte order mark
                                         Case{"^\\w$", "_", "\xC3\xA9"},                   // ASCII only
                                         Case{"^\\cJ$", "\n", "J"},                        //
                                         Case{"^\\u00e9\\x41\\u{1F600}$",
                                              "\xC3\xA9"
                                              "A\xF0\x9F\x98\x80",
                                              "e"},
                                         Case{"^\\ud83d\\ude00$", "\xF0\x9F\x98\x80", ""},  //
                                         Case{"^\\p{Letter}\\P{gc=Lu}$", "Aa", "AA"},       //
                                         Case{"^\\p{Script=Greek}+$", "\xCE\xB1", "a"},     //
                                         Case{"^[\\p{ASCII}]$", "a", "\xC3\xA9"},           //
                                         Case{"^[^]$", "\n", ""},                           //
                                         Case{"a|[]", "a", "b"},                            //
                                         Case{"^[a-c-e]$", "-", "d"},                       //
                                         Case{"^[\\w-.]$", "-", "+"},                       //
                                         Case{"^[[]]$", "[]", "["},                         // a class of one bracket
                                         Case{"^[\\b]$", "\b", "b"},                        //
                                         Case{"^(?<year>\\d{4})-(?:0[1-9]|1[0-2])$", "2026-11", "2026-13"},
                                         Case{"^(?i:ab)c$", "ABc", "ABC"},    //
                                         Case{"^a{,2}$", "a{,2}", "aa"},      // no quantifier
                                         Case{"^{}\\/\\-\\_$", "{}/-_", ""},  //
                                         Case{"^a+?b??$", "aab", "aabb"}));

INSTANTIATE_TEST_SUITE_P(Lookahead, SchemaPattern,
                         testing::Values(Case{"^(?!admin$)[a-z]+$", "administrator", "admin"},
                                         Case{"^(?=.*\\d)(?=.*[a-z]).{4,}$", "abc1", "abcd"},
                                         Case{"^(?![)(])x", "x", "("}, Case{"^(?!a)", "b", "a"}));

TEST(SchemaPatternRepeats, LargeOnesAreCountedExactly) {
  for (const auto* pattern : {"^x{3,2500}$", "^(?:x{1,50}){1,50}$", "^(?:x{1,50}){1,25}x{0,1250}$"}) {
    EXPECT_TRUE(matches(pattern, std::string(2500, 'x'))) << pattern;
    EXPECT_TRUE(matches(pattern, std::string(1001, 'x'))) << pattern;
    EXPECT_FALSE(matches(pattern, std::string(2501, 'x'))) << pattern;
  }
  EXPECT_TRUE(matches("^x{1500,}$", std::string(1500, 'x')));
  EXPECT_FALSE(matches("^x{1500,}$", std::string(1499, 'x')));
  EXPECT_TRUE(matches("^x{1500}$", std::string(1500, 'x')));
  EXPECT_FALSE(matches("^x{1500}$", std::string(1501, 'x')));
  EXPECT_TRUE(matches("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.){1,127}[a-z]{2,63}$", "api.example.com"));
}

struct Wrong {
  std::string_view pattern;
  ErrorCode code;
  std::string_view reason;
};

class SchemaPatternError : public testing::TestWithParam<Wrong> {};

TEST_P(SchemaPatternError, SaysWhy) {
  const auto compiled = Pattern::compile(GetParam().pattern);
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code, GetParam().code);
  EXPECT_THAT(compiled.error().message, HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(All, SchemaPatternError,
                         testing::Values(Wrong{"*a", ErrorCode::kInvalidArgument, "nothing to repeat"},
                                         Wrong{"a**", ErrorCode::kInvalidArgument, "a repetition of a repetition"},
                                         Wrong{"^*", ErrorCode::kInvalidArgument, "an assertion"},
                                         Wrong{"(a", ErrorCode::kInvalidArgument, "a ( without its )"},
                                         Wrong{"a)", ErrorCode::kInvalidArgument, "a ) without its ("},
                                         Wrong{"[a", ErrorCode::kInvalidArgument, "a [ without its ]"},
                                         Wrong{"[b-a]", ErrorCode::kInvalidArgument, "wrong order"},
                                         Wrong{"a{2,1}", ErrorCode::kInvalidArgument, "wrong order"},
                                         Wrong{"a{99999}", ErrorCode::kInvalidArgument, "more than 10000"},
                                         Wrong{"((a{100}){100}){100}", ErrorCode::kInvalidArgument, "too large"},
                                         Wrong{"\\Z", ErrorCode::kInvalidArgument, "\\Z is no escape"},
                                         Wrong{"\\", ErrorCode::kInvalidArgument, "a backslash at the end"},
                                         Wrong{"\\ud800", ErrorCode::kInvalidArgument, "surrogate"},
                                         Wrong{"\\p{Nonsense}", ErrorCode::kInvalidArgument, "not usable"},
                                         Wrong{"\xFF", ErrorCode::kInvalidArgument, "not UTF-8"},
                                         Wrong{"(a)\\1", ErrorCode::kUnsupported, "backreferences"},
                                         Wrong{"(?<=a)b", ErrorCode::kUnsupported, "lookbehind"},
                                         Wrong{"a(?!b)", ErrorCode::kUnsupported, "lookahead"},
                                         Wrong{"^(?!a)b|c", ErrorCode::kUnsupported, "alternatives"}));

TEST(SchemaPatternLimits, GroupsInGroups) {
  EXPECT_TRUE(Pattern::compile(std::string(100, '(') + std::string(100, ')')));
  EXPECT_FALSE(Pattern::compile(std::string(101, '(') + std::string(101, ')')));
}

}  // namespace
}  // namespace llm::json::rules
