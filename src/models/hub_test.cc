#include "models/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/http_get.h"

namespace llm::models {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PullSource, Forms) {
  const auto hub = [](std::string_view text) { return std::get<HubSource>(*parse_pull_source(text)); };
  EXPECT_EQ(hub("hf:o/r"), (HubSource{"o", "r", "", "main"}));
  EXPECT_EQ(hub("hf:Qwen/Qwen3-0.6B-GGUF:Q8_0"), (HubSource{"Qwen", "Qwen3-0.6B-GGUF", "Q8_0", "main"}));
  EXPECT_EQ(hub("hf:o/r:sub/a b.gguf@refs/pr/1"), (HubSource{"o", "r", "sub/a b.gguf", "refs/pr/1"}));
  EXPECT_EQ(to_string(*parse_pull_source("hf:o/r:Q4_0@v1")), "hf:o/r:Q4_0@v1");
  const std::string hash(64, 'a');
  const auto url = std::get<UrlSource>(*parse_pull_source("https://h/x.gguf?sig=1#sha256=" + hash));
  EXPECT_EQ(url.url, "https://h/x.gguf?sig=1");
  EXPECT_EQ(url.digest->hex(), hash);
  EXPECT_EQ(to_string(PullSource(url)), "https://h/x.gguf");
  for (const std::string_view loopback :
       {"http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:80/x", "http://127.9.9.9/"}) {
    EXPECT_TRUE(parse_pull_source(loopback)) << loopback;
  }
}

TEST(PullSource, RefusesEverythingElse) {
  using namespace std::string_literals;
  for (const auto& text : {""s,
                           "x"s,
                           "hf:"s,
                           "hf:o"s,
                           "hf:/r"s,
                           "hf:o/"s,
                           "hf:o/r/s"s,
                           "hf:../r"s,
                           "hf:o/..\\r"s,
                           "hf:o/r:"s,
                           "hf:o/r:../x.gguf"s,
                           "hf:o/r:/etc/passwd"s,
                           "hf:o/r:a//b"s,
                           "hf:o/r@"s,
                           "hf:o/r@../../x"s,
                           "hf:o/r:a%2e"s,
                           "hf:o/r?x=1"s,
                           "hf:o/r#f"s,
                           "hf:o/r\n:x"s,
                           "hf:o/r:x\0"s,
                           "ftp://h/x"s,
                           "file:///etc/passwd"s,
                           "http://example.org/x.gguf"s,
                           "http://127.0.0.1.evil.example/x"s,
                           "http://127.0.0.256/x"s,
                           "http://localhost.evil.example/x"s,
                           "https://user:secret@h/x"s,
                           "https://"s,
                           "https:///x"s,
                           "https://h/x y"s,
                           "https://h/x\r\nY: z"s,
                           "https://h/x#md5=1"s,
                           "https://h/x#sha256=abc"s,
                           "gopher://h/x"s,
                           "https://h/"s + std::string(3000, 'a')}) {
    const auto source = parse_pull_source(text);
    ASSERT_FALSE(source) << text;
    EXPECT_EQ(source.error().code, ErrorCode::kInvalidArgument) << text;
    EXPECT_THAT(source.error().message, Not(HasSubstr("secret")));
  }
}

TEST(HttpGet, RedirectRules) {
  EXPECT_EQ(*redirect_target("https://a/x/y?z", "/w"), "https://a/w");
  EXPECT_EQ(*redirect_target("https://a/x/y", "w?q"), "https://a/x/w?q");
  EXPECT_EQ(*redirect_target("https://a/x", "https://b:8443/w"), "https://b:8443/w");
  EXPECT_EQ(*redirect_target("http://127.0.0.1:1/x", "http://127.0.0.1:2/y"), "http://127.0.0.1:2/y");
  for (const std::string bad : {"http://a/w", "http://127.0.0.1/w", "ftp://a/w", "file:///etc/passwd", "gopher://a",
                                "https://u:p@b/w", "javascript:1", "//"}) {
    EXPECT_FALSE(redirect_target("https://a/x", bad)) << bad;
  }
  EXPECT_FALSE(redirect_target("http://127.0.0.1/x", "http://10.0.0.1/metadata"));
  EXPECT_EQ(origin_of("https://HF.co/x"), "https://hf.co:443");
  EXPECT_EQ(origin_of("https://hf.co:8443/x"), "https://hf.co:8443");
  EXPECT_NE(origin_of("https://hf.co.evil.example/"), origin_of("https://hf.co/"));
}

