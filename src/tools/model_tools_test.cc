// The tools over a scripted ModelApi: what they ask it, and what a client gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "tools/arguments.h"
#include "tools/call_progress.h"
#include "tools/help_topics.h"
#include "tools/tools_under_test.h"

namespace llm::tools {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;
using testing::UnorderedElementsAre;
using namespace std::chrono_literals;

class ModelTools : public ToolsUnderTest {};

constexpr std::string_view kGenerated =
    R"({"id":"1","model":"qwen","text":"Hello","finish_reason":"stop",)"
    R"("usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}},)"
    R"("timings":{"x":1},"logprobs":null})";

TEST_F(ModelTools, AllAreDescribedForModelsAndPeople) {
  EXPECT_THAT(server_->tools().tools()->names(),
              ElementsAre("llm_chat", "llm_generate", "llm_embed", "llm_rerank", "llm_tokenize", "llm_list_models",
                          "llm_model_info", "llm_load_model", "llm_unload_model", "llm_pull_model", "llm_remove_model",
                          "llm_status", "llm_help"));
  for (const auto& registered : server_->tools().tools()->tools) {
    const mcp::Tool& tool = registered->tool;
    EXPECT_EQ(json::string_or(tool.output_schema, "type"), "object");
    EXPECT_THAT(tool.title, Not(IsEmpty()));
    EXPECT_GT(tool.description.size(), 80U) << tool.name;
    EXPECT_LT(tool.description.size(), 600U) << tool.name;
    ASSERT_THAT(tool.icons, SizeIs(1));
    EXPECT_THAT(tool.icons[0].source, AllOf(StartsWith("data:image/svg+xml,%3Csvg"), Not(HasSubstr(" "))));
    for (const auto& argument : tool.input_schema.at("properties").as_object()) {
      EXPECT_TRUE(argument.value().as_object().contains("description")) << tool.name << " " << argument.key();
    }
  }
}

TEST_F(ModelTools, ToolsetsAndPermissions) {
  EXPECT_EQ(find("llm_chat")->tool.permission, access::Permission::kGenerate);
  EXPECT_EQ(find("llm_status")->tool.permission, access::Permission::kEnginesRead);
  EXPECT_EQ(find("llm_pull_model")->tool.permission, access::Permission::kModelsWrite);
  EXPECT_EQ(find("llm_remove_model")->tool.permission, access::Permission::kAdmin);
  EXPECT_EQ(find("llm_help")->tool.permission, access::Permission::kAuthenticated);
  for (const auto& member : memberships()) EXPECT_NE(find(member.tool), nullptr) << member.tool;
  EXPECT_THAT(server_->tools().tools()->tools, SizeIs(memberships().size()));
  use({});
  EXPECT_EQ(find("llm_remove_model"), nullptr);
  EXPECT_NE(find("llm_pull_model"), nullptr);
  use({.toolsets = {Toolset::kAdmin}});
  EXPECT_THAT(server_->tools().tools()->names(), ElementsAre("llm_remove_model"));
}

TEST_F(ModelTools, LongCallsMayBecomeTasks) {
  use({.task_after = 7s});
  for (const std::string_view name : {"llm_chat", "llm_generate", "llm_load_model", "llm_pull_model"}) {
    EXPECT_EQ(find(name)->tool.task, mcp::TaskSupport::kOptional) << name;
    EXPECT_EQ(find(name)->tool.task_after, 7s);
    EXPECT_EQ(find(name)->tool.resumable, name == "llm_pull_model");
  }
  EXPECT_EQ(find("llm_status")->tool.task, mcp::TaskSupport::kNone);
}

TEST_F(ModelTools, Hints) {
  EXPECT_TRUE(find("llm_chat")->tool.hints.read_only);
  EXPECT_TRUE(find("llm_pull_model")->tool.hints.open_world);
  EXPECT_FALSE(find("llm_pull_model")->tool.hints.destructive);
  EXPECT_TRUE(find("llm_remove_model")->tool.hints.destructive);
  EXPECT_FALSE(find("llm_remove_model")->tool.hints.read_only);
}

