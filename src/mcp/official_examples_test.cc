// The example messages that come with revision 2026-07-28, read in place from ../shared beside the checkout: each fits
// its definition in that revision's schema.json, and those that are whole messages go through the codec and back.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "json/schema_validator.h"
#include "mcp/jsonrpc.h"

namespace llm::mcp {
namespace {

namespace fs = std::filesystem;

const fs::path kRevision = fs::path(LLM_TESTDATA) / "../../../../shared/mcp-schema/2026-07-28";
constexpr std::string_view kSchemaUri = "urn:mcp:2026-07-28";

json::value read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed) << path << ": " << to_string(parsed.error());
  return parsed ? std::move(*parsed) : json::value();
}

struct Example {
  std::string definition;  // the name of its folder
  fs::path file;
  json::value document;
};

const std::vector<Example>& examples() {
  static const std::vector<Example> all = [] {
    std::vector<Example> out;
    for (const auto& entry : fs::recursive_directory_iterator(kRevision / "examples")) {
      if (entry.path().extension() != ".json") continue;
      out.push_back({entry.path().parent_path().filename().string(), entry.path(), read(entry.path())});
    }
    std::ranges::sort(out, {}, &Example::file);
    return out;
  }();
  return all;
}

bool is_message(const json::value& document) {
  return document.is_object() && document.get_object().contains("jsonrpc");
}

TEST(OfficialExamples, AreAllThere) {
  std::set<std::string> definitions;
  for (const Example& example : examples()) definitions.insert(example.definition);
  EXPECT_EQ(definitions.size(), 88U);
  EXPECT_EQ(examples().size(), 129U);
  EXPECT_EQ(std::ranges::count_if(examples(), [](const Example& example) { return is_message(example.document); }), 32);
}

TEST(OfficialExamples, FitTheirSchemas) {
  const json::SchemaLibrary library{{std::string(kSchemaUri), read(kRevision / "schema.json")}};
  const json::SchemaSettings settings{.assert_formats = true, .library = &library};
  for (const Example& example : examples()) {
    const json::object reference{{"$ref", std::string(kSchemaUri) + "#/$defs/" + example.definition}};
    const auto schema = json::Schema::compile(reference, settings);
    ASSERT_TRUE(schema) << example.definition << ": " << to_string(schema.error());
    const auto fits = schema->check(example.document);
    EXPECT_TRUE(fits) << example.file << ": " << to_string(fits.error());
    // …and it is this schema that says so.
    EXPECT_FALSE(schema->check(json::value(nullptr))) << example.definition;
  }
}

TEST(OfficialExamples, SurviveParserAndWriter) {
  for (const Example& example : examples()) {
    const auto again = json::parse(json::write(example.document));
    ASSERT_TRUE(again) << example.file;
    EXPECT_EQ(*again, example.document) << example.file;
  }
}

// Writes a decoded message anew. `original` is for what the decoder leaves behind: an error's data.
std::string write(const Message& message, const json::object& original) {
  std::string out;
  if (const auto* request = std::get_if<Request>(&message)) {
    write_request(out, request->id, request->method, json::write(request->params));
  } else if (const auto* notification = std::get_if<Notification>(&message)) {
    write_notification(out, notification->method, json::write(notification->params));
  } else if (const auto* response = std::get_if<Response>(&message)) {
    if (response->error) {
      Refusal refusal = *response->error;
      const json::value* data = json::find(original.at("error").as_object(), "data");
      if (data != nullptr) refusal.data = json::write(*data);
      write_error(out, &response->id, refusal);
    } else {
      write_result(out, response->id, json::write(response->result));
    }
  }
  return out;
}

TEST(OfficialExamples, GoThroughTheCodec) {
  std::set<std::size_t> kinds;
  for (const Example& example : examples()) {
    if (!is_message(example.document)) continue;
    const Decoded decoded = decode_line(json::write(example.document));
    ASSERT_TRUE(std::holds_alternative<Message>(decoded)) << example.file;
    const auto& message = std::get<Message>(decoded);
    const auto* malformed = std::get_if<Malformed>(&message);
    ASSERT_EQ(malformed, nullptr) << example.file << ": " << malformed->refusal.message;
    kinds.insert(message.index());
    const auto again = json::parse(write(message, example.document.get_object()));
    ASSERT_TRUE(again) << example.file;
    json::object expected = example.document.get_object();
    if (expected.contains("method") && !expected.contains("params")) expected["params"] = json::object();
    EXPECT_EQ(*again, json::value(expected)) << example.file;
  }
  EXPECT_EQ(kinds.size(), 3U) << "requests, notifications and responses";
}

}  // namespace
}  // namespace llm::mcp
