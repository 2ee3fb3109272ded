// The streams of src/dialects/testdata as servers send them, bytes in any slices: what comes out of the parser of event
// streams and the dialect behind it never depends on where the network cut.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>

#include "dialects/dialect.h"
#include "net/sse.h"

namespace llm::inference {
namespace {

struct Stream {
  std::string name;
  dialects::ProviderKind kind{};
  std::string bytes;
  bool fails = false;
};

std::vector<Stream> streams() {
  const auto file = std::filesystem::path(LLM_TESTDATA).parent_path().parent_path() / "dialects/testdata/streams.json";
  std::ifstream in(file);
  const auto cases = json::parse(std::string{std::istreambuf_iterator<char>(in), {}});
  EXPECT_TRUE(cases && cases->is_array()) << file;
  std::vector<Stream> out;
  if (!cases) return out;
  for (const json::value& one : cases->get_array()) {
    const json::object& test = one.get_object();
    Stream stream{.name = std::string(json::string_or(test, "name")),
                  .kind = json::enum_value<dialects::ProviderKind>(json::string_or(test, "kind")).value(),
                  .bytes = ": keep-alive\n\n",
                  .fails = json::bool_or(test, "fails")};
    for (const json::value& event : test.at("events").get_array()) {
      // Anthropic names its events; one of the servers ends its lines as Windows does.
      const bool text = event.is_string();
      if (stream.kind == dialects::ProviderKind::kAnthropic && !text) {
        stream.bytes += "event: " + std::string(json::string_or(event.get_object(), "type")) + "\n";
      }
      const std::string_view end = stream.kind == dialects::ProviderKind::kTgi ? "\r\n" : "\n";
      stream.bytes.append("data: ").append(text ? std::string(event.get_string()) : json::write(event));
      stream.bytes.append(end).append(end);
    }
    out.push_back(std::move(stream));
  }
  return out;
}

// What a client would get of it, and whether the dialect gave up. `created` is the time, and left out.
struct Got {
  std::vector<json::value> payloads;
  bool failed = false;
  bool operator==(const Got&) const = default;
};

Got read(const Stream& stream, const std::vector<std::string_view>& slices) {
  const auto translator = dialects::dialect_of(stream.kind).stream(dialects::Call::kChat);
  net::SseParser parser;
  Got got;
  for (const std::string_view slice : slices) {
    const auto fed = parser.feed(slice, [&](const net::SseEvent& event) {
      std::vector<std::string> out;
      if (got.failed || !translator->on_event(event.event, event.data, out)) got.failed = true;
      for (const std::string& payload : out) {
        auto parsed = json::parse(payload).value_or(json::value(payload));
        if (parsed.is_object()) parsed.get_object().erase("created");
        got.payloads.push_back(std::move(parsed));
      }
    });
    EXPECT_TRUE(fed);
  }
  return got;
}

TEST(DialectStreams, AreTheSameWhereverTheNetworkCuts) {
  const auto all = streams();
  EXPECT_GT(all.size(), 30U);
  for (const Stream& stream : all) {
    SCOPED_TRACE(stream.name);
    const std::string_view bytes = stream.bytes;
    const Got whole = read(stream, {bytes});
    EXPECT_EQ(whole.failed, stream.fails);
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      ASSERT_EQ(read(stream, {bytes.substr(0, cut), bytes.substr(cut)}), whole) << "cut at byte " << cut;
    }
    std::vector<std::string_view> single;
    for (std::size_t i = 0; i < bytes.size(); ++i) single.push_back(bytes.substr(i, 1));
    EXPECT_EQ(read(stream, single), whole) << "byte by byte";
  }
}

// A stream that ends too early gives what it had and nothing that it had not: no end of its own making.
TEST(DialectStreams, HaveNoEndThatDidNotCome) {
  for (const Stream& stream : streams()) {
    SCOPED_TRACE(stream.name);
    const std::string_view bytes = stream.bytes;
    const Got whole = read(stream, {bytes});
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      const Got part = read(stream, {bytes.substr(0, cut)});
      ASSERT_LE(part.payloads.size(), whole.payloads.size());
      ASSERT_TRUE(std::equal(part.payloads.begin(), part.payloads.end(), whole.payloads.begin())) << cut;
    }
  }
}

}  // namespace
}  // namespace llm::inference
