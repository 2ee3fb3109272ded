#include "inference/guards.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <random>

namespace llm::inference {
namespace {

using ::testing::HasSubstr;

json::object object(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed && parsed->is_object()) << text;
  return parsed && parsed->is_object() ? parsed->get_object() : json::object();
}

std::string steering(std::string_view text) {
  const auto result = refuse_steering(object(text));
  return result ? "fine" : result.error().pointer;
}

struct Row {
  std::string_view body;
  std::string_view pointer;  // "fine": it passes
};

TEST(Steering, Table) {
  for (
      const auto& [body, pointer] : std::initializer_list<Row>{
          // Other servers and their credentials: LiteLLM, SGLang, vLLM, gateways.
          {R"({"base_url":"http://10.0.0.1"})", "/base_url"},
          {R"({"baseUrl":"http://10.0.0.1"})", "/baseUrl"},
          {R"({"api-base":"http://10.0.0.1"})", "/api-base"},
          {R"({"api_key":"sk-1"})", "/api_key"},
          {R"({"API_KEY":"sk-1"})", "/API_KEY"},
          {R"({"user_config":{"model_list":[{"litellm_params":{"api_base":"http://x"}}]}})", "/user_config"},
          {R"({"anything":{"deep":[{"api_base":"http://x"}]}})", "/anything/deep/0/api_base"},
          {R"({"metadata":{"more":{"api_base":"http://x"}}})", "/metadata/more/api_base"},
          {R"({"extra_body":{"base_url":"http://x"}})", "/extra_body/base_url"},
          {R"({"callback_url":"http://x"})", "/callback_url"},
          {R"({"webhook":{"url":"http://x"}})", "/webhook"},
          {R"({"fallbacks":["other-model"]})", "/fallbacks"},
          {R"({"models":["other-model"]})", "/models"},
          {R"({"bootstrap_host":"10.0.0.1"})", "/bootstrap_host"},
          {R"({"kv_transfer_params":{"remote_host":"10.0.0.1"}})", "/kv_transfer_params"},
          {R"({"tools":[{"type":"mcp","server_url":"http://x"}]})", "/tools/0/server_url"},
          {R"({"tools":[{"type":"mcp","server":{"headers":{"a":"b"}}}]})", "/tools/0/server/headers"},
          // Templates and parsers.
          {R"({"chat_template":"{{ 1 }}"})", "/chat_template"},
          {R"({"chat_template_kwargs":{"chat_template":"x"}})", "/chat_template_kwargs/chat_template"},
          {R"({"chat_template_kwargs":{"messages":[]}})", "/chat_template_kwargs/messages"},
          {R"({"chat_template_kwargs":{"enable_thinking":{"a":1}}})", "/chat_template_kwargs/enable_thinking"},
          {R"({"chat_template_kwargs":"x"})", "/chat_template_kwargs"},
          {R"({"chat_template_kwargs":["x"]})", "/chat_template_kwargs"},
          {R"({"grammar_triggers":[]})", "/grammar_triggers"},
          {R"({"chat_parser":"x"})", "/chat_parser"},
          // Files, adapters, code.
          {R"({"lora":[{"id":0,"scale":9}]})", "/lora"},
          {R"({"lora_path":"/etc/passwd"})", "/lora_path"},
          {R"({"model_path":"/etc/passwd"})", "/model_path"},
          {R"({"logits_processors":["os.system"]})", "/logits_processors"},
          {R"({"custom_logit_processor":"x"})", "/custom_logit_processor"},
          {R"({"prompt_embeds":"x"})", "/prompt_embeds"},
          {R"({"trust_remote_code":true})", "/trust_remote_code"},
          // Internals of engines.
          {R"({"id_slot":0})", "/id_slot"},
          {R"({"cache_salt":"x"})", "/cache_salt"},
          {R"({"guided_decoding_backend":"x"})", "/guided_decoding_backend"},
          {R"({"mm_processor_kwargs":{}})", "/mm_processor_kwargs"},
          {R"({"speculative.n_max":9})", "/speculative.n_max"},
          {R"({"response_fields":["content"]})", "/response_fields"},
          {R"({"engine_args":{"a":1}})", "/engine_args"},
          {R"({"options":{"num_gpu":9}})", "/options/num_gpu"},
          {R"({"priority":-9})", "/priority"},
          // Integers that llama-server would take as they come (CVE-2026-21869).
          {R"({"n_discard":-1})", "/n_discard"},
          {R"({"n_discard":0})", "fine"},
          {R"({"n_discard":2147483647})", "fine"},
          {R"({"n_discard":2147483648})", "/n_discard"},
          {R"({"n_keep":-2})", "/n_keep"},
          {R"({"n_keep":-1})", "fine"},
          {R"({"n_keep":1.5})", "/n_keep"},
          {R"({"n_keep":"1"})", "/n_keep"},
          {R"({"n_keep":null})", "fine"},
          // Addresses that an engine would open.
          {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]}]})",
           "/messages/0/content/0/image_url/url"},
          {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":"file:///etc/passwd"}]}]})",
           "/messages/0/content/0/image_url"},
          {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":" data:x"}}]}]})",
           "/messages/0/content/0/image_url/url"},
          {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"/etc/passwd"}}]}]})",
           "/messages/0/content/0/image_url/url"},
          {R"({"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"http://x"}}]}]})",
           "/messages/0/content/0/input_audio/data"},
          {R"({"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"/9j/AA=="}}]}]})",
           "fine"},
          {R"({"messages":[{"role":"tool","content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"http://x"}}]}]}]})",
           "/messages/0/content/0/content/0/source/url"},
          {R"({"input":[{"content":[{"image_url":"http://x"}]}]})", "/input/0/content/0/image_url"},
          {R"({"documents":[{"text":"a","url":"https://example.org"}]})", "fine"},
          {R"({"documents":[{"image_url":"https://example.org"}]})", "/documents/0/image_url"},
          // What clients rightly send.
          {R"({"model":"m","messages":[{"role":"user","content":"see http://x and file:///y, api_key, {{ x }}"}]})",
           "fine"},
          {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]})",
           "fine"},
          {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"url\":\"http://x\"}"}}],"annotations":[{"url_citation":{"url":"https://x"}}]}]})",
           "fine"},
          {R"({"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"base_url":{"type":"string"},"api_key":{"type":"string","default":"x"},"template":{}}}}}]})",
           "fine"},
          {R"({"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"base_url":{"const":"http://x"}}}}}})",
           "fine"},
          {R"({"metadata":{"template":"a","priority":"high","path":"x"}})", "fine"},
          {R"({"metadata":{"api_base":"http://x"}})", "/metadata/api_base"},
          {R"({"chat_template_kwargs":{"enable_thinking":false,"reasoning_effort":"low"}})", "fine"},
          {R"({"chat_template":null,"api_key":null,"chat_template_kwargs":null})", "fine"},
          {R"({"cache_prompt":true,"samplers":["top_k"],"logit_bias":{"42":-100},"seed":1,"return_progress":true})",
           "fine"},
          {R"({"stream_options":{"include_usage":true},"tool_choice":{"type":"function","function":{"name":"f"}}})",
           "fine"},
      }) {
    EXPECT_EQ(steering(body), pointer) << body;
  }
}

