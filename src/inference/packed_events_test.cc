#include "inference/packed_events.h"

#include <gtest/gtest.h>
#include <random>

namespace llm::inference {
namespace {

using Texts = std::vector<std::string>;

TEST(PackedEvents, ThereAndBack) {
  for (const auto& texts :
       {Texts{}, Texts{""}, Texts{"a"}, Texts{"", "", "a", ""}, Texts{"aa", "a", "aaa", "aaaa", "a"},
        Texts{"abab", "ab", "ababab"}, Texts{std::string(1000, 'x'), std::string(70000, 'x')},
        Texts{std::string("\0\xff", 2), std::string("\0\0", 2)}}) {
    EXPECT_EQ(unpack_events(pack_events(texts)), texts);
  }
}

TEST(PackedEvents, PropertyThereAndBack) {
  std::mt19937 random(30);
  for (int round = 0; round < 2000; ++round) {
    Texts texts;
    for (auto n = random() % 8; n > 0; --n) {
      std::string text;
      for (auto length = random() % 200; length > 0; --length) text.push_back("ab"[random() % 16 == 0]);
      texts.push_back(std::move(text));
    }
    ASSERT_EQ(unpack_events(pack_events(texts)), texts);
  }
}

TEST(PackedEvents, AStreamTakesATenth) {
  Texts events;
  std::size_t plain = 0;
  for (int i = 0; i < 200; ++i) {
    events.push_back(R"({"choices":[{"finish_reason":null,"index":0,"delta":{"content":" token)" + std::to_string(i) +
                     R"("}}],"created":1760000000,"id":"chatcmpl-0123456789abcdefghijklmnopqrstuv","model":"m",)" +
                     R"("object":"chat.completion.chunk"})");
    plain += events.back().size();
  }
  const auto packed = pack_events(events);
  EXPECT_LT(packed.size() * 10, plain);
  EXPECT_EQ(unpack_events(packed), events);
}

TEST(PackedEvents, NonsenseIsReadAsFarAsItGoes) {
  std::mt19937 random(31);
  const Texts texts{"one text", "another text", "one more text"};
  const auto packed = pack_events(texts);
  for (std::size_t cut = 0; cut < packed.size(); ++cut) {
    EXPECT_LT(unpack_events(std::string_view(packed).substr(0, cut)).size(), texts.size());
  }
  for (int round = 0; round < 5000; ++round) {
    std::string noise(random() % 40, ' ');
    for (auto& byte : noise) byte = static_cast<char>(random());
    EXPECT_LE(unpack_events(noise).size(), noise.size());
  }
  EXPECT_TRUE(unpack_events(std::string(20, '\xff')).empty());
}

}  // namespace
}  // namespace llm::inference
