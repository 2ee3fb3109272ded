#include "inference/generate.h"

#include <gtest/gtest.h>

namespace llm::inference {
namespace {

// The engine's request for a body of POST /api/v1/generate, or the error's pointer.
std::string engine_request(std::string_view body) {
  const auto decoded = json::decode<GenerateRequest>(json::parse(body).value().as_object());
  if (!decoded) return "decode " + decoded.error().pointer;
  const auto request = to_engine_request(*decoded);
  if (!request) return "error " + request.error().pointer;
  return (request->chat ? "chat " : "completion ") + json::write(request->body);
}

TEST(Generate, BecomesAnEngineRequest) {
  for (
      const auto& [given, wanted] : std::vector<std::pair<std::string, std::string>>{
          {R"({"prompt":"a"})", R"(completion {"model":"","prompt":"a"})"},
          {R"({"model":"m","prompt":""})", R"(completion {"model":"m","prompt":""})"},
          {R"({"prompt":"a","max_tokens":5,"temperature":0,"top_k":3,"seed":7,"repeat_penalty":1.5,"stop":"x"})",
           R"(completion {"model":"","prompt":"a","max_tokens":5,"temperature":0.0,"top_k":3,"repeat_penalty":1.5,"seed":7,"stop":["x"]})"},
          {R"({"messages":[{"role":"user","content":"a","odd":1}],"tools":[{"type":"function"}],"tool_choice":"auto"})",
           R"(chat {"model":"","messages":[{"role":"user","content":"a","odd":1}],"tools":[{"type":"function"}],"tool_choice":"auto"})"},
          {R"({"messages":[{"role":"user","content":"a"}],"logprobs":2})",
           R"(chat {"model":"","messages":[{"role":"user","content":"a"}],"logprobs":true,"top_logprobs":2})"},
          {R"({"prompt":"a","logprobs":2})", R"(completion {"model":"","prompt":"a","logprobs":2})"},
          {R"({"prompt":"see","images":["iVBORw0KGgo="]})",
           R"(chat {"model":"","messages":[{"role":"user","content":[{"type":"text","text":"see"},)"
           R"({"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]})"},
          {R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":"b"}],"images":["data:image/gif;base64,R0lGOD"]})",
           R"(chat {"model":"","messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
           R"({"type":"image_url","image_url":{"url":"data:image/gif;base64,R0lGOD"}}]},{"role":"assistant","content":"b"}]})"},
          {R"({"prompt":"a","stream":true,"keep_alive":"5m"})", R"(completion {"model":"","prompt":"a"})"},
      }) {
    EXPECT_EQ(engine_request(given), wanted);
  }
}

TEST(Generate, WrongRequestsNameThePlace) {
  for (const auto& [given, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "error /prompt"},
           {R"({"prompt":"a","messages":[{"role":"user"}]})", "error /messages"},
           {R"({"messages":[]})", "decode /messages"},
           {R"({"prompt":"a","tools":[{}]})", "error /tools"},
           {R"({"prompt":"a","images":["http://example.org/a.png"]})", "error /images/0"},
           {R"({"prompt":"a","images":["AAAA","/etc/pass wd"]})", "error /images/1"},
           {R"({"prompt":"a","images":[""]})", "error /images/0"},
           {R"({"messages":[{"role":"system","content":"a"}],"images":["AAAA"]})", "error /images"},
           {R"({"prompt":5})", "decode /prompt"},
           {R"({"prompt":"a","temperature":101})", "decode /temperature"},
           {R"({"prompt":"a","max_tokens":0})", "decode /max_tokens"},
           {R"({"prompt":"a","promt":"b"})", "decode /promt"},
           {R"({"prompt":"a","keep_alive":"soon"})", "decode /keep_alive"},
       }) {
    EXPECT_EQ(engine_request(given), wanted) << given;
  }
}

}  // namespace
}  // namespace llm::inference