TEST(Steering, SaysWhatAndWhy) {
  const auto result = refuse_steering(object(R"({"api_base":"http://secret.example"})"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(result.error().message, HasSubstr("\"api_base\" is not taken from requests"));
  EXPECT_THAT(result.error().message, Not(HasSubstr("secret.example")));
}

access::Caps small() {
  access::Caps caps;
  caps.max_choices = 2;
  caps.max_best_of = 3;
  caps.max_prompts = 2;
  caps.max_stops = 2;
  caps.max_logprobs = 5;
  caps.max_tokens = 100;
  caps.max_messages = 2;
  caps.max_images = 1;
  caps.max_tools = 1;
  caps.max_schema_depth = 3;
  caps.max_schema_bytes = json::ByteSize{64};
  return caps;
}

std::string capped(std::string_view text, const access::Caps& caps) {
  const auto result = check_caps(object(text), Operation::kChat, caps);
  return result ? "fine" : result.error().pointer;
}

TEST(CheckCaps, AtTheLimitAndOnePastIt) {
  for (
      const auto& [body, pointer] : std::initializer_list<Row>{
          {R"({"n":2})", "fine"},
          {R"({"n":3})", "/n"},
          {R"({"n":2.0})", "fine"},
          {R"({"n":1.5})", "/n"},
          {R"({"n":-1})", "/n"},
          {R"({"n":"3"})", "/n"},
          {R"({"n":true})", "/n"},
          {R"({"n":18446744073709551615})", "/n"},
          {R"({"n":1e300})", "/n"},
          {R"({"n":null})", "fine"},
          {R"({"n_cmpl":3})", "/n_cmpl"},
          {R"({"best_of":3})", "fine"},
          {R"({"best_of":4})", "/best_of"},
          {R"({"max_tokens":100})", "fine"},
          {R"({"max_tokens":101})", "/max_tokens"},
          {R"({"max_completion_tokens":101})", "/max_completion_tokens"},
          {R"({"n_predict":-1})", "/n_predict"},
          {R"({"max_tokens":1,"n_predict":101})", "/n_predict"},
          {R"({"min_tokens":101})", "/min_tokens"},
          {R"({"extra_body":{"max_tokens":101}})", "/extra_body/max_tokens"},
          {R"({"options":{"num_predict":101}})", "/options/num_predict"},
          {R"({"top_logprobs":5,"logprobs":true})", "fine"},
          {R"({"top_logprobs":6,"logprobs":true})", "/top_logprobs"},
          {R"({"logprobs":true})", "/logprobs"},  // llama-server would take 20
          {R"({"logprobs":false})", "fine"},
          {R"({"logprobs":5})", "fine"},
          {R"({"logprobs":6})", "/logprobs"},
          {R"({"n_probs":6})", "/n_probs"},
          {R"({"prompt_logprobs":-1})", "/prompt_logprobs"},
          {R"({"prompt":["a","b"]})", "fine"},
          {R"({"prompt":["a","b","c"]})", "/prompt"},
          {R"({"prompt":[1,2,3,4]})", "fine"},
          {R"({"prompt":[1,2,"c"]})", "/prompt"},
          {R"({"prompt":[[1],[2],[3]]})", "/prompt"},
          {R"({"input":["a","b","c"]})", "/input"},
          {R"({"documents":["a","b","c"]})", "/documents"},
          {R"({"texts":["a","b","c"]})", "/texts"},
          {R"({"stop":"a"})", "fine"},
          {R"({"stop":["a","b"]})", "fine"},
          {R"({"stop":["a","b","c"]})", "/stop"},
          {R"({"stop_token_ids":[1,2,3]})", "/stop_token_ids"},
          {R"({"messages":[{},{}]})", "fine"},
          {R"({"messages":[{},{},{}]})", "/messages"},
          {R"({"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:a"}},{"type":"text","text":"a"}]}]})",
           "fine"},
          {R"({"messages":[{"content":[{"image_url":"data:a"}]},{"content":[{"type":"image","source":{"data":"a"}}]}]})",
           "/messages"},
          {R"({"images":["a","b"]})", "/images"},
          {R"({"prompt":{"prompt_string":"a","multimodal_data":["a","b"]}})", "/prompt"},
          {R"({"tools":[{}]})", "fine"},
          {R"({"tools":[{},{}]})", "/tools"},
          {R"({"functions":[{},{}]})", "/functions"},
          {R"({"tools":[{"function":{"parameters":{"a":{"b":{}}}}}]})", "fine"},
          {R"({"tools":[{"function":{"parameters":{"a":{"b":{"c":{}}}}}}]})", "/tools/0/function/parameters"},
          {R"({"tools":[{"input_schema":{"a":[[[]]]}}]})", "/tools/0/input_schema"},
          {R"({"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"a":{"b":{}}}}}})", "fine"},
          {R"({"response_format":{"type":"json_schema","json_schema":{"schema":{"a":{"b":{"c":{}}}}}}})",
           "/response_format/json_schema/schema"},
          {R"({"response_format":{"type":"json_object","schema":{"a":{"b":{"c":{}}}}}})", "/response_format/schema"},
          {R"({"json_schema":{"a":{"b":{"c":{}}}}})", "/json_schema"},
          {R"({"guided_json":"[[[[]]]]"})", "/guided_json"},
          {R"j({"grammar":"root ::= ((( \"a\" )))"})j", "fine"},
          {R"j({"grammar":"root ::= (((( \"a\" ))))"})j", "/grammar"},
          {R"j({"guided_regex":"((((a))))"})j", "/guided_regex"},
      }) {
    EXPECT_EQ(capped(body, small()), pointer) << body;
  }
  const auto schema = [](std::size_t bytes) {
    return fmt::format(R"({{"json_schema":{{"a":"{}"}}}})", std::string(bytes - 8, 'x'));
  };
  EXPECT_EQ(capped(schema(64), small()), "fine");
  EXPECT_EQ(capped(schema(65), small()), "/json_schema");
  EXPECT_EQ(capped(R"({"grammar":")" + std::string(64, 'x') + R"("})", small()), "fine");
  EXPECT_EQ(capped(R"({"grammar":")" + std::string(65, 'x') + R"("})", small()), "/grammar");
}

TEST(CheckCaps, ZeroIsNoCap) {
  access::Caps open{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, json::ByteSize{0}};
  EXPECT_EQ(capped(R"({"n":128,"best_of":128,"prompt":["a","b","c"],"stop":["a","b","c"],"logprobs":true,
                       "max_tokens":1000000,"messages":[{},{},{}],"images":["a","b"],"tools":[{},{}],
                       "json_schema":{"a":{"b":{"c":{"d":{}}}}}})",
                   open),
            "fine");
}

// What an engine would read out of a body, written down apart from the guards.
struct Reading {
  double choices = 0, best = 0, tokens = 0, logprobs = 0;
  std::size_t prompts = 0, stops = 0, messages = 0, tools = 0, schema_bytes = 0;
};
double most(const json::object& body, std::initializer_list<std::string_view> names) {
  double out = 0;
  for (const auto name : names) {
    const auto* value = json::find(body, name);
    if (!value || value->is_null() || value->is_bool()) continue;
    // What is no number might be read as any: nothing of the kind may pass.
    const double number = value->is_number() ? value->to_number<double>() : 1e300;
    out = std::max(out, number < 0 ? 1e300 : number);
  }
  return out;
}
std::size_t count(const json::object& body, std::string_view name) {
  const auto* value = json::find(body, name);
  return value && value->is_array() ? value->get_array().size() : 0;
}
Reading read(const json::object& body) {
  Reading out;
  out.choices = most(body, {"n", "n_cmpl"});
  out.best = most(body, {"best_of"});
  out.tokens = most(body, {"max_tokens", "max_completion_tokens", "n_predict"});
  out.logprobs = most(body, {"logprobs", "top_logprobs", "n_probs"});
  if (json::bool_or(body, "logprobs") && count(body, "top_logprobs") == 0 && most(body, {"top_logprobs"}) == 0) {
    const auto* top = json::find(body, "top_logprobs");
    if (!top || top->is_null()) out.logprobs = std::max(out.logprobs, 20.0);
  }
  const auto* prompt = json::find(body, "prompt");
  if (prompt && prompt->is_array()) {
    std::size_t texts = 0;
    for (const auto& item : prompt->get_array()) texts += item.is_number() ? 0 : 1;
    out.prompts = texts;
  }
  out.stops = count(body, "stop");
  out.messages = count(body, "messages");
  out.tools = count(body, "tools");
  if (const auto* schema = json::find(body, "json_schema")) out.schema_bytes = json::write(*schema).size();
  return out;
}

class Bodies {
 public:
  explicit Bodies(std::uint32_t seed) : random_(seed) {}
  json::object next() {
    json::object body;
    for (const std::string_view name :
         {"n", "n_cmpl", "best_of", "max_tokens", "max_completion_tokens", "n_predict", "logprobs", "top_logprobs",
          "n_probs", "prompt", "stop", "messages", "tools", "json_schema"}) {
      if (pick(3) == 0) body[name] = value(name, 0);
    }
    return body;
  }

 private:
  std::uint32_t pick(std::uint32_t below) { return random_() % below; }
  json::value value(std::string_view name, int depth) {
    switch (pick(depth > 4 ? 5 : 8)) {
      case 0:
        return static_cast<std::int64_t>(pick(8)) - 2;
      case 1:
        return pick(200) / 4.0;
      case 2:
        return pick(2) == 0;
      case 3:
        return nullptr;
      case 4:
        return "7";
      case 5: {
        json::object out;
        for (auto i = pick(4); i > 0; --i) out["k" + std::to_string(i)] = value(name, depth + 1);
        return out;
      }
      default: {
        json::array out;
        for (auto i = pick(5); i > 0; --i) out.push_back(value(name, depth + 1));
        return out;
      }
    }
  }
  std::mt19937 random_;
};

TEST(CheckCaps, WhatPassesNeverExceedsACap) {
  const auto caps = small();
  Bodies bodies(7);
  int passed = 0;
  for (int i = 0; i < 20'000; ++i) {
    const json::object body = bodies.next();
    if (!check_caps(body, Operation::kCompletion, caps)) continue;
    ++passed;
    const Reading seen = read(body);
    const std::string text = json::write(body);
    ASSERT_LE(seen.choices, caps.max_choices) << text;
    ASSERT_LE(seen.best, caps.max_best_of) << text;
    ASSERT_LE(seen.tokens, caps.max_tokens) << text;
    ASSERT_LE(seen.logprobs, caps.max_logprobs) << text;
    ASSERT_LE(seen.prompts, caps.max_prompts) << text;
    ASSERT_LE(seen.stops, caps.max_stops) << text;
    ASSERT_LE(seen.messages, caps.max_messages) << text;
    ASSERT_LE(seen.tools, caps.max_tools) << text;
    ASSERT_LE(seen.schema_bytes, caps.max_schema_bytes.bytes) << text;
  }
  EXPECT_GT(passed, 200) << "too few to mean something";
}

}  // namespace
}  // namespace llm::inference