TEST_F(ModelTools, GenerateGivesTheTextItself) {
  api_.answers.generate = parsed(kGenerated);
  const auto result = call("llm_generate", R"({"prompt":"Hi","max_tokens":5,"stop":"\n"})");
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

// The gateway tells them in its own form.
TEST_F(ModelTools, ChatGivesToolCallsInTheOpenAiForm) {
  api_.answers.generate = parsed(R"({"model":"m","text":"","finish_reason":"tool_calls","reasoning":"hm",)"
                                 R"("tool_calls":[{"id":"c1","name":"f","arguments":"{}"}]})");
  const auto result = call("llm_chat", R"({"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(json::write(result.structured.at("tool_calls")),
            R"([{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}])");
  EXPECT_EQ(result.structured.at("reasoning"), "hm");
}

TEST_F(ModelTools, ChatLetsTheModelRunBridgedTools) {
  mcp::Tool bridged{.name = "fs_read",
                    .input_schema = parsed(R"({"type":"object"})"),
                    .handler = [](mcp::ToolCall) -> Task<Result<mcp::ToolResult>> {
                      co_return mcp::ToolResult{.text = "forty-two"};
                    }};
  ASSERT_TRUE(server_->tools().replace("fs", {bridged}));
  listening_ = true;
  api_.generated = {parsed(R"({"model":"m","text":"","finish_reason":"tool_calls","tool_calls":[{"id":"c0",)"
                           R"("name":"fs_read","arguments":"{\"path\":\"/a\"}"}]})"),
                    parsed(kGenerated)};
  const auto result = call("llm_chat", R"({"use_tools":["*"],"messages":[{"role":"user","content":"Read it."}]})");
  EXPECT_EQ(result.text, "Hello");
  const auto& made = result.structured.at("tool_calls_made").as_array();
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].at("name"), "fs_read");
  EXPECT_EQ(made[0].at("result"), "forty-two");
  EXPECT_THAT(messages_, testing::Contains("running fs_read"));
  EXPECT_THAT(api_.calls.at(0), testing::Not(testing::HasSubstr("use_tools")));
  EXPECT_THAT(api_.calls.at(1), testing::HasSubstr("forty-two"));

  EXPECT_EQ(refused("llm_chat", R"({"use_tools":["*"],"tools":[],"messages":[{"role":"user","content":"x"}]})").pointer,
            "/use_tools");
  EXPECT_EQ(refused("llm_chat", R"({"use_tools":["nosuch"],"messages":[{"role":"user","content":"x"}]})").code,
            ErrorCode::kNotFound);
}

TEST_F(ModelTools, ChatTakesAResponseFormat) {
  api_.answers.generate = parsed(kGenerated);
  constexpr std::string_view kMessages = R"({"messages":[{"role":"user","content":"Hi"}],)";
  call("llm_chat", std::string(kMessages) + R"("response_format":{"type":"json_object"}})");
  EXPECT_THAT(api_.calls.back(), HasSubstr(R"("response_format":{"type":"json_object"})"));
  const auto both = refused("llm_chat", std::string(kMessages) + R"("response_format":{},"json_schema":{}})");
  EXPECT_EQ(both.pointer, "/response_format");
}

