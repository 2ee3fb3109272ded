#include "base/byte_words.h"

#include <gtest/gtest.h>
#include <string>

namespace llm {
namespace {

// Every byte value at every place of a word, among bytes on either side of each bound.
TEST(ByteWords, FindWhatAByteLoopFinds) {
  for (const char filler : {'a', '\x7e', '\x21', '\xff'}) {
    for (std::size_t place = 0; place < 8; ++place) {
      for (int value = 0; value < 256; ++value) {
        std::string bytes(8, filler);
        bytes[place] = static_cast<char>(value);
        const auto word = load_bytes(bytes.data());
        const bool other = filler == '\xff';
        EXPECT_EQ(non_ascii_bytes(word) != 0, other || value >= 0x80);
        EXPECT_EQ(bytes_below(word, 0x20) != 0, value < 0x20) << value;
        EXPECT_EQ(bytes_equal(word, '"') != 0, value == '"') << value;
        EXPECT_EQ(bytes_equal(word, '\x7f') != 0, value == 0x7F) << value;
      }
    }
  }
}

TEST(ByteWords, SeveralWantedBytes) {
  EXPECT_NE(bytes_below(load_bytes("\x01\x02\x80\xff\x1f\x20zz"), 0x20), 0U);
  EXPECT_EQ(bytes_below(load_bytes("\x20\x7f\x80\xff\xfe!~a"), 0x20), 0U);
}

}  // namespace
}  // namespace llm
