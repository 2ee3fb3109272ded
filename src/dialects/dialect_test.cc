// The tables in testdata: what goes out, what comes back, event by event, and what errors mean.
#include "dialects/dialect.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>

namespace llm::dialects {
namespace {

json::array cases_of(const std::string& file) {
  std::ifstream in(std::string(LLM_TESTDATA) + "/" + file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed && parsed->is_array()) << file;
  return parsed && parsed->is_array() ? std::move(parsed->get_array()) : json::array();
}

ProviderKind kind_of(const json::object& test) {
  return json::enum_value<ProviderKind>(json::string_or(test, "kind")).value();
}

Call call_of(std::string_view name) {
  if (name == "completion") return Call::kCompletion;
  if (name == "embedding") return Call::kEmbedding;
  if (name == "rerank") return Call::kRerank;
  if (name == "tokenize") return Call::kTokenize;
  if (name == "detokenize") return Call::kDetokenize;
  return Call::kChat;
}

// One test for each line of a table.
class Table : public testing::TestWithParam<json::value> {
 protected:
  const json::object& test() const { return GetParam().get_object(); }
};
class Requests : public Table {};
class Streams : public Table {};
class Answers : public Table {};
class Errors : public Table {};

auto table(const std::string& file) {
  const json::array cases = cases_of(file);
  return testing::ValuesIn(cases.begin(), cases.end());
}

// "12_Anthropic_an_image_of_nowhere"
std::string label(const testing::TestParamInfo<json::value>& info) {
  const json::object& test = info.param.get_object();
  std::string name = std::to_string(info.index) + "_" + std::string(json::string_or(test, "kind")) + "_" +
                     std::string(json::string_or(test, "name", json::string_or(test, "error", "as_it_is")));
  std::erase_if(name, [](unsigned char c) { return c >= 0x80 || c == '\''; });
  std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

// `created` is the time of the test.
json::value without_time(std::string_view text) {
  auto parsed = json::parse(text);
  if (!parsed) return json::value(text);  // [DONE]
  if (parsed->is_object()) {
    const json::value* created = json::find(parsed->get_object(), "created");
    const bool ours = json::string_or(parsed->get_object(), "id") == "msg_1";
    EXPECT_EQ(ours, created != nullptr && created->is_number());
    parsed->get_object().erase("created");
  }
  return std::move(*parsed);
}

TEST_P(Requests, GoAsTheTableSays) {
  OutgoingFacts facts{.api_key = "KEY", .cache_salt = {}};
  if (const json::value* given = json::find(test(), "facts")) {
    facts.cache_salt = json::string_or(given->get_object(), "cache_salt");
    if (given->get_object().contains("keep_alive_s"))
      facts.keep_alive_s = json::int_or(given->get_object(), "keep_alive_s");
  }
  const auto out = dialect_of(kind_of(test()))
                       .request(call_of(json::string_or(test(), "call")), test().at("request").get_object(), facts);
  if (const json::value* error = json::find(test(), "error")) {
    ASSERT_FALSE(out);
    EXPECT_EQ(describe(out.error().code).name, json::string_or(error->get_object(), "code"));
    EXPECT_EQ(out.error().pointer, json::string_or(error->get_object(), "pointer"));
    return;
  }
  ASSERT_TRUE(out) << to_string(out.error());
  EXPECT_EQ(out->path, json::string_or(test(), "path"));
  EXPECT_EQ(out->body, test().at("body")) << json::write(out->body);
  json::object headers;
  for (const auto& [name, value] : out->headers) headers[name] = value;
  EXPECT_EQ(headers, test().at("headers")) << json::write(headers);
}
INSTANTIATE_TEST_SUITE_P(Dialects, Requests, table("requests.json"), label);

TEST(Dialect, NoKeyNoHeader) {
  for (std::size_t kind = 0; kind < kProviderKinds; ++kind) {
    const auto out =
        dialect_of(static_cast<ProviderKind>(kind))
            .request(Call::kChat,
                     {{"model", "m"}, {"messages", json::array{json::object{{"role", "user"}, {"content", "x"}}}}}, {});
    ASSERT_TRUE(out) << to_string(out.error());
    for (const auto& [name, value] : out->headers) EXPECT_EQ(name, "anthropic-version");
  }
}

TEST_P(Streams, ComeAsTheTableSays) {
  const auto translator = dialect_of(kind_of(test())).stream(Call::kChat);
  ASSERT_NE(translator, nullptr);
  std::vector<std::string> out;
  Result<void> result;
  for (const json::value& event : test().at("events").get_array()) {
    const bool text = event.is_string();
    const std::string data = text ? std::string(event.get_string()) : json::write(event);
    result = translator->on_event(text ? "" : json::string_or(event.get_object(), "type"), data, out);
    if (!result) break;
  }
  EXPECT_EQ(!result, json::bool_or(test(), "fails"));
  if (!result) {
    EXPECT_EQ(result.error().code, ErrorCode::kEngineFailed);
  }
  const json::array& expected = test().at("payloads").get_array();
  ASSERT_EQ(out.size(), expected.size());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(without_time(out[i]), expected[i]) << out[i];
}
INSTANTIATE_TEST_SUITE_P(Dialects, Streams, table("streams.json"), label);

TEST(Dialect, StreamsThatNeedNoLookHaveNoTranslator) {
  for (const auto kind :
       {ProviderKind::kOpenAiCompatible, ProviderKind::kLlamaServer, ProviderKind::kOpenAi, ProviderKind::kSglang}) {
    EXPECT_EQ(dialect_of(kind).stream(Call::kChat), nullptr);
  }
}

// What a model writes is never taken for a field, and an event that needs no mending keeps its bytes.
TEST(Dialect, UntouchedEventsKeepTheirBytes) {
  const auto translator = dialect_of(ProviderKind::kVllm).stream(Call::kChat);
  const std::string event = R"({"choices": [ {"delta":{"content":"{\"reasoning\": 1}"}} ]})";
  std::vector<std::string> out;
  ASSERT_TRUE(translator->on_event("", event, out));
  EXPECT_EQ(out, std::vector<std::string>{event});
}

