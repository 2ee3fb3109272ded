#include "json/schema_validator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

namespace llm::json {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

value json(std::string_view text) {
  auto parsed = parse(text);
  EXPECT_TRUE(parsed) << text << ": " << to_string(parsed.error());
  return parsed ? std::move(*parsed) : value();
}

Schema compiled(std::string_view text, const SchemaSettings& settings = {}) {
  auto schema = Schema::compile(json(text), settings);
  EXPECT_TRUE(schema) << text << ": " << to_string(schema.error());
  return schema ? std::move(*schema) : Schema::compile(value(true)).value();
}

std::vector<std::string> errors_of(const Schema& schema, std::string_view document) {
  std::vector<std::string> out;
  for (const auto& error : schema.validate(json(document))) out.push_back(to_string(error));
  return out;
}
std::vector<std::string> errors_of(std::string_view schema, std::string_view document) {
  return errors_of(compiled(schema), document);
}

constexpr std::string_view kChat = R"({
  "type": "object",
  "required": ["messages"],
  "additionalProperties": false,
  "properties": {
    "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/message"}},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 4096},
    "temperature": {"type": "number", "minimum": 0, "exclusiveMaximum": 2},
    "stop": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 4}]},
    "api_key": {"type": "string", "minLength": 20, "pattern": "^sk-", "writeOnly": true}
  },
  "$defs": {"message": {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string", "minLength": 1}}
  }}
})";

TEST(Schema, WhatFitsHasNoErrors) {
  const Schema chat = compiled(kChat);
  EXPECT_THAT(errors_of(chat, R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":1.0,"stop":["a"]})"),
              IsEmpty());
  EXPECT_TRUE(chat.check(json(R"({"messages":[{"role":"user","content":"Hi"}]})")));
}

TEST(Schema, ErrorsSayWhereWhatWasExpectedAndWhatCame) {
  const Schema chat = compiled(kChat);
  EXPECT_THAT(errors_of(chat, R"({"messages":[{"role":"bot","content":"Hi"}],"max_tokens":0})"),
              ElementsAre(R"(/messages/0/role: must be one of "system", "user", "assistant"; got "bot")",
                          "/max_tokens: must be at least 1; got 0"));
  EXPECT_THAT(errors_of(chat, R"({"messages":[],"max_tokens":5000,"temperature":2})"),
              ElementsAre("/messages: must have at least 1 item; got 0", "/max_tokens: must be at most 4096; got 5000",
                          "/temperature: must be less than 2; got 2"));
  EXPECT_THAT(errors_of(chat, R"({"mesages":[],"max_tokens":1.5})"),
              ElementsAre(R"(/mesages: unknown property "mesages"; did you mean "messages"?)",
                          "/max_tokens: must be an integer; got 1.5", R"(missing required property "messages")"));
  EXPECT_THAT(errors_of(chat, R"({"messages":[{"role":"user","content":""},7]})"),
              ElementsAre("/messages/0/content: must not be empty", "/messages/1: must be an object; got 7"));
  EXPECT_THAT(errors_of(chat, R"([])"), ElementsAre("must be an object; got an array"));
}

TEST(Schema, ErrorsNameTheKeyword) {
  const auto errors = compiled(kChat).validate(json(R"({"messages":[{"role":"bot","content":"Hi"}]})"), "/params");
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].pointer, "/params/messages/0/role");
  EXPECT_EQ(errors[0].keyword, "/$defs/message/properties/role/enum");
}

TEST(Schema, SecretsAndLongTextsAreNotEchoed) {
  const Schema chat = compiled(kChat);
  EXPECT_THAT(errors_of(chat, R"({"messages":[{"role":"user","content":"Hi"}],"api_key":"pk-0123456789012345678"})"),
              ElementsAre("/api_key: must match ^sk-"));
  const std::string text(50, 'x');
  EXPECT_THAT(errors_of(R"({"type":"integer"})", "\"" + text + "\""),
              ElementsAre("must be an integer; got a string of 50 characters"));
  EXPECT_THAT(errors_of(R"({"format":"password","allOf":[{"type":"integer"}]})", R"("hunter2")"),
              ElementsAre("must be an integer; got another string"));
}

