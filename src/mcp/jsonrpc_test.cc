#include "mcp/jsonrpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <variant>

#include "mcp/protocol.h"

namespace llm::mcp {
namespace {

using testing::HasSubstr;

template <class T>
T decode_as(std::string_view line) {
  auto decoded = decode_line(line);
  return std::get<T>(std::move(std::get<Message>(decoded)));
}

TEST(Jsonrpc, DecodesARequest) {
  const auto request = decode_as<Request>(R"( {"jsonrpc":"2.0","id":"é","method":"m","params":{"a":[1]},"more":0} )");
  EXPECT_EQ(request.id.json, "\"é\"");
  EXPECT_EQ(request.method, "m");
  EXPECT_EQ(json::write(request.params), R"({"a":[1]})");
}

TEST(Jsonrpc, DecodesANotification) {
  const auto notification = decode_as<Notification>(R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  EXPECT_EQ(notification.method, "notifications/initialized");
  EXPECT_TRUE(notification.params.empty());
}

TEST(Jsonrpc, RefusesWhatIsNotUtf8) {
  const auto malformed = decode_as<Malformed>("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xC3\x28\"}");
  EXPECT_EQ(malformed.refusal.code, kParseError);
  EXPECT_THAT(malformed.refusal.message, HasSubstr("UTF-8"));
}

TEST(Jsonrpc, TheDepthHasALimit) {
  const auto nested = [](std::size_t levels) {
    return R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"x":)" + std::string(levels, '[') +
           std::string(levels, ']') + "}}";
  };
  EXPECT_NO_THROW(decode_as<Request>(nested(kMaxDepth - 2)));
  EXPECT_EQ(decode_as<Malformed>(nested(kMaxDepth - 1)).refusal.code, kParseError);
}

TEST(Jsonrpc, ABatchHasALimit) {
  const auto batch = [](std::size_t size) {
    std::string text = "[";
    for (std::size_t i = 0; i < size; ++i) text += R"({"jsonrpc":"2.0","method":"x"},)";
    text.back() = ']';
    return decode_line(text);
  };
  auto full = batch(kMaxBatch);
  EXPECT_EQ(std::get<Batch>(full).messages.size(), kMaxBatch);
  auto overfull = batch(kMaxBatch + 1);
  EXPECT_THAT(std::get<Malformed>(std::get<Message>(overfull)).refusal.message, HasSubstr("1001"));
}

TEST(Jsonrpc, WritesMessages) {
  std::string out;
  write_result(out, {"7"}, "{}");
  EXPECT_EQ(out, R"({"jsonrpc":"2.0","id":7,"result":{}})");
  out.clear();
  write_error(out, nullptr, {kParseError, "line\nbreak", R"({"a":1})"});
  EXPECT_EQ(out, R"({"jsonrpc":"2.0","error":{"code":-32700,"message":"line\nbreak","data":{"a":1}}})");
  out.clear();
  write_notification(out, "notifications/x", "{}");
  EXPECT_EQ(out, R"({"jsonrpc":"2.0","method":"notifications/x","params":{}})");
}

TEST(Protocol, KnowsItsRevisions) {
  for (const Revision& revision : revisions()) {
    EXPECT_EQ(find_revision(revision.version), &revision);
    EXPECT_EQ(&revisions()[revision.index], &revision);
  }
  EXPECT_EQ(find_revision("2024-10-07"), nullptr);
  EXPECT_EQ(modern_revision().version, "2026-07-28");
  EXPECT_EQ(latest_legacy_revision().version, "2025-11-25");
}

}  // namespace
}  // namespace llm::mcp
