#include "tools/model_tools.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "tools/fake_model_api.h"
#include "tools/schema_check.h"

namespace llm::tools {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using namespace std::chrono_literals;

json::object parsed(std::string_view text) {
  auto document = json::parse(text);
  EXPECT_TRUE(document) << text;
  return document->as_object();
}

class ModelTools : public testing::Test {
 protected:
  ModelTools() { use(0ms); }

  void use(std::chrono::milliseconds progress_interval) {
    tools_.emplace();
    EXPECT_TRUE(register_model_tools(*tools_, api_, {.progress_interval = progress_interval}));
  }

  // Runs until nothing is ready any more; nullopt if the call waits for something then.
  std::optional<Result<mcp::ToolResult>> start(std::string_view name, std::string_view arguments) {
    mcp::ToolCall call;
    call.arguments = parsed(arguments);
    call.cancel = cancel_.token();
    if (listening_) {
      call.progress = mcp::Progress([this](double value, std::optional<double> total, std::string_view message) {
        EXPECT_GT(value, last_value_);
        if (total) EXPECT_LE(value, *total);
        last_value_ = value;
        messages_.emplace_back(message);
      });
    }
    const mcp::Tool* tool = tools_->find(name);
    EXPECT_NE(tool, nullptr) << name;
    boost::asio::co_spawn(context_, tool->handler(std::move(call)),
                          [this](std::exception_ptr error, Result<mcp::ToolResult> result) {
                            EXPECT_FALSE(error);
                            result_ = std::move(result);
                          });
    turn();
    return result_;
  }
  void turn() {
    context_.restart();
    context_.poll();
  }

  // A call that must succeed; its structured content conforms to the tool's output schema.
  mcp::ToolResult call(std::string_view name, std::string_view arguments) {
    auto result = start(name, arguments);
    if (!result || !*result) {
      ADD_FAILURE() << name << ": " << (result ? to_string(result->error()) : "waits");
      return {};
    }
    EXPECT_EQ(check_document(tools_->find(name)->output_schema, (*result)->structured), "") << name;
    EXPECT_FALSE((*result)->is_error);
    return std::move(**result);
  }
  Error refused(std::string_view name, std::string_view arguments) {
    auto result = start(name, arguments);
    if (result && !*result) return result->error();
    ADD_FAILURE() << name << " was not refused";
    return {};
  }

  boost::asio::io_context context_{1};
  FakeModelApi api_;
  std::optional<mcp::ToolRegistry> tools_;
  CancelSource cancel_;
  bool listening_ = false;
  double last_value_ = 0;
  std::vector<std::string> messages_;
  std::optional<Result<mcp::ToolResult>> result_;
};

constexpr std::string_view kGenerated =
    R"({"id":"1","model":"qwen","text":"Hello","finish_reason":"stop",)"
    R"("usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}},)"
    R"("timings":{"x":1},"logprobs":null})";

TEST_F(ModelTools, AllHaveSoundSchemasAndADescription) {
  EXPECT_THAT(tools_->names(), ElementsAre("llm_chat", "llm_generate", "llm_embed", "llm_list_models", "llm_model_info",
                                           "llm_load_model", "llm_unload_model", "llm_pull_model", "llm_status"));
  for (const auto& name : tools_->names()) {
    const mcp::Tool& tool = *tools_->find(name);
    EXPECT_EQ(check_schema(tool.input_schema), "") << name;
    EXPECT_EQ(check_schema(tool.output_schema), "") << name;
    EXPECT_EQ(json::string_or(tool.output_schema, "type"), "object");
    EXPECT_THAT(tool.title, Not(IsEmpty()));
    EXPECT_GT(tool.description.size(), 80U) << name;
    for (const auto& argument : tool.input_schema.at("properties").as_object()) {
      EXPECT_TRUE(argument.value().as_object().contains("description")) << name << " " << argument.key();
    }
  }
}

TEST_F(ModelTools, GenerateGivesTheTextItself) {
  api_.answers.generate = parsed(kGenerated);
  const auto result = call("llm_generate", R"({"prompt":"Hi","max_tokens":5,"stop":"\n","model":null})");
  EXPECT_EQ(result.text, "Hello");
  EXPECT_EQ(json::write(result.structured), R"({"model":"qwen","text":"Hello","finish_reason":"stop",)"
                                            R"("usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})");
  EXPECT_THAT(api_.calls, ElementsAre(R"(generate {"prompt":"Hi","max_tokens":5,"stop":"\n"})"));
  EXPECT_THAT(api_.streamed, ElementsAre(false));
}

