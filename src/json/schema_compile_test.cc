// What is refused before any document is seen, and what a schema or a document may cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

#include "json/schema_validator.h"

namespace llm::json {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::string error_of_value(const value& schema, const SchemaSettings& settings = {}) {
  const auto compiled = Schema::compile(schema, settings);
  if (compiled) return "accepted";
  EXPECT_EQ(compiled.error().code, ErrorCode::kInvalidArgument);
  return compiled.error().pointer + ": " + compiled.error().message;
}
std::string error_of(std::string_view schema, const SchemaSettings& settings = {}) {
  return error_of_value(parse(schema).value(), settings);
}

TEST(SchemaCompile, WrongSchemasSayWhere) {
  EXPECT_EQ(error_of("5"), ": a schema must be an object, true or false");
  EXPECT_EQ(error_of(R"({"properties":{"a":{"type":"strnig"}}})"),
            "/properties/a/type: must be an array or one of \"array\", \"boolean\", \"integer\", \"null\", "
            "\"number\", \"object\", \"string\"; got \"strnig\"");
  EXPECT_EQ(error_of(R"({"minLength":-1})"), "/minLength: must be at least 0; got -1");
  EXPECT_EQ(error_of(R"({"items":[{}]})"), "/items: must be true or false or an object; got an array");
  EXPECT_EQ(error_of(R"({"$defs":{"unused":{"required":"a"}}})"),
            "/$defs/unused/required: must be an array; got \"a\"");
}

TEST(SchemaCompile, ReferencesHaveToLeadSomewhere) {
  EXPECT_EQ(error_of(R"({"properties":{"a":{"$ref":"#/$defs/b"}}})"),
            "/properties/a/$ref: there is nothing at /$defs/b");
  EXPECT_EQ(error_of(R"({"$ref":"#nowhere"})"), "/$ref: there is no anchor \"nowhere\"");
  EXPECT_EQ(error_of(R"({"$ref":"#/%zz"})"), "/$ref: #/%zz is no valid reference");
  EXPECT_EQ(error_of(R"({"items":{"$ref":"https://example.com/a.json#/b"}})"),
            "/items/$ref: https://example.com/a.json is not part of this schema, and other schemas are never fetched; "
            "put it into $defs");
  EXPECT_EQ(error_of(R"({"$defs":{"a":{"$anchor":"x"},"b":{"$anchor":"x"}}})"),
            "/$defs/b/$anchor: there are two anchors \"x\"");
  EXPECT_EQ(error_of(R"({"$defs":{"a":{"$id":"http://x/"},"b":{"$id":"http://x/"}}})"),
            "/$defs/b/$id: there are two schemas with the $id http://x/");
}

TEST(SchemaCompile, ALibraryHoldsOtherDocuments) {
  const SchemaLibrary library{{"https://example.com/a.json", parse(R"({"$defs":{"b":{"type":"string"}}})").value()},
                              {"https://example.com/bad.json", parse(R"({"type":"strnig"})").value()}};
  const SchemaSettings settings{.limits = {}, .assert_formats = false, .library = &library};
  const auto schema =
      Schema::compile(parse(R"({"$ref":"https://example.com/a.json#/$defs/b"})").value(), settings).value();
  EXPECT_THAT(schema.validate("x"), IsEmpty());
  const auto errors = schema.validate(1);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].keyword, "https://example.com/a.json#/$defs/b/type");
  EXPECT_THAT(error_of(R"({"$ref":"https://example.com/bad.json"})", settings),
              StartsWith(": https://example.com/bad.json#/type: must be"));
}

TEST(SchemaCompile, OnlyThisDialect) {
  EXPECT_EQ(error_of(R"({"$schema":"https://json-schema.org/draft/2020-12/schema#"})"), "accepted");
  EXPECT_EQ(error_of(R"({"$schema":"http://json-schema.org/draft-07/schema#"})"),
            "/$schema: the dialect http://json-schema.org/draft-07/schema is not supported; use "
            "https://json-schema.org/draft/2020-12/schema");
}

TEST(SchemaCompile, ReferencesWithoutEndAreRefused) {
  EXPECT_THAT(error_of(R"({"$ref":"#"})"), HasSubstr("without end"));
  EXPECT_THAT(error_of(R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}})"),
              HasSubstr("without end"));
  EXPECT_EQ(error_of(R"({"properties":{"next":{"$ref":"#"}}})"), "accepted");
}

TEST(SchemaCompile, PatternsMustBeUsable) {
  EXPECT_EQ(error_of(R"({"pattern":"a("})"), "/pattern: the pattern \"a(\" is not usable: a ( without its )");
  EXPECT_THAT(error_of(R"({"patternProperties":{"(a)\\1":true}})"),
              StartsWith("/patternProperties: the pattern \"(a)\\1\" is not usable: backreferences are not supported"));
}

value nested(std::size_t levels) {
  value out = object{};
  for (std::size_t i = 1; i < levels; ++i) out = object{{"not", std::move(out)}};
  return out;
}

TEST(SchemaLimits, OfTheSchema) {
  const SchemaLimits limits{};
  EXPECT_EQ(error_of_value(nested(limits.max_schema_depth)), "accepted");
  EXPECT_EQ(error_of_value(nested(limits.max_schema_depth + 1)), ": the schema is nested deeper than 128 levels");
  const SchemaSettings few{.limits = {.max_subschemas = 3}};
  EXPECT_EQ(error_of(R"({"allOf":[true,true]})", few), "accepted");
  EXPECT_EQ(error_of(R"({"allOf":[true,true,true]})", few), "/allOf/2: more than 3 subschemas");
  const SchemaSettings small{.limits = {.max_pattern_size = 50}};
  EXPECT_EQ(error_of(R"({"pattern":"a{10}"})", small), "accepted");
  EXPECT_EQ(error_of(R"({"pattern":"a{100}"})", small), "/pattern: the patterns of this schema are too large together");
}

TEST(SchemaLimits, OfADocumentsDepth) {
  const value tree = parse(R"({"items":{"$ref":"#"}})").value();
  const auto schema = Schema::compile(tree, {.limits = {.max_depth = 10}}).value();
  // Each level is two schemas deep: the one of the items and the one it refers to.
  EXPECT_THAT(schema.validate(parse("[[[[[]]]]]").value()), IsEmpty());
  const auto errors = schema.validate(parse("[[[[[[]]]]]]").value());
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].message, "the schema applies itself more than 10 levels deep here");
}

TEST(SchemaLimits, EndlessDynamicReferencesEndAtTheDepth) {
  const auto schema = Schema::compile(parse(R"({"$dynamicAnchor":"a","not":{"$dynamicRef":"#a"}})").value()).value();
  const auto errors = schema.validate(1);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_THAT(errors[0].message, HasSubstr("levels deep"));
}

TEST(SchemaLimits, OfTheWork) {
  const SchemaSettings settings{.limits = {.max_steps = 100}};
  const auto schema = Schema::compile(parse(R"({"items":{"type":"integer"}})").value(), settings).value();
  EXPECT_THAT(schema.validate(array(99, 1)), IsEmpty());
  const auto errors = schema.validate(array(100, 1));
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].message, "checking this against the schema takes more than 100 steps");
}

// Each schema applies the next one twice, and none of them fits: 2^40 ways to find out.
TEST(SchemaLimits, BranchesInBranchesEnd) {
  object definitions;
  for (int i = 0; i < 40; ++i) {
    const object next{{"$ref", "#/$defs/" + std::to_string(i + 1)}};
    definitions[std::to_string(i)] = object{{"anyOf", array{next, next}}};
  }
  definitions["40"] = false;
  const auto schema = Schema::compile(object{{"$ref", "#/$defs/0"}, {"$defs", definitions}}).value();
  const auto errors = schema.validate(1);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_THAT(errors[0].message, HasSubstr("steps"));
}

TEST(SchemaLimits, BacktrackingPatternsAreLinear) {
  const std::string text(100'000, 'a');
  for (const auto* pattern : {"^(a+)+$", "(a|aa)+$", "(.*)(.*)(.*)(.*)x", "^(a?){50}a{50}$", "^(([a-z])+.)+[A-Z]$"}) {
    const auto schema = Schema::compile(object{{"pattern", pattern}});
    ASSERT_TRUE(schema) << pattern;
    EXPECT_EQ(schema->validate(value(text + "!")).size(), 1U) << pattern;
  }
}

TEST(SchemaLimits, OfPatterns) {
  const value schema = object{{"items", object{{"pattern", "^(?:x{1,50}){1,50}$"}}}};
  const auto strict = Schema::compile(schema, {.limits = {.max_pattern_risk = 1'000'000}}).value();
  EXPECT_THAT(strict.validate(array{value(std::string(100, 'x'))}), IsEmpty());
  EXPECT_EQ(strict.validate(array{value(std::string(1000, 'x'))}).at(0).message,
            "a text is too long for its pattern in the schema");
  // RE2's slow path, again and again.
  const auto impatient = Schema::compile(schema, {.limits = {.max_pattern_ms = 1}}).value();
  EXPECT_EQ(impatient.validate(array(1000, value(std::string(2500, 'x')))).at(0).message,
            "matching this against the schema's patterns takes more than 1 ms");
}

TEST(SchemaLimits, UniqueItemsOfALongList) {
  const auto schema = Schema::compile(object{{"uniqueItems", true}}).value();
  array numbers;
  for (int i = 0; i < 200'000; ++i) numbers.emplace_back(i);
  EXPECT_THAT(schema.validate(numbers), IsEmpty());
  numbers.emplace_back(17.0);
  const auto errors = schema.validate(numbers);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].message, "all items must differ; items 17 and 200000 are equal");
}

}  // namespace
}  // namespace llm::json