TEST_F(ModelTools, WrongArgumentsAreNamedByPointer) {
  EXPECT_EQ(refused("llm_generate", R"({"prompt":5})").pointer, "/prompt");
  EXPECT_EQ(refused("llm_generate", R"({})").pointer, "/prompt");
  EXPECT_EQ(refused("llm_generate", R"({"prompt":"","temperature":-1})").pointer, "/temperature");
  EXPECT_EQ(refused("llm_chat", R"({"messages":[]})").pointer, "/messages");
  EXPECT_EQ(refused("llm_chat", R"({"messages":[{"role":"boss"}]})").pointer, "/messages/0/role");
  EXPECT_EQ(refused("llm_chat", R"({"messages":[{"role":"user","content":["x"]}]})").pointer, "/messages/0/content");
  EXPECT_EQ(refused("llm_embed", R"({"input":[]})").pointer, "/input");
  EXPECT_EQ(refused("llm_rerank", R"({"query":"q","documents":[]})").pointer, "/documents");
  EXPECT_EQ(refused("llm_remove_model", R"({"model":""})").pointer, "/model");
  EXPECT_EQ(refused("llm_help", R"({"topic":"weather"})").pointer, "/topic");
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

TEST_F(ModelTools, RerankSortsAndCuts) {
  api_.answers.rerank = parsed(R"({"model":"bge","results":[{"index":0,"relevance_score":0.1},)"
                               R"({"index":1,"relevance_score":2},{"index":2,"relevance_score":-1.5}],)"
                               R"("usage":{"prompt_tokens":9,"total_tokens":9}})");
  const auto result = call("llm_rerank", R"({"query":"q","documents":["a","b","c"],"top_n":2})");
  EXPECT_EQ(json::write(result.structured.at("results")),
            R"([{"index":1,"relevance_score":2.0},{"index":0,"relevance_score":0.1}])");
  EXPECT_THAT(api_.calls, ElementsAre(R"(rerank {"query":"q","documents":["a","b","c"],"top_n":2})"));
}

TEST_F(ModelTools, TokenizeCounts) {
  api_.answers.tokenize = parsed(R"({"model":"qwen","count":2})");
  EXPECT_EQ(json::write(call("llm_tokenize", R"({"text":"a b"})").structured), R"({"model":"qwen","count":2})");
  api_.answers.tokenize = parsed(R"({"model":"qwen","count":2,"tokens":[5,6]})");
  const auto result = call("llm_tokenize", R"({"text":"a b","include_tokens":true,"model":"q"})");
  EXPECT_EQ(json::write(result.structured.at("tokens")), "[5,6]");
  EXPECT_THAT(api_.calls, ElementsAre(R"(tokenize {"text":"a b","tokens":false})",
                                      R"(tokenize {"text":"a b","tokens":true,"model":"q"})"));
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

TEST_F(ModelTools, ProgressTellsHowManyTokensThereCanBe) {
  listening_ = true;
  api_.answers.generate = parsed(kGenerated);
  api_.events = {parsed(R"({"text":"Hel","tokens":1})")};
  call("llm_chat", R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":50})");
  EXPECT_EQ(total_, 50);
}

TEST_F(ModelTools, ProgressHoldsTheTextSoFarOrItsEnd) {
  listening_ = true;
  api_.answers.generate = parsed(kGenerated);
  for (int i = 0; i < 3000; ++i) api_.events.push_back({{"text", "é"}, {"tokens", i + 1}});
  call("llm_generate", R"({"prompt":"Hi"})");
  ASSERT_THAT(messages_, SizeIs(3000));
  EXPECT_EQ(messages_[99].size(), 200U);
  EXPECT_THAT(messages_.back(), StartsWith("…é"));
  EXPECT_LE(messages_.back().size(), CallProgress::kMostMessageBytes);
  EXPECT_TRUE(valid_utf8(messages_.back()));
}

TEST_F(ModelTools, KeepsAllOfTheTextForACallThatIsCut) {
  keeping_ = true;
  api_.answers.generate = fail(ErrorCode::kEngineFailed, "crashed");
  api_.events = {parsed(R"({"text":"Hel","tokens":1})"), parsed(R"({"text":"lo","tokens":2})")};
  refused("llm_generate", R"({"prompt":"Hi"})");
  EXPECT_THAT(kept_, ElementsAre("Hel", "Hello", "Hello"));
  kept_.clear();
  use({.progress_interval = 1h});
  refused("llm_chat", R"({"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_THAT(kept_, ElementsAre("Hel", "Hello"));
}

TEST_F(ModelTools, ProgressIsRateLimited) {
  use({.progress_interval = 1h});
  listening_ = true;
  api_.answers.generate = parsed(kGenerated);
  for (int i = 0; i < 100; ++i) api_.events.push_back({{"text", "a"}, {"tokens", i + 1}});
  call("llm_generate", R"({"prompt":"Hi"})");
  EXPECT_THAT(messages_, ElementsAre("a"));
}

TEST_F(ModelTools, CancelReachesTheModel) {
  api_.wait_for_cancel = true;
  auto call = context<mcp::ToolCall>();
  call.arguments = parsed(R"({"messages":[{"role":"user","content":"Hi"}]})");
  const auto result = spawn(find("llm_chat")->tool.handler(std::move(call)));
  EXPECT_FALSE(*result);
  cancel_.cancel();
  turn();
  ASSERT_TRUE(*result);
  EXPECT_EQ((*result)->error().code, ErrorCode::kCancelled);
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
  api_.answers.list_models = parsed(R"({"models":[{"name":"big"},{"name":"small"}],"default":"small"})");
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
  api_.answers.list_models = parsed(R"({"models":[{"name":"e5","mode":"embedding"}],"default":null})");
  EXPECT_THAT(refused("llm_load_model", "{}").message, HasSubstr("llm_list_models"));
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

TEST_F(ModelTools, HelpExplainsEveryTopicAndNamesOnlyToolsThatExist) {
  for (const auto& [topic, name] : json::EnumNames<HelpTopic>::values) {
    const auto result = call("llm_help", json::write(json::object{{"topic", name}}));
    EXPECT_EQ(result.text, help_text(topic));
    EXPECT_EQ(result.structured.at("topic"), json::value(name));
    EXPECT_THAT(result.text, SizeIs(testing::Gt(200U)));
    EXPECT_LT(result.text.size(), 2500U);
    EXPECT_THAT(std::string(help_text(HelpTopic::kOverview)), HasSubstr(name));
    for (std::size_t at = 0; (at = result.text.find("llm_", at)) != std::string::npos;) {
      const auto end = result.text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at);
      const std::string tool = result.text.substr(at, end - at);
      EXPECT_NE(find(tool), nullptr) << tool;
      at = end;
    }
  }
  EXPECT_EQ(call("llm_help", "{}").structured.at("topic"), "overview");
}

TEST_F(ModelTools, HelpKnowsTheErrorsByTheirNames) {
  const std::string_view text = help_text(HelpTopic::kErrors);
  for (const auto code :
       {ErrorCode::kInvalidArgument, ErrorCode::kNotFound, ErrorCode::kUnsupported, ErrorCode::kContextLengthExceeded,
        ErrorCode::kInsufficientMemory, ErrorCode::kOverloaded, ErrorCode::kUnavailable, ErrorCode::kEngineFailed,
        ErrorCode::kEngineTimeout, ErrorCode::kConflict, ErrorCode::kAlreadyExists, ErrorCode::kDiskFull,
        ErrorCode::kIo, ErrorCode::kPermissionDenied}) {
    EXPECT_NE(text.find(describe(code).name), std::string_view::npos) << describe(code).name;
  }
}

TEST_F(ModelTools, ChangesAreAnnounced) {
  api_.answers.load_model = parsed(R"({"model":"org/m","state":"ready"})");
  call("llm_load_model", R"({"model":"m"})");
  EXPECT_THAT(changes_, UnorderedElementsAre("llm://models/org%2Fm", "llm://models", "llm://engines", "llm://status"));
  changes_.clear();
  api_.answers.pull_model = parsed(R"({"name":"new"})");
  call("llm_pull_model", R"({"source":"hf:a/b"})");
  EXPECT_THAT(changes_, testing::Contains("list"));
  changes_.clear();
  api_.answers.unload_model = fail(ErrorCode::kNotFound, "no");
  refused("llm_unload_model", R"({"model":"x"})");
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(ModelTools, AnswersOfOtherShapesStillConform) {
  for (auto* answer :
       {&api_.answers.generate, &api_.answers.embed, &api_.answers.rerank, &api_.answers.tokenize,
        &api_.answers.remove_model, &api_.answers.status, &api_.answers.engines, &api_.answers.list_models,
        &api_.answers.model_info, &api_.answers.load_model, &api_.answers.unload_model, &api_.answers.pull_model}) {
    *answer =
        parsed(R"({"model":5,"text":[],"usage":7,"data":[{"embedding":"x"},{"embedding":[null]}],"models":[1,{}],)"
               R"("results":[3,{"index":"x"}],"count":"many","tokens":[null],"engines":[{"error":[]}],"gpus":{},)"
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
  call("llm_rerank", R"({"query":"q","documents":["d"]})");
  call("llm_tokenize", R"({"text":"t"})");
  call("llm_remove_model", R"({"model":"m","confirm":true})");
  call("llm_status", "{}");
  call("llm_help", "{}");
}

}  // namespace
}  // namespace llm::tools