TEST(Schema, CheckPutsAllInOneError) {
  const auto checked = compiled(kChat).check(json(R"({"messages":[],"max_tokens":0})"), "/arguments");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(checked.error().pointer, "/arguments/messages");
  EXPECT_EQ(checked.error().message,
            "/arguments/messages: must have at least 1 item; got 0; /arguments/max_tokens: must be at least 1; got 0");
}

struct Case {
  std::string_view schema;
  std::string_view document;
  std::string_view error;  // the first
};

class SchemaMessage : public testing::TestWithParam<Case> {};

TEST_P(SchemaMessage, IsForPeople) {
  const auto errors = errors_of(GetParam().schema, GetParam().document);
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors.front(), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    Keywords, SchemaMessage,
    testing::Values(Case{R"({"type":["string","null"]})", "1", "must be a string or null; got 1"},
                    Case{R"({"type":"boolean"})", R"("yes")", R"(must be true or false; got "yes")"},
                    Case{R"({"const":{"a":1}})", "1", R"(must be {"a":1}; got 1)"},
                    Case{R"({"minimum":9223372036854775808})", "9223372036854775807",
                         "must be at least 9223372036854775808; got 9223372036854775807"},
                    Case{R"({"exclusiveMinimum":0.5})", "0.5", "must be more than 0.5; got 0.5"},
                    Case{R"({"multipleOf":0.01})", "19.999", "must be a multiple of 0.01; got 19.999"},
                    Case{R"({"minLength":3})", R"("\u00e9\u00e9")", "must have at least 3 characters; got 2"},
                    Case{R"({"maxLength":1})", R"("ab")", "must have at most 1 character; got 2"},
                    Case{R"({"pattern":"^[a-z]+$"})", R"("A")", R"(must match ^[a-z]+$; got "A")"},
                    Case{R"({"maxItems":1})", "[1,2]", "must have at most 1 item; got 2"},
                    Case{R"({"prefixItems":[true],"items":false})", "[1,2,3]", "must have at most 1 item; got 3"},
                    Case{R"({"uniqueItems":true})", "[1,2,1.0]", "all items must differ; items 0 and 2 are equal"},
                    Case{R"({"contains":{"type":"string"}})", "[1]",
                         R"(must contain at least 1 item as "contains" describes; got 0)"},
                    Case{R"({"contains":{"type":"string"},"maxContains":1})", R"(["a","b"])",
                         R"(must contain at most 1 item as "contains" describes; got 2)"},
                    Case{R"({"minProperties":1})", "{}", "must have at least 1 property; got 0"},
                    Case{R"({"maxProperties":0})", R"({"a":1})", "must have at most 0 properties; got 1"},
                    Case{R"({"additionalProperties":false})", R"({"a":1})", R"(/a: unknown property "a")"},
                    Case{R"({"properties":{"left":true,"right":true},"additionalProperties":false})", R"({"x":1})",
                         R"(/x: unknown property "x"; known are "left", "right")"},
                    Case{R"({"allOf":[{"properties":{"colour":true}}],"unevaluatedProperties":false})",
                         R"({"color":1})", R"(/color: unknown property "color"; did you mean "colour"?)"},
                    Case{R"({"properties":{"old":false}})", R"({"old":1})", "/old: no value is allowed here"},
                    Case{R"({"dependentRequired":{"a":["b"]}})", R"({"a":1})",
                         R"(missing property "b", which "a" requires)"},
                    Case{R"({"propertyNames":{"pattern":"^[a-z]+$"}})", R"({"A/":1})",
                         R"(/A~1: the name of "A/": must match ^[a-z]+$; got "A/")"},
                    Case{R"({"not":{"required":["a"]}})", R"({"a":1})", R"(must not have "a" like this)"},
                    Case{R"({"not":{"const":0}})", "0", "must not be 0"},
                    Case{R"({"not":{"type":"string"}})", R"("")", R"(must not be of the form that "not" describes)"},
                    Case{R"({"if":{"type":"integer"},"then":{"minimum":5}})", "3", "must be at least 5; got 3"},
                    Case{R"({"oneOf":[{"type":"integer"},{"minimum":2}]})", "3",
                         "fits the allowed forms 1 and 2; it must fit exactly one"},
                    Case{R"({"unevaluatedItems":{"type":"string"}})", "[1]", "/0: must be a string; got 1"}));