TEST_F(ModelTools, GenerateSaysWhenNothingCame) {
  api_.answers.generate = parsed(R"({"model":"m","text":"","finish_reason":"length"})");
  const auto result = call("llm_generate", R"({"prompt":"Hi"})");
  EXPECT_THAT(result.text, HasSubstr("length"));
  EXPECT_EQ(result.structured.at("text"), "");
}

TEST_F(ModelTools, ChatSendsAnOpenAiRequest) {
  api_.answers.generate = parsed(kGenerated);
  const auto result = call("llm_chat", R"({"model":"qwen","temperature":0,"json_schema":{"type":"object"},
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"keep_alive":"10m"})");
  EXPECT_EQ(result.text, "Hello");
  EXPECT_FALSE(result.structured.as_object().contains("tool_calls"));
  EXPECT_EQ(json::parse(std::string_view(api_.calls.at(0)).substr(9)),
            json::parse(R"({"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],
      "model":"qwen","temperature":0.0,"keep_alive":"10m",
      "response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"}}}})"));
}

TEST_F(ModelTools, ChatGivesToolCallsAsText) {
  api_.answers.generate =
      parsed(R"({"model":"m","text":"","finish_reason":"tool_calls","usage":null,"tool_calls":[{"id":"c1",)"
             R"("type":"function","function":{"name":"f","arguments":"{}"}}]})");
  const auto result = call("llm_chat", R"({"messages":[{"role":"user","content":"Hi"}],
      "tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"})");
  EXPECT_EQ(result.text, R"({"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]})");
  EXPECT_EQ(result.structured.at("tool_calls").as_array().size(), 1U);
}

TEST_F(ModelTools, WrongArgumentsAreNamedByPointer) {
  EXPECT_EQ(refused("llm_generate", R"({"prompt":5})").pointer, "/prompt");
  EXPECT_EQ(refused("llm_generate", R"({})").pointer, "/prompt");
  EXPECT_EQ(refused("llm_generate", R"({"prompt":"","temperature":-1})").pointer, "/temperature");
  EXPECT_EQ(refused("llm_chat", R"({"messages":[]})").pointer, "/messages");
  EXPECT_EQ(refused("llm_chat", R"({"messages":[{"role":"boss"}]})").pointer, "/messages/0/role");
  EXPECT_EQ(refused("llm_chat", R"({"messages":[{"role":"user","content":["x"]}]})").pointer, "/messages/0/content");
  EXPECT_EQ(refused("llm_embed", R"({"input":[]})").pointer, "/input");
  EXPECT_EQ(refused("llm_pull_model", R"({"source":"hf:a/b","sha256":"12"})").pointer, "/sha256");
  const Error unknown = refused("llm_generate", R"({"prompt":"","max_token":5})");
  EXPECT_EQ(unknown.pointer, "/max_token");
  EXPECT_THAT(unknown.message, HasSubstr("did you mean \"max_tokens\"?"));
  EXPECT_THAT(api_.calls, IsEmpty());
}

TEST_F(ModelTools, ErrorsOfTheGatewayPassThrough) {
  const Error error{ErrorCode::kContextLengthExceeded, "too long", "/prompt", {}, 0};
  api_.answers.generate = fail(error);
  EXPECT_EQ(refused("llm_generate", R"({"prompt":"Hi"})"), error);
}

TEST_F(ModelTools, EmbedGivesVectors) {
  api_.answers.embed = parsed(R"({"object":"list","model":"e5","data":[{"embedding":[1,0.5],"index":0},)"
                              R"({"embedding":[0.25,-1],"index":1}],"usage":{"prompt_tokens":4,"total_tokens":4}})");
  const auto result = call("llm_embed", R"({"input":["a","b"],"model":"e5"})");
  EXPECT_EQ(result.structured.at("dimensions"), 2);
  EXPECT_EQ(result.structured.at("embeddings").at(1).at(0), 0.25);
  EXPECT_EQ(result.text, "");  // the structure as JSON
  EXPECT_THAT(api_.calls, ElementsAre(R"(embed {"input":["a","b"],"model":"e5"})"));
}

TEST_F(ModelTools, ProgressTellsLoadingThenTokens) {
  listening_ = true;
  api_.answers.generate = parsed(kGenerated);
  api_.events = {parsed(R"({"status":"loading","model":"qwen","phase":"loading weights","progress":0.4})"),
                 parsed(R"({"status":"loading","model":"qwen","phase":"warming up","progress":0.4})"),
                 parsed(R"({"text":"Hel","tokens":1})"), parsed(R"({"text":"lo","tokens":2})")};
  call("llm_generate", R"({"prompt":"Hi"})");
  EXPECT_THAT(messages_,
              ElementsAre("loading qwen (loading weights) 40 %", "loading qwen (warming up) 40 %", "Hel", "Hello"));
  EXPECT_EQ(last_value_, 2);
  EXPECT_THAT(api_.streamed, ElementsAre(true));
}

