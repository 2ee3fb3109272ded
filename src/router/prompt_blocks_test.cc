#include "router/prompt_blocks.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

namespace llm::router {
namespace {

using Blocks = std::vector<std::uint64_t>;

Blocks blocks(std::string_view text, std::string_view salt = "tenant") {
  return prompt_blocks(json::parse(text).value().as_object(), salt);
}
std::string text_of(std::size_t bytes, char seed = 'a') {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i)
    out += static_cast<char>('a' + (i * 7 + i / 13 + static_cast<std::size_t>(seed)) % 26);
  return out;
}
std::size_t shared(const Blocks& a, const Blocks& b) {
  std::size_t n = 0;
  while (n < std::min(a.size(), b.size()) && a[n] == b[n]) ++n;
  // Once different, different for ever.
  for (std::size_t i = n; i < std::min(a.size(), b.size()); ++i) EXPECT_NE(a[i], b[i]);
  return n;
}
std::string chat(const std::vector<std::pair<std::string, std::string>>& messages) {
  json::array list;
  for (const auto& [role, content] : messages) list.push_back({{"role", role}, {"content", content}});
  return json::write(json::object{{"model", "m"}, {"messages", list}});
}

TEST(PromptBlocks, AConversationSharesWhatWasThereBefore) {
  const std::string system = text_of(900);
  const std::string question = text_of(500, 'q');
  const auto first = blocks(chat({{"system", system}, {"user", question}}));
  const auto second =
      blocks(chat({{"system", system}, {"user", question}, {"assistant", text_of(800, 'x')}, {"user", "and now?"}}));
  EXPECT_EQ(first.size(), 1400U / kBlockBytes);
  EXPECT_EQ(shared(first, second), first.size());
  EXPECT_GT(second.size(), first.size());
  const auto other = blocks(chat({{"system", system}, {"user", text_of(500, 'z')}}));
  EXPECT_EQ(shared(first, other), 900U / kBlockBytes);
}

TEST(PromptBlocks, EveryByteAndEveryBorderCounts) {
  const std::string text = text_of(600);
  const auto one = blocks(chat({{"user", text}}));
  ASSERT_EQ(one.size(), 2U);
  std::string changed = text;
  changed[300] = '#';
  EXPECT_EQ(shared(one, blocks(chat({{"user", changed}}))), 1U);
  EXPECT_EQ(shared(one, blocks(chat({{"assistant", text}}))), 0U);
  EXPECT_EQ(shared(one, blocks(chat({{"user", text.substr(0, 100)}, {"user", text.substr(100)}}))), 0U);
  EXPECT_EQ(shared(one, blocks(chat({{"user", text}}), "another tenant")), 0U);
  EXPECT_EQ(one, blocks(chat({{"user", text}})));
  EXPECT_TRUE(blocks(chat({{"user", text_of(100)}})).empty());
}

TEST(PromptBlocks, PartsOfTextAreTheText) {
  const std::string text = text_of(600);
  const auto parts = fmt::format(
      R"({{"messages": [{{"content": [{{"type":"text","text":"{}"}},{{"type":"text","text":"{}"}}], "role": "user"}}]}})",
      text.substr(0, 77), text.substr(77));
  EXPECT_EQ(blocks(chat({{"user", text}})), blocks(parts));
}

TEST(PromptBlocks, ImagesAreOneHash) {
  const auto with_image = [](std::string_view url) {
    return blocks(fmt::format(
        R"({{"messages": [{{"role": "user", "content": [{{"type":"image_url","image_url":{{"url":"{}"}}}},
                                                       {{"type":"text","text":"{}"}}]}}]}})",
        url, text_of(600)));
  };
  const std::string data = "data:image/png;base64," + text_of(100'000);
  const auto first = with_image(data);
  EXPECT_EQ(first.size(), 2U);
  EXPECT_EQ(first, with_image(data));
  EXPECT_EQ(shared(first, with_image(data + "A")), 0U);
}

TEST(PromptBlocks, ToolsComeFirst) {
  const auto with_tools = [](std::string_view name, std::string_view question) {
    return blocks(fmt::format(
        R"({{"messages": [{{"role": "user", "content": "{}"}}],
            "tools": [{{"type":"function","function":{{"name":"{}","description":"{}","parameters":{{"n":[1,2.5,true,null]}}}}}}]}})",
        question, name, text_of(600)));
  };
  const auto one = with_tools("f", text_of(300, 'q'));
  EXPECT_EQ(shared(one, with_tools("f", text_of(300, 'r'))), 2U);
  EXPECT_EQ(shared(one, with_tools("g", text_of(300, 'q'))), 0U);
}

TEST(PromptBlocks, ToolCallsAreOfThePrompt) {
  const auto with_call = [](std::string_view arguments) {
    return blocks(fmt::format(
        R"({{"messages": [{{"role":"user","content":"{}"}},
            {{"role":"assistant","content":null,"tool_calls":[{{"id":"1","function":{{"name":"f","arguments":"{}"}}}}]}},
            {{"role":"tool","tool_call_id":"1","content":"{}"}}]}})",
        text_of(300), arguments, text_of(600, 'r')));
  };
  EXPECT_EQ(shared(with_call("a"), with_call("b")), 1U);
}

TEST(PromptBlocks, Completions) {
  const std::string text = text_of(1000);
  const auto one = blocks(fmt::format(R"({{"prompt": "{}"}})", text));
  EXPECT_EQ(one.size(), 3U);
  EXPECT_EQ(one, blocks(fmt::format(R"({{"prompt": ["{}", "other"]}})", text)));
  EXPECT_EQ(shared(one, blocks(fmt::format(R"({{"prompt": "{}and more"}})", text))), 3U);
  json::array tokens;
  for (int i = 0; i < 200; ++i) tokens.emplace_back(i);
  const auto of_tokens = prompt_blocks({{"prompt", tokens}}, "");
  EXPECT_EQ(of_tokens.size(), (2 + 200 * 10) / kBlockBytes);
  EXPECT_TRUE(blocks(R"({"input": "text to embed"})").empty());
}

TEST(PromptBlocks, IsBounded) {
  const auto huge = blocks(chat({{"user", text_of(kBlockBytes * (kMostBlocks + 50))}, {"user", text_of(3000)}}));
  EXPECT_EQ(huge.size(), kMostBlocks);
  EXPECT_EQ(std::set(huge.begin(), huge.end()).size(), kMostBlocks);
}

// Whatever a client writes: no crash, and the same hashes for the same request.
TEST(PromptBlocks, AnyShape) {
  for (const auto* text :
       {R"({})", R"({"messages": 1})", R"({"messages": [1, null, "x", [], {}]})", R"({"messages": [{"role": 5}]})",
        R"({"messages": [{"content": [1, {"type": "text"}, {"type": "text", "text": 3}]}]})", R"({"prompt": null})",
        R"({"prompt": []})", R"({"prompt": [[1, 2], [3]]})", R"({"tools": {}, "messages": []})"}) {
    EXPECT_EQ(blocks(text), blocks(text)) << text;
  }
}

}  // namespace
}  // namespace llm::router