TEST_P(Answers, ComeAsTheTableSays) {
  const auto out =
      dialect_of(kind_of(test())).answer(call_of(json::string_or(test(), "call")), json::write(test().at("answer")));
  if (const json::value* error = json::find(test(), "error")) {
    ASSERT_FALSE(out);
    EXPECT_EQ(describe(out.error().code).name, std::string_view(error->get_string()));
    return;
  }
  ASSERT_TRUE(out) << to_string(out.error());
  EXPECT_EQ(without_time(*out), test().at("expect")) << *out;
}
INSTANTIATE_TEST_SUITE_P(Dialects, Answers, table("answers.json"), label);

TEST_P(Errors, ComeAsTheTableSays) {
  const json::value& body = test().at("body");
  const std::string text = body.is_string() ? std::string(body.get_string()) : json::write(body);
  const auto error = dialect_of(kind_of(test())).error(static_cast<int>(json::int_or(test(), "status")), text);
  if (test().at("error").is_null()) {
    EXPECT_FALSE(error);
    return;
  }
  ASSERT_TRUE(error);
  EXPECT_EQ(describe(error->code).name, json::string_or(test(), "error"));
  EXPECT_EQ(error->message.find("sk-"), std::string::npos) << "a key in a message";
}
INSTANTIATE_TEST_SUITE_P(Dialects, Errors, table("errors.json"), label);

// Whatever a client writes, only what the Messages API has goes there; it refuses everything else.
TEST(Dialect, AnthropicGetsNoFieldThatItDoesNotHave) {
  json::object request{{"model", "claude-next"},
                       {"messages", json::array{json::object{{"role", "user"}, {"content", "x"}}}},
                       {"stream", true},
                       {"thinking_blocks", json::array()},
                       {"made_up", 1}};
  for (const std::string_view name : {"frequency_penalty",
                                      "presence_penalty",
                                      "seed",
                                      "logit_bias",
                                      "service_tier",
                                      "store",
                                      "metadata",
                                      "prediction",
                                      "verbosity",
                                      "top_k",
                                      "min_p",
                                      "typical_p",
                                      "repeat_penalty",
                                      "repetition_penalty",
                                      "mirostat",
                                      "dry_base",
                                      "samplers",
                                      "cache_prompt",
                                      "return_progress",
                                      "chat_template_kwargs",
                                      "guided_json",
                                      "cache_salt",
                                      "ttl",
                                      "keep_alive",
                                      "id_slot",
                                      "top_logprobs",
                                      "modalities",
                                      "stream_options",
                                      "n_keep",
                                      "reasoning_format"}) {
    request[name] = 1;
  }
  const auto out =
      dialect_of(ProviderKind::kAnthropic).request(Call::kChat, request, {.api_key = {}, .cache_salt = "S"});
  ASSERT_TRUE(out) << to_string(out.error());
  const json::array known{"model", "messages", "max_tokens", "stream", "top_k"};
  for (const auto& [key, value] : out->body) {
    EXPECT_NE(std::ranges::find(known, json::value(key)), known.end()) << key;
  }
}

// Whatever they carry, the fields that only local engines know never reach a service.
TEST(Dialect, ServicesGetNoSamplingOfLocalEngines) {
  for (const auto kind : {ProviderKind::kOpenAi, ProviderKind::kGemini, ProviderKind::kOpenRouter}) {
    for (const std::string_view name : {"mirostat", "dry_multiplier", "xtc_threshold", "samplers", "n_probs",
                                        "cache_prompt", "return_progress", "t_max_predict_ms", "ignore_eos"}) {
      const auto out = dialect_of(kind).request(Call::kChat, {{"model", "m"}, {"messages", json::array()}, {name, 1}},
                                                {.api_key = {}, .cache_salt = "S"});
      ASSERT_TRUE(out) << to_string(out.error());
      EXPECT_FALSE(out->body.contains(name)) << to_string(kind) << " " << name;
      EXPECT_FALSE(out->body.contains("cache_salt")) << to_string(kind);
    }
  }
}

TEST(Presets, AreInTheOrderOfTheirKinds) {
  for (std::size_t kind = 0; kind < kProviderKinds; ++kind) {
    const auto& preset = preset_of(static_cast<ProviderKind>(kind));
    EXPECT_EQ(static_cast<std::size_t>(preset.kind), kind);
    EXPECT_EQ(preset.name, json::enum_name(preset.kind));
    EXPECT_EQ(preset.cloud, preset.base_url.starts_with("https://"));
    EXPECT_TRUE(preset.health_path.starts_with('/'));
  }
}

}  // namespace
}  // namespace llm::dialects