TEST_F(ModelTools, ProgressKeepsOnlyTheTailOfTheText) {
  listening_ = true;
  api_.answers.generate = parsed(kGenerated);
  for (int i = 0; i < 500; ++i) api_.events.push_back({{"text", "é"}, {"tokens", i + 1}});
  call("llm_generate", R"({"prompt":"Hi"})");
  ASSERT_THAT(messages_, SizeIs(500));
  EXPECT_LE(messages_.back().size(), 160U);
  EXPECT_TRUE(valid_utf8(messages_.back()));
}

TEST_F(ModelTools, ProgressIsRateLimited) {
  use(1h);
  listening_ = true;
  api_.answers.generate = parsed(kGenerated);
  for (int i = 0; i < 100; ++i) api_.events.push_back({{"text", "a"}, {"tokens", i + 1}});
  call("llm_generate", R"({"prompt":"Hi"})");
  EXPECT_THAT(messages_, ElementsAre("a"));
}

TEST_F(ModelTools, CancelReachesTheModel) {
  api_.wait_for_cancel = true;
  EXPECT_FALSE(start("llm_chat", R"({"messages":[{"role":"user","content":"Hi"}]})"));
  cancel_.cancel();
  turn();
  ASSERT_TRUE(result_);
  EXPECT_EQ(result_->error().code, ErrorCode::kCancelled);
  EXPECT_EQ(api_.calls.back(), "cancelled");
}

constexpr std::string_view kModels =
    R"({"models":[{"name":"big","version":"latest","digest":"sha256:1","size":900,"source":"hf:a/b","license":null,)"
    R"("created":"2026-01-01T00:00:00Z","architecture":"qwen2","parameters":7000000000,"quantisation":"Q4_K_M",)"
    R"("context_length":8192,"mode":"generation","state":"ready","aliases":["gpt"],"external":false,"news":[1]},)"
    R"({"name":"small","size":5,"parameters":"7B"}],"aliases":{"gpt":"big","odd":3}})";

TEST_F(ModelTools, ListsModelsAndDropsWhatItDoesNotKnow) {
  api_.answers.list_models = parsed(kModels);
  const auto result = call("llm_list_models", "{}");
  EXPECT_EQ(result.structured.at("models").as_array().size(), 2U);
  EXPECT_EQ(json::write(result.structured.at("models").at(1)), R"({"name":"small","size":5})");
  EXPECT_EQ(result.structured.at("models").at(0).at("parameters"), 7000000000);
  EXPECT_FALSE(result.structured.at("models").at(0).as_object().contains("license"));
  EXPECT_EQ(json::write(result.structured.at("aliases")), R"({"gpt":"big"})");
}

TEST_F(ModelTools, InfoAndLoadTakeTheDefaultModel) {
  api_.answers.list_models = parsed(kModels);
  api_.answers.model_info = parsed(R"({"name":"small","settings":{"context":4096},"chat_template":"{{x}}",)"
                                   R"("estimate":{"total":5},"engine":null})");
  api_.answers.load_model = parsed(R"({"model":"small","state":"ready","seconds":1.5,"context":4096,"slots":1})");
  EXPECT_EQ(json::write(call("llm_model_info", "{}").structured),
            R"({"model":{"name":"small"},"settings":{"context":4096},"estimate":{"total":5}})");
  const auto with_template = call("llm_model_info", R"({"model":"small","include_chat_template":true})");
  EXPECT_EQ(with_template.structured.at("chat_template"), "{{x}}");
  call("llm_load_model", R"({"model":"","keep_alive":-1})");
  EXPECT_EQ(api_.calls.at(1), R"(model_info {"name":"small"})");
  EXPECT_EQ(api_.calls.back(), R"(load_model {"model":"small","keep_alive":-1})");
  (*api_.answers.list_models)["default"] = "big";
  call("llm_load_model", "{}");
  EXPECT_EQ(api_.calls.back(), R"(load_model {"model":"big"})");
  api_.answers.list_models = parsed(R"({"models":[]})");
  EXPECT_THAT(refused("llm_load_model", "{}").message, HasSubstr("llm_pull_model"));
}

