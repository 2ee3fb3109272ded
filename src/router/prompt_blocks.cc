#include "router/prompt_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace llm::router {
namespace {

// Bytes that no UTF-8 text contains, so that no text can pretend to be a border between two.
constexpr std::string_view kTools =
    "\xff"
    "t";
constexpr std::string_view kMessage =
    "\xff"
    "m";
constexpr std::string_view kImage =
    "\xff"
    "i";
constexpr std::string_view kObject =
    "\xff"
    "{";
constexpr std::string_view kArray =
    "\xff"
    "[";
constexpr std::string_view kClose =
    "\xff"
    "]";
constexpr std::string_view kString =
    "\xff"
    "s";
constexpr std::string_view kNumber =
    "\xff"
    "n";
constexpr std::string_view kLiteral =
    "\xff"
    "l";
constexpr std::size_t kLongestLink = 512;  // what is longer is data, not an address

// Cuts what is fed to it into blocks and chains their hashes. A block inside one piece is hashed where it is.
class Blocks {
 public:
  explicit Blocks(std::string_view salt) : chain_(XXH3_64bits(salt.data(), salt.size())) { hashes_.reserve(16); }

  bool full() const { return hashes_.size() >= kMostBlocks; }
  std::vector<std::uint64_t> take() { return std::move(hashes_); }

  void feed(std::string_view piece) {
    if (piece.empty()) return;  // it may point nowhere, which memcpy must not be told
    if (filled_ > 0) {
      const std::size_t part = std::min(piece.size(), kBlockBytes - filled_);
      std::memcpy(pending_.data() + filled_, piece.data(), part);
      filled_ += part;
      piece.remove_prefix(part);
      if (filled_ < kBlockBytes) return;
      close(pending_.data());
      filled_ = 0;
    }
    for (; piece.size() >= kBlockBytes && !full(); piece.remove_prefix(kBlockBytes)) close(piece.data());
    if (full()) return;
    std::memcpy(pending_.data(), piece.data(), piece.size());
    filled_ = piece.size();
  }

 private:
  void close(const char* block) {
    if (full()) return;
    const std::uint64_t link[2] = {chain_, XXH3_64bits(block, kBlockBytes)};
    chain_ = XXH3_64bits(link, sizeof link);
    hashes_.push_back(chain_);
  }

  std::uint64_t chain_;
  std::vector<std::uint64_t> hashes_;
  std::array<char, kBlockBytes> pending_;
  std::size_t filled_ = 0;
};

template <class T>
void feed_bytes(Blocks& blocks, const T& number) {
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &number, sizeof(T));
  blocks.feed({bytes.data(), bytes.size()});
}

// Images and sound are megabytes of base64 and few tokens: their hash stands for them.
void feed_text(Blocks& blocks, std::string_view text, bool data) {
  if (!data || text.size() <= kLongestLink) return blocks.feed(text);
  blocks.feed(kImage);
  feed_bytes(blocks, static_cast<std::uint64_t>(XXH3_64bits(text.data(), text.size())));
}

// Any JSON, in the order in which it was written, which is the order in which templates show it. `data`: inside a part
// of a message that is no text.
void feed_value(Blocks& blocks, const json::value& value, bool data) {
  if (blocks.full()) return;
  switch (value.kind()) {
    case boost::json::kind::string: {
      const auto& text = value.get_string();
      blocks.feed(kString);
      return feed_text(blocks, {text.data(), text.size()}, data);
    }
    case boost::json::kind::object:
      blocks.feed(kObject);
      for (const auto& member : value.get_object()) {
        blocks.feed({member.key().data(), member.key().size()});
        feed_value(blocks, member.value(), data);
      }
      return blocks.feed(kClose);
    case boost::json::kind::array:
      blocks.feed(kArray);
      for (const auto& item : value.get_array()) feed_value(blocks, item, data);
      return blocks.feed(kClose);
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
      blocks.feed(kNumber);
      return feed_bytes(blocks, value.is_int64() ? static_cast<std::uint64_t>(value.get_int64()) : value.get_uint64());
    case boost::json::kind::double_:
      blocks.feed(kNumber);
      return feed_bytes(blocks, value.get_double());
    case boost::json::kind::bool_:
      blocks.feed(kLiteral);
      return blocks.feed(value.get_bool() ? "1" : "0");
    case boost::json::kind::null:
      return blocks.feed(kLiteral);
  }
}

// A message's text is the same prompt whether it comes as one string or as a list of text parts.
void feed_content(Blocks& blocks, const json::value& content) {
  if (!content.is_array()) return feed_value(blocks, content, false);
  bool in_text = false;
  for (const auto& part : content.get_array()) {
    if (blocks.full()) return;
    const auto* object = part.if_object();
    const auto* text = object && json::string_or(*object, "type") == "text" ? json::find(*object, "text") : nullptr;
    if (text && text->is_string()) {
      if (!std::exchange(in_text, true)) blocks.feed(kString);
      blocks.feed({text->get_string().data(), text->get_string().size()});
    } else {
      in_text = false;
      feed_value(blocks, part, true);
    }
  }
}

void feed_message(Blocks& blocks, const json::value& message) {
  blocks.feed(kMessage);
  const auto* object = message.if_object();
  if (!object) return feed_value(blocks, message, false);
  blocks.feed(json::string_or(*object, "role"));
  // The rest in one order, whatever order the client writes.
  for (const std::string_view name : {"name", "tool_call_id", "reasoning_content", "content", "tool_calls"}) {
    const auto* value = json::find(*object, name);
    if (!value || value->is_null()) continue;
    blocks.feed(kObject);
    blocks.feed(name);
    name == "content" ? feed_content(blocks, *value) : feed_value(blocks, *value, false);
  }
}

}  // namespace

std::vector<std::uint64_t> prompt_blocks(const json::object& body, std::string_view salt) {
  Blocks blocks(salt);
  if (const auto* tools = json::find(body, "tools"); tools && tools->is_array() && !tools->get_array().empty()) {
    blocks.feed(kTools);
    feed_value(blocks, *tools, false);
  }
  const auto* messages = json::find(body, "messages");
  if (messages && messages->is_array()) {
    for (const auto& message : messages->get_array()) {
      if (blocks.full()) break;
      feed_message(blocks, message);
    }
  } else if (const auto* prompt = json::find(body, "prompt")) {
    // Several prompts in one request: the first is what the others most likely share.
    const auto* list = prompt->if_array();
    const bool several = list && !list->empty() && !(*list)[0].is_number();
    feed_value(blocks, several ? (*list)[0] : *prompt, false);
  }
  return blocks.take();
}

}  // namespace llm::router