HubListing listing(std::initializer_list<std::string> names) {
  HubListing result;
  std::uint64_t size = 100;
  for (const auto& name : names) result.files.push_back({name, size += 10, std::nullopt});
  return result;
}

TEST(Hub, ChoosesTheFile) {
  const auto all =
      listing({"m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q8_0.gguf", "mmproj-f16.gguf", "sub/m-IQ4_XS.gguf"});
  const struct {
    std::string_view selector;
    std::string_view expected;
  } kTable[] = {
      {"", "m-Q4_K_M.gguf"},
      {"Q4_K_M", "m-Q4_K_M.gguf"},
      {"q4_k_s", "m-Q4_K_S.gguf"},
      {"Q8_0", "m-Q8_0.gguf"},
      {"iq4_xs", "sub/m-IQ4_XS.gguf"},
      {"sub/m-IQ4_XS.gguf", "sub/m-IQ4_XS.gguf"},
      {"m-IQ4_XS.gguf", "sub/m-IQ4_XS.gguf"},
      {"mmproj-f16.gguf", "mmproj-f16.gguf"},
  };
  for (const auto& row : kTable) {
    const auto file = choose_hub_file(all, row.selector, "o/r");
    ASSERT_TRUE(file) << row.selector << ": " << file.error().message;
    EXPECT_EQ(file->path, row.expected);
  }
  EXPECT_EQ(choose_hub_file(all, "Q4_K", "o/r").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(choose_hub_file(all, "Q5_0", "o/r").error().message, HasSubstr("m-Q2_K.gguf (110 B)"));
  EXPECT_THAT(choose_hub_file(all, "m", "o/r").error().message, HasSubstr("several files"));
  EXPECT_EQ(choose_hub_file(listing({"a-F16.gguf", "b-Q6_K.gguf"}), "", "o/r")->path, "a-F16.gguf") << "the smallest";
  EXPECT_EQ(choose_hub_file(listing({"x-Q8_0.gguf", "x-Q4_0.gguf"}), "", "o/r")->path, "x-Q4_0.gguf");
  EXPECT_THAT(choose_hub_file(listing({}), "", "o/r").error().message, HasSubstr("no GGUF"));
}

TEST(Hub, RefusesSplitFiles) {
  const auto split = listing({"m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"});
  for (const std::string_view selector : {"", "Q4_K_M", "m-Q4_K_M-00002-of-00002.gguf"}) {
    const auto file = choose_hub_file(split, selector, "o/r");
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, ErrorCode::kUnsupported) << file.error().message;
  }
  const auto both = listing({"m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf", "m-Q8_0.gguf"});
  EXPECT_EQ(choose_hub_file(both, "", "o/r")->path, "m-Q8_0.gguf");
}

TEST(Hub, ReadsListings) {
  const std::string hash(64, 'b');
  const auto parsed = parse_hub_listing(
      R"({"sha":"0123456789012345678901234567890123456789","cardData":{"license":"mit"},"siblings":[
         {"rfilename":"README.md","size":5},
         {"rfilename":"a.gguf","size":7,"lfs":{"sha256":")" +
      hash + R"(","size":7}},
         {"rfilename":"b.gguf"}, {"rfilename":"../c.gguf"}, {"rfilename":"d\u0000.gguf"}, 3, {"rfilename":null}]})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->license, "mit");
  EXPECT_EQ(parsed->commit.size(), 40u);
  ASSERT_EQ(parsed->files.size(), 2u);
  EXPECT_EQ(parsed->files[0].size, 7u);
  EXPECT_EQ(parsed->files[0].digest->hex(), hash);
  EXPECT_FALSE(parsed->files[1].digest);
  for (const std::string_view bad : {"", "[]", "{}", R"({"siblings":{}})", "<html>"}) {
    EXPECT_EQ(parse_hub_listing(bad).error().code, ErrorCode::kUnavailable) << bad;
  }
}

}  // namespace
}  // namespace llm::models