TEST_F(ModelTools, LoadReportsPercent) {
  listening_ = true;
  api_.answers.load_model = parsed(R"({"model":"m","state":"ready"})");
  api_.events = {parsed(R"({"status":"loading","model":"m","phase":"starting","progress":0})"),
                 parsed(R"({"status":"loading","model":"m","phase":"ready","progress":1})")};
  call("llm_load_model", R"({"model":"m"})");
  EXPECT_THAT(messages_, ElementsAre("loading m (starting) 0 %", "loading m (ready) 100 %"));
  EXPECT_EQ(last_value_, 100);
}

TEST_F(ModelTools, UnloadTakesTheOneLoadedModel) {
  api_.answers.unload_model = parsed(R"({"model":"a","state":"stopped"})");
  api_.answers.engines = parsed(R"({"engines":[{"model":"a","state":"ready"},{"model":"b","state":"failed"}]})");
  call("llm_unload_model", R"({"force":true})");
  EXPECT_EQ(api_.calls.back(), R"(unload_model {"model":"a","force":true})");
  api_.answers.engines = parsed(R"({"engines":[{"model":"a","state":"ready"},{"model":"b","state":"starting"}]})");
  EXPECT_THAT(refused("llm_unload_model", "{}").message, AllOf(HasSubstr("a, b")));
  api_.answers.engines = parsed(R"({"engines":[]})");
  EXPECT_EQ(refused("llm_unload_model", "{}").code, ErrorCode::kConflict);
}

TEST_F(ModelTools, PullReportsBytes) {
  listening_ = true;
  api_.answers.pull_model = parsed(R"({"name":"m","size":2048})");
  api_.events = {parsed(R"({"status":"downloading","bytes_done":0,"bytes_total":0})"),
                 parsed(R"({"status":"downloading","bytes_done":1024,"bytes_total":2048})"),
                 parsed(R"({"status":"verifying","bytes_done":512,"bytes_total":2048})")};
  const auto result = call("llm_pull_model", R"({"source":"hf:a/b"})");
  EXPECT_EQ(json::write(result.structured), R"({"name":"m","size":2048})");
  ASSERT_THAT(messages_, SizeIs(3));
  EXPECT_EQ(messages_[1], "downloading " + format_bytes(1024) + " of " + format_bytes(2048) + " (50 %)");
}

TEST_F(ModelTools, StatusHoldsTheEngines) {
  api_.answers.status = parsed(R"({"status":"ok","version":"1.0","uptime_s":12,"models":2,"engines_ready":1,)"
                               R"("requests_in_flight":0,"memory":{"total":16,"available":null},)"
                               R"("cpu":{"cores":1.5,"threads":2},"gpus":[{"name":"x"}],"more":true})");
  api_.answers.engines = parsed(R"({"engines":[{"model":"a","state":"failed","error":{"message":"crashed"},"pid":7},)"
                                R"({"model":"b","state":"ready","progress":1,"error":null,"endpoint":"unix:/x"}]})");
  const auto result = call("llm_status", "{}");
  EXPECT_EQ(json::write(result.structured.at("memory")), R"({"total":16})");
  EXPECT_EQ(result.structured.at("engines").at(0).at("error"), "crashed");
  EXPECT_EQ(json::write(result.structured.at("engines").at(1)), R"({"model":"b","state":"ready","progress":1.0})");
  api_.answers.status = parsed("{}");
  api_.answers.engines = parsed("{}");
  call("llm_status", "{}");
}

TEST_F(ModelTools, AnswersOfOtherShapesStillConform) {
  for (auto* answer : {&api_.answers.generate, &api_.answers.embed, &api_.answers.list_models, &api_.answers.model_info,
                       &api_.answers.load_model, &api_.answers.unload_model, &api_.answers.pull_model}) {
    *answer =
        parsed(R"({"model":5,"text":[],"usage":7,"data":[{"embedding":"x"},{"embedding":[null]}],"models":[1,{}],)"
               R"("name":{},"settings":[],"state":null,"seconds":"x","aliases":[]})");
  }
  call("llm_generate", R"({"prompt":"Hi"})");
  call("llm_chat", R"({"messages":[{"role":"user"}]})");
  call("llm_embed", R"({"input":"x"})");
  call("llm_list_models", "{}");
  call("llm_model_info", R"({"model":"m"})");
  call("llm_load_model", R"({"model":"m"})");
  call("llm_unload_model", R"({"model":"m"})");
  call("llm_pull_model", R"({"source":"hf:a/b"})");
}

}  // namespace
}  // namespace llm::tools
