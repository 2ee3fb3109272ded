#include "inference/canonical_request.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace llm::inference {
namespace {

json::object parse(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed->get_object();
}

std::string canonical(const json::object& request) {
  std::string out;
  append_canonical(out, request);
  return out;
}

std::string canonical(std::string_view text) {
  return canonical(parse(text));
}

TEST(CanonicalRequest, OneSpelling) {
  const struct {
    std::string_view a, b;
  } equal[] = {
      {R"({"seed":1,"top_p":0.5})", R"({"top_p":0.5,"seed":1})"},
      {R"({"seed":1})", R"({"seed":1.0})"},
      {R"({"seed":1})", R"({"seed":1e0})"},
      {R"({"seed":100})", R"({"seed":1E2})"},
      {R"({"temperature":0})", R"({"temperature":-0.0})"},
      {R"({"seed":9223372036854775808})", R"({"seed":9223372036854775808.0})"},
      {R"({"top_p":0.1})", R"({"top_p":1e-1})"},
      {R"({"prompt":"é"})", R"({"prompt":"\u00e9"})"},
      {R"({"prompt":"a/b"})", R"({"prompt":"a\/b"})"},
      {R"({"logit_bias":{"5":1,"7":-2.0}})", R"({"logit_bias":{"7":-2,"5":1.0}})"},
      {R"({"messages":[{"role":"user","content":"x"}]})", R"({"messages":[{"content":"x","role":"user"}]})"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u","detail":"low"}}]}]})",
       R"({"messages":[{"content":[{"image_url":{"detail":"low","url":"u"},"type":"image_url"}],"role":"user"}]})"},
      {R"({"prompt":"x"})",
       R"({"prompt":"x","stream":true,"stream_options":{"include_usage":true},"user":"u","keep_alive":"5m","model":"m",
           "metadata":{"a":"b"},"cache":true,"request_id":"r","priority":3})"},
  };
  for (const auto& [a, b] : equal) EXPECT_EQ(canonical(a), canonical(b)) << a << "\n" << b;
}

TEST(CanonicalRequest, WhatIsAnotherPromptStaysApart) {
  const struct {
    std::string_view a, b;
  } different[] = {
      {R"({"seed":1})", R"({"seed":2})"},
      {R"({"seed":1})", R"({"seed":"1"})"},
      {R"({"seed":1})", R"({"seed":true})"},
      {R"({"seed":0})", R"({"seed":null})"},
      {R"({"seed":0})", R"({})"},
      {R"({"seed":9007199254740993})", R"({"seed":9007199254740992.0})"},
      {R"({"prompt":["a","b"]})", R"({"prompt":["ab"]})"},
      {R"({"prompt":["a","b"]})", R"({"prompt":["b","a"]})"},
      {R"({"prompt":"\u00e9"})", R"({"prompt":"e\u0301"})"},
      {R"({"a":"1","b":"2"})", R"({"a":"1s1:bs1:2"})"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"user","content":"y"}]})",
       R"({"messages":[{"role":"user","content":"y"},{"role":"user","content":"x"}]})"},
      // what templates and grammars put before the model as it was written
      {R"({"tools":[{"a":1,"b":2}]})", R"({"tools":[{"b":2,"a":1}]})"},
      {R"({"tools":[{"default":1}]})", R"({"tools":[{"default":1.0}]})"},
      {R"({"response_format":{"a":1,"b":2}})", R"({"response_format":{"b":2,"a":1}})"},
      {R"({"chat_template_kwargs":{"model":"a"}})", R"({"chat_template_kwargs":{"model":"b"}})"},
      {R"({"messages":[{"tool_calls":[{"arguments":{"a":1,"b":2}}]}]})",
       R"({"messages":[{"tool_calls":[{"arguments":{"b":2,"a":1}}]}]})"},
      // only members of the request itself are left out
      {R"({"messages":[{"content":"x","user":"a"}]})", R"({"messages":[{"content":"x","user":"b"}]})"},
  };
  for (const auto& [a, b] : different) EXPECT_NE(canonical(a), canonical(b)) << a << "\n" << b;
}

TEST(CanonicalRequest, NoTextRunsIntoTheNext) {
  const auto row = [](std::string_view a, std::string_view b) {
    std::string out;
    append_canonical(out, a);
    append_canonical(out, b);
    return out;
  };
  EXPECT_NE(row("ab", "c"), row("a", "bc"));
  EXPECT_NE(row("", "s0:"), row("s0:", ""));
}