INSTANTIATE_TEST_SUITE_P(
    Branches, SchemaMessage,
    testing::Values(
        // One form has the right type: its own errors.
        Case{R"({"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]})", "[7]",
             "/0: must be a string; got 7"},
        // None has: all types at once.
        Case{R"({"anyOf":[{"type":"string"},{"type":"array"},{"const":5}]})", "7",
             "must be a string or an array or 5; got 7"},
        Case{R"({"oneOf":[{"const":"a"},{"const":"b"},{"type":"null"}]})", R"("c")",
             R"(must be null or one of "a", "b"; got "c")"},
        // A property tells the forms apart.
        Case{R"({"oneOf":[{"type":"object","properties":{"type":{"const":"text"},"text":{"type":"string"}}},
                          {"type":"object","properties":{"type":{"const":"image"},"url":{"type":"string"}}}]})",
             R"({"type":"image","url":1})", "/url: must be a string; got 1"},
        Case{R"({"oneOf":[{"properties":{"type":{"const":"text"}}},{"properties":{"type":{"const":"image"}}}]})",
             R"({"type":"video"})", R"(/type: must be one of "text", "image"; got "video")"},
        Case{R"({"anyOf":[{"required":["a"]},{"required":["b"]}]})", "{}",
             R"(fits none of the 2 allowed forms: missing required property "a"; or missing required property "b")"}));

TEST(Schema, CollectsOnlySoManyErrors) {
  const Schema schema = compiled(R"({"items":{"type":"string"}})", {.limits = {.max_errors = 3}});
  EXPECT_EQ(schema.validate(json("[1,2,3,4,5]")).size(), 3U);
}

TEST(Schema, FormatsAreCheckedOnRequest) {
  constexpr std::string_view kSchema = R"({"format":"date"})";
  EXPECT_THAT(errors_of(compiled(kSchema), R"("tomorrow")"), IsEmpty());
  EXPECT_THAT(errors_of(compiled(kSchema, {.limits = {}, .assert_formats = true}), R"("tomorrow")"),
              ElementsAre(R"(must be in the format date; got "tomorrow")"));
}

TEST(Schema, MayBeUsedByManyThreads) {
  const Schema chat = compiled(kChat);
  const value good = json(R"({"messages":[{"role":"user","content":"Hi"}],"api_key":"sk-01234567890123456789"})");
  const value bad = json(R"({"messages":[{"role":"user","content":"Hi"}],"api_key":"pk-01234567890123456789"})");
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        EXPECT_THAT(chat.validate(good), IsEmpty());
        EXPECT_EQ(chat.validate(bad).size(), 1U);
      }
    });
  }
}

TEST(Schema, ManyPropertiesAreFound) {
  object properties;
  object document;
  for (int i = 0; i < 300; ++i) {
    properties["p" + std::to_string(i)] = object{{"type", "integer"}};
    document["p" + std::to_string(i)] = i;
  }
  const auto schema = Schema::compile(object{{"properties", properties}, {"additionalProperties", false}});
  ASSERT_TRUE(schema);
  EXPECT_THAT(schema->validate(document), IsEmpty());
  document["q"] = 1;
  EXPECT_EQ(schema->validate(document).size(), 1U);
}

TEST(Schema, ManyChoicesAreFound) {
  array choices;
  for (int i = 0; i < 100; ++i) choices.emplace_back("c" + std::to_string(i));
  choices.emplace_back(7);
  const auto schema = Schema::compile(object{{"enum", choices}});
  ASSERT_TRUE(schema);
  EXPECT_THAT(schema->validate("c99"), IsEmpty());
  EXPECT_THAT(schema->validate(7.0), IsEmpty());
  EXPECT_EQ(schema->validate("d").size(), 1U);
}

}  // namespace
}  // namespace llm::json