// Random documents. The same seed makes the same ones.
class Documents {
 public:
  explicit Documents(std::uint32_t seed) : random_(seed) {}

  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }

  json::value scalar() {
    switch (below(6)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return static_cast<std::int64_t>(below(1000)) - 500;
      case 3:
        return static_cast<double>(below(1000)) / 8;
      default:
        return json::value(text());
    }
  }
  std::string text() {
    static constexpr std::string_view kPieces[] = {"a", "é", "{", "]", "s1:", ";", "\n", "temperature", "\"", "i1"};
    std::string out;
    for (auto n = below(6); n > 0; --n) out += kPieces[below(std::size(kPieces))];
    return out;
  }
  json::value any(int depth) {
    if (depth == 0 || below(3) == 0) return scalar();
    if (below(2) == 0) return object(depth - 1);
    json::array out;
    for (auto n = below(4); n > 0; --n) out.push_back(any(depth - 1));
    return out;
  }
  json::object object(int depth) {
    json::object out;
    for (auto n = below(6); n > 0; --n) out[text()] = any(depth);
    return out;
  }
  json::object request() {
    json::object out = object(2);
    json::array messages;
    for (auto n = below(4); n > 0; --n) {
      json::object message{{"role", "user"}, {"content", text()}};
      if (below(2) == 0) message["content"] = json::array{json::object{{"type", "text"}, {"text", text()}}};
      messages.push_back(std::move(message));
    }
    out["messages"] = std::move(messages);
    out["temperature"] = scalar();
    return out;
  }

  // The same request, spelled otherwise where a spelling does not count: order of members, kind of a number, and
  // members that are left out.
  json::object respelled(const json::object& request) {
    json::object out = shuffled(request);
    for (auto& member : out) respell(member.value());
    if (auto* messages = out.if_contains("messages"); messages && messages->is_array()) {
      for (auto& message : messages->get_array()) {
        auto other = shuffled(message.get_object());
        if (other["content"].is_array()) {
          for (auto& part : other["content"].get_array()) part = shuffled(part.get_object());
        }
        message = std::move(other);
      }
    }
    out["stream"] = below(2) == 0;
    out["user"] = text();
    return out;
  }

 private:
  json::object shuffled(const json::object& from) {
    std::vector<std::pair<std::string, json::value>> members;
    for (const auto& member : from) members.emplace_back(member.key(), member.value());
    std::shuffle(members.begin(), members.end(), random_);
    json::object out;
    for (auto& [key, value] : members) out[key] = std::move(value);
    return out;
  }
  void respell(json::value& value) {
    if (value.is_int64()) {
      value = static_cast<double>(value.get_int64());
    } else if (value.is_double() && value.get_double() == static_cast<std::int64_t>(value.get_double())) {
      value = static_cast<std::int64_t>(value.get_double());
    }
  }

  std::mt19937 random_;
};

TEST(CanonicalRequest, PropertyOtherSpellingsAreOne) {
  Documents documents(20);
  for (int i = 0; i < 3000; ++i) {
    auto request = documents.request();
    request.erase("stream");
    request.erase("user");
    const auto other = documents.respelled(request);
    ASSERT_EQ(canonical(request), canonical(other)) << json::write(request) << "\n" << json::write(other);
  }
}

// Equal bytes, equal requests: what the bytes say is compared with the documents, in one spelling of their own.
TEST(CanonicalRequest, PropertyDifferentRequestsStayApart) {
  Documents documents(21);
  for (int i = 0; i < 3000; ++i) {
    const auto request = documents.request();
    auto other = request;
    // one change somewhere: a member more, or a text longer
    if (documents.below(2) == 0 || request.at("messages").get_array().empty()) {
      other["m" + std::to_string(i)] = documents.scalar();
    } else {
      auto& message = other["messages"].get_array()[0].get_object();
      auto& content = message["content"];
      auto& text = content.is_string() ? content : content.get_array()[0].get_object()["text"];
      text.get_string().append("s1:a");
    }
    ASSERT_NE(canonical(request), canonical(other)) << json::write(request) << "\n" << json::write(other);
  }
}

TEST(CanonicalRequest, ManyMembers) {
  json::object forwards, backwards;
  for (int i = 0; i < 100; ++i) forwards["k" + std::to_string(i)] = i;
  for (int i = 99; i >= 0; --i) backwards["k" + std::to_string(i)] = i;
  EXPECT_EQ(canonical(forwards), canonical(backwards));
  forwards["k50"] = 51;
  EXPECT_NE(canonical(forwards), canonical(backwards));
}

TEST(MayRepeat, OnlyWithoutChance) {
  for (const std::string_view yes :
       {R"({"temperature":0})", R"({"temperature":0.0,"top_p":0.5})", R"({"temperature":1,"top_k":1})",
        R"({"temperature":0,"n":1})", R"({"temperature":0,"mirostat":0,"xtc_probability":null})",
        R"({"temperature":0,"logprobs":true,"tools":[]})"}) {
    EXPECT_TRUE(may_repeat(parse(yes))) << yes;
  }
  for (const std::string_view no :
       {"{}", R"({"temperature":null})", R"({"temperature":"0"})", R"({"temperature":0.01})", R"({"seed":1})",
        R"({"temperature":0,"n":2})", R"({"temperature":0,"best_of":2})", R"({"temperature":1,"top_k":2})",
        R"({"top_k":1,"min_keep":2})", R"({"temperature":0,"xtc_probability":0.1})",
        R"({"temperature":0,"dynatemp_range":1})", R"({"temperature":0,"mirostat":2})",
        R"({"temperature":0,"samplers":["top_p"]})"}) {
    EXPECT_FALSE(may_repeat(parse(no))) << no;
  }
}

}  // namespace
}  // namespace llm::inference
