#include "tools/original/original_tools.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "json/schema_validator.h"
#include "mcp/principal_under_test.h"
#include "tools/original/envelope.h"
#include "tools/original/hub_query.h"
#include "tools/tools_under_test.h"

namespace llm::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kTools[] = {"llm_generation", "llm_multimodal", "llm_models",      "llm_engine",
                                       "llm_gpu",        "llm_health",     "llm_huggingface", "llm_ollama",
                                       "llm_lmstudio",   "llm_vllm",       "llm_help"};

class OriginalTools : public ToolsUnderTest {
 protected:
  OriginalTools() { serve({Toolset::kOriginal}); }

  void serve(Toolsets toolsets, mcp::ServerSettings settings = {}) {
    listening_to_.end();
    server_ = std::make_unique<mcp::Server>(mcp::ServerInfo{.name = "test", .version = "1"}, std::move(settings));
    ToolContext context{.api = same_model_api(api_),
                        .settings = {.toolsets = std::move(toolsets), .progress_interval = {}}};
    context.hub = [this](std::string path, CancelToken) -> Task<Result<json::value>> {
      asked_.push_back(path);
      co_return hub_answer_;
    };
    const auto added = register_everything(*server_, std::move(context));
    EXPECT_TRUE(added) << added.error().message;
    listening_to_ = server_->changes().listen([this](const auto& change) {
      changes_.push_back(change->kind == mcp::Change::Kind::kResource ? change->subject : "list");
    });
  }

  // The structured content of a call, which conforms to the schema and says whether it is an error.
  json::object answer(std::string_view tool, std::string_view arguments, bool succeeds) {
    const auto* registered = find(tool);
    auto result = start(tool, arguments);
    if (registered == nullptr || !result || !*result) {
      ADD_FAILURE() << tool << " " << arguments << ": " << (result ? to_string(result->error()) : "waits");
      return {};
    }
    const auto taken = registered->input.check(parsed(arguments));
    EXPECT_TRUE(taken) << tool << ": " << (taken ? "" : taken.error().message);
    const auto fits = registered->output->check((*result)->structured);
    EXPECT_TRUE(fits) << tool << ": " << (fits ? "" : fits.error().message);
    json::object out = (*result)->structured.as_object();
    EXPECT_EQ(out.at("success").as_bool(), succeeds) << tool << " " << arguments << ": " << json::write(out);
    EXPECT_EQ((*result)->is_error, !succeeds);
    EXPECT_FALSE((*result)->text.empty());
    text_ = (*result)->text;
    return out;
  }
  json::object works(std::string_view tool, std::string_view arguments) {
    return answer(tool, arguments, true).at("data").as_object();
  }
  std::string message(std::string_view tool, std::string_view arguments) {
    return std::string(answer(tool, arguments, true).at("message").as_string());
  }
  // "error-name /pointer: message"
  std::string fails(std::string_view tool, std::string_view arguments) {
    const json::object out = answer(tool, arguments, false);
    const json::object& data = out.at("data").as_object();
    return std::string(json::string_or(data, "error")) + " " + std::string(json::string_or(data, "pointer")) + ": " +
           std::string(json::string_or(out, "message"));
  }
  std::string last_call() { return api_.calls.empty() ? "" : api_.calls.back(); }

  std::vector<std::string> asked_;
  Result<json::value> hub_answer_;
  std::string text_;
};

const json::object kStatus = {{"status", "ok"},
                              {"version", "1.2"},
                              {"uptime_s", 3.5},
                              {"models", 2},
                              {"engines_ready", 1},
                              {"requests_in_flight", 0},
                              {"memory", json::object{{"total", 100}, {"available", 60}}},
                              {"cpu", json::object{{"cores", 2.0}, {"threads", 4}}},
                              {"gpus", json::array{json::object{{"name", "G0"}}, json::object{{"name", "G1"}}}}};
const json::object kEngines = {
    {"engines", json::array{json::object{{"model", "busy"}, {"state", "ready"}, {"in_flight", 1}, {"memory_bytes", 7}},
                            json::object{{"model", "idle"}, {"state", "ready"}, {"in_flight", 0}, {"memory_bytes", 5}},
                            json::object{{"model", "gone"}, {"state", "failed"}}}}};
const json::object kModels = {{"models", json::array{json::object{{"name", "own"}, {"size", 5}},
                                                     json::object{{"name", "far"}, {"external", true}}}},
                              {"aliases", json::object{}},
                              {"default", "own"}};
const json::object kGenerated = {
    {"model", "own"},
    {"text", "Paris."},
    {"finish_reason", "stop"},
    {"usage", json::object{{"prompt_tokens", 5}, {"completion_tokens", 2}, {"total_tokens", 7}}}};

TEST_F(OriginalTools, AreListedUnderTheirNamesAndCallableUnderTheOldOnes) {
  std::vector<std::string> names = server_->tools().tools()->names();
  for (const std::string_view name : kTools) {
    const auto* tool = find(name);
    ASSERT_TRUE(tool) << name;
    EXPECT_TRUE(json::Schema::compile(tool->tool.input_schema)) << name;
    EXPECT_THAT(tool->tool.description, HasSubstr("Operations:\n- ")) << name;
    const auto& operation = tool->tool.input_schema.at("properties").at("operation").as_object();
    EXPECT_FALSE(operation.at("examples").as_array().empty()) << name;
    EXPECT_EQ(find(std::string(name) + "_tool"), tool) << name;
  }
  EXPECT_EQ(server_->tools().tools()->tools.size(), std::size(kTools));
  EXPECT_EQ(find("llm_gpu_tool_portmanteau"), find("llm_gpu"));
  EXPECT_EQ(find("llm_engine_control_tool"), find("llm_engine"));
  EXPECT_EQ(find("llm_engine_status_tool"), find("llm_engine"));
  serve({Toolset::kCore});
  EXPECT_FALSE(find("llm_models"));
}

TEST_F(OriginalTools, HaveTheDefaultsOfTheOriginal) {
  const auto defaults = [this](std::string_view tool) {
    json::object out;
    for (const auto& member : find(tool)->tool.input_schema.at("properties").as_object()) {
      if (const auto* value = json::find(member.value().as_object(), "default")) out[member.key()] = *value;
    }
    return json::write(out);
  };
  EXPECT_EQ(defaults("llm_generation"),
            R"({"temperature":0.7,"top_p":1.0,"stream":false,"frequency_penalty":0.0,"presence_penalty":0.0})");
  EXPECT_EQ(defaults("llm_health"), R"({"detail":1,"since_minutes":60.0,"level":"INFO","confirm":false})");
  EXPECT_EQ(defaults("llm_multimodal"), R"({"width":512,"height":512,"num_inference_steps":50,"guidance_scale":7.5})");
  EXPECT_EQ(defaults("llm_engine"), R"({"operation":"status","engine":"all"})");
  EXPECT_EQ(defaults("llm_gpu"), R"({"gpu_id":0})");
  EXPECT_EQ(defaults("llm_huggingface"), R"({"repo_type":"model"})");
}

TEST_F(OriginalTools, AnUnknownOperationIsAnsweredWithTheNearestAndAllValidOnes) {
  EXPECT_EQ(fails("llm_ollama", R"({"operation":"list_model"})"),
            "invalid_argument /operation: llm_ollama has no operation \"list_model\". Did you mean list_models or "
            "load_model? Valid "
            "are: list_models, pull_model, load_model, unload_model, delete_model. (at /operation)");
  const json::object out = answer("llm_gpu", R"({"operation":"zzzzzz"})", false);
  EXPECT_EQ(json::write(out.at("data").at("operations")), R"(["get_status","get_health","clear_memory","optimize"])");
  EXPECT_THAT(text_, Not(HasSubstr("mean")));
  for (const std::string_view tool : kTools) {
    EXPECT_THAT(fails(tool, R"({"operation":"nonsense"})"), HasSubstr("Valid are: ")) << tool;
  }
  EXPECT_TRUE(api_.calls.empty());
}

TEST_F(OriginalTools, WrongArgumentsAreAnsweredInTheSameForm) {
  const auto result = start("llm_generation", R"({"operation":"generate_text","temperature":"hot"})");
  ASSERT_TRUE(result && *result);
  EXPECT_TRUE((*result)->is_error);
  EXPECT_EQ((*result)->structured.at("data").at("pointer"), "/temperature");
}

TEST_F(OriginalTools, GenerationGenerates) {
  api_.answers.generate = kGenerated;
  EXPECT_EQ(json::write(works("llm_generation", R"({"operation":"generate_text","prompt":"Capital of France?"})")),
            R"({"model":"own","text":"Paris.","finish_reason":"stop","usage":{"prompt_tokens":5,)"
            R"("completion_tokens":2,"total_tokens":7}})");
  EXPECT_EQ(text_, "Paris.");
  EXPECT_EQ(last_call(), R"(generate {"temperature":0.7,"top_p":1.0,"messages":[{"role":"user",)"
                         R"("content":"Capital of France?"}]})");
  EXPECT_EQ(message("llm_generation_tool",
                    R"({"operation":"chat_completion","model":"m","messages":[{"role":"user","content":"hi"}],)"
                    R"("max_tokens":5,"temperature":0,"stop":"x","presence_penalty":1,"stream":true})"),
            "own wrote 2 tokens");
  EXPECT_EQ(last_call(), R"(generate {"model":"m","temperature":0.0,"top_p":1.0,"max_tokens":5,)"
                         R"("presence_penalty":1.0,"stop":["x"],"messages":[{"role":"user","content":"hi"}]})");
  api_.answers.embed = json::object{{"model", "e"}, {"data", {json::object{{"embedding", {0.5, 1.0}}}}}};
  const auto vectors = works("llm_generation", R"({"operation":"embed_text","text":["a"],"model":"e"})");
  EXPECT_EQ(vectors.at("dimensions"), 2);
  EXPECT_EQ(last_call(), R"(embed {"input":["a"],"model":"e"})");
  EXPECT_THAT(text_, Not(HasSubstr("0.5")));
}

TEST_F(OriginalTools, GenerationSaysWhatIsMissingAndWhatWentWrong) {
  EXPECT_THAT(fails("llm_generation", R"({"operation":"generate_text"})"), StartsWith("invalid_argument /prompt: "));
  EXPECT_THAT(fails("llm_generation", R"({"operation":"chat_completion"})"),
              StartsWith("invalid_argument /messages: "));
  EXPECT_THAT(fails("llm_generation", R"({"operation":"embed_text"})"), StartsWith("invalid_argument /text: "));
  EXPECT_TRUE(api_.calls.empty());
  api_.answers.embed = fail(ErrorCode::kInvalidArgument, "too long", "/input/3");
  EXPECT_THAT(fails("llm_generation", R"({"operation":"embed_text","text":"a"})"), HasSubstr(" /text/3: too long"));
  api_.answers.generate = fail(Error{ErrorCode::kOverloaded, "full", {}, {}, 3}.with("waiting", 9));
  const auto out = answer("llm_generation", R"({"operation":"generate_text","prompt":"x"})", false);
  EXPECT_EQ(json::write(out.at("data")), R"({"error":"overloaded","waiting":9,"retry_after_s":3})");
}

TEST_F(OriginalTools, ACancelledGenerationHasNoAnswer) {
  api_.wait_for_cancel = true;
  auto call = context<mcp::ToolCall>();
  call.arguments = parsed(R"({"operation":"generate_text","prompt":"x"})");
  const auto result = spawn(find("llm_generation")->tool.handler(std::move(call)));
  EXPECT_FALSE(*result);
  cancel_.cancel();
  turn();
  ASSERT_TRUE(*result);
  ASSERT_FALSE(**result);
  EXPECT_EQ((**result).error().code, ErrorCode::kCancelled);
}

TEST_F(OriginalTools, GenerationTellsProgress) {
  api_.answers.generate = kGenerated;
  api_.events = {{{"text", "Pa"}, {"tokens", 1}}, {{"text", "ris."}, {"tokens", 2}}};
  listening_ = true;
  works("llm_generation", R"({"operation":"generate_text","prompt":"x"})");
  EXPECT_THAT(messages_, ElementsAre("Pa", "Paris."));
}

TEST_F(OriginalTools, MultimodalLooksAtImages) {
  api_.answers.generate = kGenerated;
  works("llm_multimodal", R"({"operation":"analyze_image","image":"aGk=","model_name":"v","prompt":"What?"})");
  EXPECT_EQ(last_call(), R"(generate {"messages":[{"role":"user","content":"What?"}],"images":["aGk="],"model":"v"})");
  works("llm_multimodal", R"({"operation":"analyze_image","image":"data:image/png;base64,aGk="})");
  EXPECT_THAT(last_call(), HasSubstr("Describe this image"));
  works("llm_multimodal", R"({"operation":"compare_images","image1":"YQ==","image2":"Yg=="})");
  EXPECT_THAT(last_call(), HasSubstr(R"("images":["YQ==","Yg=="])"));
  EXPECT_THAT(fails("llm_multimodal", R"({"operation":"compare_images","image1":"YQ=="})"), HasSubstr(" /image2: "));
  EXPECT_THAT(fails("llm_multimodal", R"({"operation":"analyze_image","image":"/etc/passwd.png"})"),
              HasSubstr("files and addresses are not read"));
  EXPECT_THAT(fails("llm_multimodal", R"({"operation":"generate_image","prompt":"a cat"})"),
              StartsWith("unsupported /operation: "));
}

TEST_F(OriginalTools, ModelsAreListedAndDescribed) {
  api_.answers.list_models = kModels;
  EXPECT_EQ(works("llm_models", R"({"operation":"list_models"})").at("models").as_array().size(), 2U);
  EXPECT_EQ(json::write(works("llm_models", R"({"operation":"list_models","provider":"external"})").at("models")),
            R"([{"name":"far","external":true}])");
  EXPECT_EQ(message("llm_models", R"({"operation":"list_models","provider":"llama.cpp"})"), "1 models");
  EXPECT_THAT(fails("llm_models", R"({"operation":"list_models","provider":"acme"})"),
              StartsWith("invalid_argument /provider: "));
  api_.answers.model_info = json::object{{"name", "own"}, {"state", "ready"}};
  EXPECT_EQ(message("llm_models", R"({"operation":"get_model_info"})"), "own is ready");
  EXPECT_EQ(last_call(), R"(model_info {"name":"own"})");
  api_.answers.model_info = fail(ErrorCode::kNotFound, "no", "/model");
  EXPECT_THAT(fails("llm_models", R"({"operation":"get_model_info","model_id":"x"})"),
              StartsWith("not_found /model_id"));
}

TEST_F(OriginalTools, ModelsAreLoadedUnloadedPulledAndRemoved) {
  api_.answers.list_models = kModels;
  api_.answers.engines = kEngines;
  api_.answers.load_model = json::object{{"model", "own"}, {"state", "ready"}};
  EXPECT_EQ(message("llm_models", R"({"operation":"load_model"})"), "own is ready");
  EXPECT_EQ(last_call(), R"(load_model {"model":"own"})");
  EXPECT_THAT(changes_, ::testing::Contains("llm://models/own"));
  api_.answers.unload_model = json::object{{"model", "idle"}, {"state", "stopped"}};
  EXPECT_EQ(message("llm_models", R"({"operation":"unload_model","model_id":"idle"})"), "idle is stopped");
  EXPECT_THAT(fails("llm_models", R"({"operation":"unload_model"})"), StartsWith("invalid_argument /model_id: "));
  api_.answers.pull_model = json::object{{"name", "new"}};
  EXPECT_EQ(message("llm_models", R"({"operation":"pull_model","model_id":"hf:a/b","name":"new"})"),
            "new is installed");
  EXPECT_EQ(last_call(), R"(pull_model {"source":"hf:a/b","name":"new"})");
  EXPECT_THAT(fails("llm_models", R"({"operation":"pull_model"})"), StartsWith("invalid_argument /model_id: "));
  api_.answers.remove_model = json::object{{"model", "own"}, {"removed", true}};
  EXPECT_THAT(fails("llm_models", R"({"operation":"remove_model","model_id":"own"})"), HasSubstr(" /confirm: "));
  EXPECT_THAT(last_call(), StartsWith("pull_model"));
  works("llm_models", R"({"operation":"remove_model","model_id":"own","confirm":true})");
  EXPECT_EQ(last_call(), R"(remove_model {"name":"own"})");
  EXPECT_THAT(fails("llm_models", R"({"operation":"remove_model","confirm":true})"), HasSubstr(" /model_id: "));
  EXPECT_THAT(fails("llm_models", R"({"operation":"register_model"})"), StartsWith("unsupported /operation: "));
}

// The operation and the arguments that the gateway is asked with.
TEST_F(OriginalTools, ProvidersAreAskedByTheirKind) {
  const std::tuple<std::string_view, std::string_view, std::string_view> all[] = {
      {"llm_ollama", R"({"operation":"list_models"})", R"(operate provider.models {"name":"ollama"})"},
      {"llm_ollama", R"({"operation":"pull_model","model":"qwen3:8b"})",
       R"(operate provider.pull {"name":"ollama","model":"qwen3:8b"})"},
      {"llm_ollama", R"({"operation":"load_model","model":"a"})",
       R"(operate provider.load {"name":"ollama","model":"a"})"},
      {"llm_ollama", R"({"operation":"unload_model","model":"a"})",
       R"(operate provider.unload {"name":"ollama","model":"a"})"},
      {"llm_ollama", R"({"operation":"delete_model","model":"a","confirm":true})",
       R"(operate provider.delete {"name":"ollama","model":"a"})"},
      {"llm_lmstudio", R"({"operation":"list_models"})", R"(operate provider.models {"name":"lmstudio"})"},
      {"llm_lmstudio", R"({"operation":"load_model","model_path":"a"})",
       R"(operate provider.load {"name":"lmstudio","model":"a"})"},
      {"llm_lmstudio", R"({"operation":"unload_model","model_name":"a"})",
       R"(operate provider.unload {"name":"lmstudio","model":"a"})"},
      {"llm_lmstudio", R"({"operation":"link_status"})", R"(operate provider.health {"name":"lmstudio"})"},
      {"llm_models", R"({"operation":"ollama_list"})", R"(operate provider.models {"name":"ollama"})"},
      {"llm_models", R"({"operation":"list_models","provider":"ollama"})",
       R"(operate provider.models {"name":"ollama"})"},
      {"llm_models", R"({"operation":"ollama_pull","model_id":"a"})",
       R"(operate provider.pull {"name":"ollama","model":"a"})"},
      {"llm_models", R"({"operation":"ollama_load","model_id":"a"})",
       R"(operate provider.load {"name":"ollama","model":"a"})"},
      {"llm_models", R"({"operation":"ollama_unload","model_id":"a"})",
       R"(operate provider.unload {"name":"ollama","model":"a"})"},
      {"llm_models", R"({"operation":"ollama_delete","model_id":"a","confirm":true})",
       R"(operate provider.delete {"name":"ollama","model":"a"})"},
      {"llm_models", R"({"operation":"lmstudio_list"})", R"(operate provider.models {"name":"lmstudio"})"},
      {"llm_models", R"({"operation":"lmstudio_load","model_id":"a"})",
       R"(operate provider.load {"name":"lmstudio","model":"a"})"},
      {"llm_models", R"({"operation":"lmstudio_unload","model_id":"a"})",
       R"(operate provider.unload {"name":"lmstudio","model":"a"})"},
      {"llm_engine", R"({"operation":"list_models","engine":"lmstudio"})",
       R"(operate provider.models {"name":"lmstudio"})"},
      {"llm_engine", R"({"operation":"start","engine":"ollama","model":"a"})",
       R"(operate provider.load {"name":"ollama","model":"a"})"},
      {"llm_engine", R"({"operation":"stop","engine":"ollama","model":"a"})",
       R"(operate provider.unload {"name":"ollama","model":"a"})"},
  };
  api_.answers.operate = json::object{{"models", json::array{json::object{{"name", "a"}}}}, {"state", "done"}};
  for (const auto& [tool, arguments, asked] : all) {
    works(tool, arguments);
    EXPECT_EQ(last_call(), asked);
  }
  EXPECT_EQ(message("llm_ollama", R"({"operation":"list_models"})"), "Ollama has 1 models");
}

TEST_F(OriginalTools, ProvidersErrorsPointAtTheToolsOwnArguments) {
  EXPECT_THAT(fails("llm_ollama", R"({"operation":"pull_model"})"), StartsWith("invalid_argument /model: "));
  EXPECT_THAT(fails("llm_lmstudio", R"({"operation":"load_model"})"), StartsWith("invalid_argument /model_name: "));
  EXPECT_THAT(fails("llm_models", R"({"operation":"ollama_load"})"), StartsWith("invalid_argument /model_id: "));
  EXPECT_THAT(fails("llm_ollama", R"({"operation":"delete_model","model":"a"})"),
              StartsWith("invalid_argument /confirm: "));
  EXPECT_TRUE(api_.calls.empty());
  api_.answers.operate = fail(ErrorCode::kNotFound, "no such model", "/model");
  EXPECT_THAT(fails("llm_models", R"({"operation":"ollama_pull","model_id":"a"})"),
              StartsWith("not_found /model_id: "));
  api_.answers.operate = fail(ErrorCode::kNotFound, "no provider is configured", "/name");
  EXPECT_THAT(fails("llm_ollama", R"({"operation":"list_models"})"), StartsWith("not_found /operation: "));
  EXPECT_THAT(fails("llm_lmstudio", R"({"operation":"link_status"})"), StartsWith("not_found /operation: "));
}

TEST_F(OriginalTools, VllmIsTheOnlyEngineOrTheOneThatIsNamed) {
  api_.answers.operate =
      json::object{{"engines", json::array{json::object{{"name", "big"}, {"model", "qwen3"}, {"state", "ready"}}}}};
  EXPECT_EQ(message("llm_vllm", R"({"operation":"list_models"})"), "1 vLLM engines");
  EXPECT_EQ(last_call(), "operate engine.list {}");
  EXPECT_EQ(works("llm_vllm", R"({"operation":"get_status","model_name":"qwen3"})").at("engines").as_array().size(),
            1U);
  EXPECT_THAT(fails("llm_vllm", R"({"operation":"get_status","model_name":"x"})"),
              StartsWith("not_found /model_name: "));
  const std::pair<std::string_view, std::string_view> all[] = {{"load_model", "start"},    {"start_server", "start"},
                                                               {"unload_model", "stop"},   {"stop_server", "stop"},
                                                               {"get_metrics", "metrics"}, {"get_config", "plan"}};
  for (const auto& [operation, asked] : all) {
    works("llm_vllm", fmt::format(R"({{"operation":"{}"}})", operation));
    EXPECT_EQ(last_call(), fmt::format(R"(operate engine.{} {{"name":"big"}})", asked));
  }
  works("llm_models", R"({"operation":"vllm_load","model_id":"other"})");
  EXPECT_EQ(last_call(), R"(operate engine.start {"name":"other"})");
  works("llm_engine", R"({"operation":"stop","engine":"vllm"})");
  EXPECT_EQ(last_call(), R"(operate engine.stop {"name":"big"})");
  EXPECT_THAT(fails("llm_vllm", R"({"operation":"update_config"})"), StartsWith("unsupported /operation: "));
}

TEST_F(OriginalTools, VllmSaysWhichEnginesThereAre) {
  api_.answers.operate = json::object{{"engines", json::array{}}};
  EXPECT_THAT(message("llm_vllm", R"({"operation":"list_models"})"), HasSubstr("engines.vllm.NAME"));
  EXPECT_THAT(fails("llm_vllm", R"({"operation":"start_server"})"), StartsWith("not_found /operation: "));
  api_.answers.operate =
      json::object{{"engines", json::array{json::object{{"name", "a"}}, json::object{{"name", "b"}}}}};
  EXPECT_EQ(fails("llm_vllm", R"({"operation":"stop_server"})").find("invalid_argument /model_name: "), 0U);
  EXPECT_THAT(text_, HasSubstr("a, b"));
}

TEST_F(OriginalTools, EnginesAreShownStartedAndStopped) {
  api_.answers.list_models = kModels;
  api_.answers.engines = kEngines;
  api_.answers.load_model = json::object{{"model", "own"}, {"state", "ready"}};
  api_.answers.unload_model = json::object{{"model", "idle"}, {"state", "stopped"}};
  EXPECT_EQ(message("llm_engine_status_tool", "{}"), "3 engines, 2 ready");
  EXPECT_EQ(works("llm_engine", R"({"operation":"status","model":"idle"})").at("engines").as_array().size(), 1U);
  EXPECT_EQ(message("llm_engine", R"({"operation":"start","engine":"llama"})"), "own is ready");
  EXPECT_EQ(message("llm_engine", R"({"operation":"load_model","model":"own"})"), "own is ready");
  EXPECT_EQ(message("llm_engine", R"({"operation":"unload_model","model":"idle"})"), "idle is stopped");
  EXPECT_EQ(message("llm_engine", R"({"operation":"stop","model":"idle"})"), "idle is stopped");
  EXPECT_EQ(message("llm_engine", R"({"operation":"list_models"})"), "2 models");
  EXPECT_EQ(json::write(works("llm_engine", R"({"operation":"stop"})")), R"({"unloaded":["idle"],"in_use":["busy"]})");
  EXPECT_EQ(text_.substr(0, text_.find('\n')), "unloaded 1 models, left 1 that are in use");
}

TEST_F(OriginalTools, UnloadingIdleModelsLeavesThoseThatGotWorkMeanwhile) {
  api_.answers.engines = kEngines;
  api_.answers.unload_model = fail(ErrorCode::kConflict, "in use");
  EXPECT_EQ(json::write(works("llm_gpu", R"({"operation":"clear_memory"})")),
            R"({"unloaded":[],"in_use":["busy","idle"]})");
  api_.answers.unload_model = fail(ErrorCode::kInternal, "bad");
  EXPECT_THAT(fails("llm_gpu", R"({"operation":"clear_memory"})"), StartsWith("internal"));
}

TEST_F(OriginalTools, GpusAreShown) {
  api_.answers.operate = json::object{{"gpus", kStatus.at("gpus")}};
  EXPECT_EQ(works("llm_gpu", R"({"operation":"get_status","gpu_id":1})").at("gpu").at("name"), "G1");
  EXPECT_THAT(fails("llm_gpu", R"({"operation":"get_status","gpu_id":2})"), StartsWith("not_found /gpu_id: "));
  EXPECT_EQ(message("llm_gpu", R"({"operation":"get_health"})"), "2 GPUs, all with memory to spare");
  EXPECT_EQ(last_call(), "operate gpu.list {}");
  api_.answers.operate = json::object{};
  EXPECT_THAT(message("llm_gpu", R"({"operation":"get_status","gpu_id":5})"), HasSubstr("no GPU"));
  EXPECT_THAT(message("llm_gpu", R"({"operation":"get_health"})"), HasSubstr("no GPU"));
}

TEST_F(OriginalTools, GpusThatAreFullAreToldAndCleared) {
  const json::array gpus{json::object{{"name", "G0"}, {"memory_total", 100}, {"memory_used", 95}},
                         json::object{{"name", "G1"}, {"memory_total", 100}, {"memory_used", 96}}};
  api_.answers.operate = json::object{{"gpus", gpus}};
  EXPECT_EQ(message("llm_gpu", R"({"operation":"get_health"})"), "1 of 2 GPUs are short of memory");
  const json::object health = works("llm_gpu", R"({"operation":"get_health"})");
  EXPECT_FALSE(health.at("healthy").as_bool());
  EXPECT_THAT(std::string(health.at("complaints").as_array().at(0).as_string()), StartsWith("G1: "));
  api_.answers.engines = kEngines;
  api_.answers.unload_model = json::object{{"model", "idle"}, {"state", "stopped"}};
  const json::object done = works("llm_gpu", R"({"operation":"optimize"})");
  EXPECT_EQ(json::write(done.at("unloaded")), R"(["idle"])");
  EXPECT_EQ(done.at("gpus"), json::value(gpus));
}

TEST_F(OriginalTools, HealthTellsAboutTheGateway) {
  api_.answers.status = kStatus;
  api_.answers.engines = kEngines;
  api_.answers.list_models = kModels;
  api_.answers.model_info = json::object{{"name", "own"}, {"estimate", json::object{{"total", 9}}}};
  EXPECT_EQ(message("llm_health", R"({"operation":"health_check"})"),
            "the gateway is ok: 2 models, 1 engines ready, 1 failed");
  EXPECT_EQ(works("health_check", R"({"operation":"server_health"})").at("status"), "ok");
  api_.answers.operate = json::object{{"providers", json::array{json::object{{"name", "near"}, {"reachable", false}},
                                                                json::object{{"name", "cloud"}}}}};
  const json::object checked = works("llm_health", R"({"operation":"provider_check"})");
  std::string available;
  for (const auto& one : checked.at("providers").as_array()) {
    available += std::string(json::string_or(one.as_object(), "name")) +
                 (json::bool_or(one.as_object(), "available") ? "+ " : "- ");
  }
  EXPECT_EQ(available, "llama.cpp+ external+ near- cloud+ ");
  EXPECT_EQ(json::write(works("llm_health", R"({"operation":"system_info"})").at("memory")),
            R"({"total":100,"available":60})");
  EXPECT_EQ(works("llm_health", R"({"operation":"service_status"})").at("engines").as_array().size(), 3U);
  EXPECT_EQ(works("llm_health", R"({"operation":"hardware_requirements"})").at("models").as_array().size(), 2U);
  EXPECT_EQ(works("llm_health", R"({"operation":"hardware_requirements","name":"own"})").at("estimate").at("total"), 9);
  for (const std::string operation : {"get_metrics", "collect_metrics"}) {
    EXPECT_EQ(json::write(works("llm_health", R"({"name":"engines_memory_bytes","operation":")" + operation + R"("})")),
              R"({"metrics":{"engines_memory_bytes":12}})");
  }
  EXPECT_THAT(fails("llm_health", R"({"operation":"get_metrics","name":"x"})"),
              HasSubstr("there are uptime_s, models"));
  EXPECT_THAT(fails("llm_health", R"({"operation":"get_metric_stats","tags":["a"]})"), StartsWith("unsupported"));
  EXPECT_THAT(fails("llm_health", R"({"operation":"set_log_level","level":"DEBUG"})"), HasSubstr("observe.log_level"));
  EXPECT_THAT(fails("llm_health", R"({"operation":"shutdown"})"), HasSubstr(" /confirm: "));
  EXPECT_THAT(fails("llm_health", R"({"operation":"shutdown","confirm":true})"), HasSubstr("llm-mcp stop"));
  api_.answers.status = fail(ErrorCode::kUnavailable, "gone");
  for (const std::string operation : {"health_check", "system_info", "service_status", "get_metrics"}) {
    EXPECT_THAT(fails("llm_health", R"({"operation":")" + operation + R"("})"), StartsWith("unavailable : gone"));
  }
}

TEST_F(OriginalTools, HealthAndHelpTellAboutTheTools) {
  EXPECT_EQ(message("llm_health", R"({"operation":"list_tools"})"), "11 tools");
  EXPECT_FALSE(
      works("llm_health", R"({"operation":"list_tools"})").at("tools").at(0).as_object().contains("description"));
  EXPECT_TRUE(works("llm_health", R"({"operation":"list_tools","detail":2})")
                  .at("tools")
                  .at(0)
                  .as_object()
                  .contains("description"));
  EXPECT_THAT(text_, HasSubstr("llm_generation"));
  works("llm_health", R"({"operation":"tool_help","tool_name":"llm_gpu_tool"})");
  EXPECT_THAT(text_, StartsWith("llm_gpu: GPUs\n"));
  EXPECT_THAT(fails("llm_health", R"({"operation":"tool_help","tool_name":"llm_gpus"})"),
              HasSubstr("did you mean llm_gpu"));
  EXPECT_THAT(fails("llm_health", R"({"operation":"tool_help"})"), HasSubstr(" /tool_name: "));
  EXPECT_TRUE(works("llm_health", R"({"operation":"tool_signature","tool_name":"llm_gpu"})").contains("inputSchema"));
  EXPECT_EQ(works("llm_health", R"({"operation":"search_tools","query":"GPUs memory"})").at("tools").at(0).at("name"),
            "llm_gpu");
  EXPECT_THAT(fails("llm_health", R"({"operation":"search_tools"})"), HasSubstr(" /query: "));
  EXPECT_EQ(message("llm_help", R"({"operation":"list_tools"})"), "11 tools");
  EXPECT_THAT(message("llm_help", R"({"operation":"search_tools","query":"ollama"})"), HasSubstr("tools fit"));
  works("llm_help", R"({"operation":"tool_help","tool_name":"llm_models"})");
  EXPECT_THAT(text_, HasSubstr("- pull_model: "));
}

TEST_F(OriginalTools, HelpTakesThePlaceOfTheOtherOneAndKnowsItsTopics) {
  serve({Toolset::kCore, Toolset::kOriginal});
  EXPECT_EQ(find("llm_help")->tool.output_schema, json::schema<original::Envelope>());
  EXPECT_TRUE(find("llm_chat"));
  EXPECT_EQ(works("llm_help", "{}").at("topic"), "overview");
  EXPECT_EQ(works("llm_help", R"({"topic":"errors"})").at("topics").as_array().size(), 7U);
  EXPECT_THAT(text_, HasSubstr("invalid_argument"));
  works("llm_help", R"({"tool_name":"llm_chat"})");
  EXPECT_THAT(text_, StartsWith("llm_chat: "));
  EXPECT_THAT(fails("llm_help", R"({"topic":"weather"})"), HasSubstr("there are overview, models, chat"));
}

TEST_F(OriginalTools, TheHubIsSearched) {
  hub_answer_ = json::value(json::array{json::object{{"id", "a/b-GGUF"}, {"downloads", 9}, {"siblings", {1}}}, 5});
  EXPECT_EQ(
      json::write(works("llm_huggingface", R"({"operation":"search_models","query":"tiny & fast","author":"a/x"})")),
      R"({"models":[{"id":"a/b-GGUF","downloads":9}]})");
  EXPECT_EQ(asked_.back(),
            "/api/models?sort=downloads&direction=-1&limit=20&filter=gguf&search=tiny%20%26%20fast&author=a%2Fx");
  works("llm_huggingface", R"({"operation":"list_models"})");
  works("llm_huggingface", R"({"operation":"list_user_repos","author":"a"})");
  EXPECT_THAT(asked_.back(), HasSubstr("&author=a"));
  works("llm_huggingface", R"({"operation":"search_datasets","query":"q"})");
  EXPECT_EQ(asked_.back(), "/api/datasets?sort=downloads&direction=-1&limit=20&search=q");
  works("llm_huggingface", R"({"operation":"list_datasets"})");
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"search_models"})"), HasSubstr(" /query: "));
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"list_user_repos"})"), HasSubstr(" /author: "));
  hub_answer_ = json::value(json::object{});
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"list_models"})"), StartsWith("unavailable"));
  hub_answer_ = fail(ErrorCode::kUnavailable, "unreachable");
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"list_models"})"), StartsWith("unavailable : unreachable"));
}

TEST_F(OriginalTools, ModelsOfTheHubAreShownAndInstalled) {
  hub_answer_ = json::value(json::object{
      {"id", "a/b"},
      {"cardData", json::object{{"license", "mit"}}},
      {"siblings", {json::object{{"rfilename", "x.gguf"}, {"size", 7}}, json::object{{"rfilename", "README.md"}}}}});
  const auto info = works("llm_huggingface", R"({"operation":"get_model_info","model_id":"a/b"})");
  EXPECT_EQ(json::write(info), R"({"id":"a/b","license":"mit","gguf_files":[{"filename":"x.gguf","size":7}]})");
  EXPECT_EQ(asked_.back(), "/api/models/a/b/revision/main?blobs=true");
  hub_answer_ = json::value(5);
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"get_model_info","model_id":"a/b"})"),
              StartsWith("unavailable"));
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"get_model_info","model_id":"../etc"})"),
              StartsWith("invalid_argument /model_id: "));
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"get_model_info","repo_id":"x"})"), HasSubstr(" /repo_id: "));

  api_.answers.pull_model = json::object{{"name", "b"}};
  EXPECT_EQ(message("llm_huggingface", R"({"operation":"download_model","model_id":"a/b","filename":"Q4_K_M"})"),
            "b is installed");
  EXPECT_EQ(last_call(), R"(pull_model {"source":"hf:a/b:Q4_K_M"})");
  works("llm_huggingface", R"({"operation":"download_model","repo_id":"hf:a/b:x.gguf@dev"})");
  EXPECT_EQ(last_call(), R"(pull_model {"source":"hf:a/b:x.gguf@dev"})");
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"download_model","model_id":"a/b","local_path":"/x"})"),
              StartsWith("unsupported /local_path: "));
  api_.answers.pull_model = fail(ErrorCode::kNotFound, "no", "/source");
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"download_model","model_id":"a/b"})"),
              StartsWith("not_found /model_id"));
}

TEST_F(OriginalTools, TheHubIsOnlyRead) {
  hub_answer_ = json::value(json::object{{"name", "jo"}});
  EXPECT_EQ(json::write(works("llm_huggingface", R"({"operation":"whoami"})")), R"({"name":"jo"})");
  EXPECT_EQ(asked_.back(), "/api/whoami-v2");
  for (const std::string operation :
       {"login", "logout", "download_dataset", "upload_file", "create_repo", "delete_repo"}) {
    EXPECT_THAT(fails("llm_huggingface", R"({"operation":")" + operation + R"("})"),
                StartsWith("unsupported /operation"));
  }
  for (const std::string operation : {"search_models", "list_models", "get_model_info", "download_model", "whoami",
                                      "list_user_repos", "search_datasets"}) {
    const std::string said =
        fails("llm_huggingface",
              R"({"token":"hf_secret","query":"q","model_id":"a/b","author":"a","operation":")" + operation + R"("})");
    EXPECT_THAT(said, HasSubstr("models.hub_token"));
    EXPECT_THAT(said, Not(HasSubstr("hf_secret")));
  }
  use({.toolsets = {Toolset::kOriginal}});  // without a hub
  EXPECT_THAT(fails("llm_huggingface", R"({"operation":"list_models"})"), StartsWith("unsupported"));
}

TEST_F(OriginalTools, EachOperationNeedsItsOwnPermission) {
  principal_ = mcp::somebody("key:reader", {access::Permission::kModelsRead});
  api_.answers.list_models = kModels;
  works("llm_models", R"({"operation":"list_models"})");
  EXPECT_THAT(fails("llm_models", R"({"operation":"load_model","model_id":"own"})"),
              StartsWith("permission_denied /operation: "));
  EXPECT_THAT(fails("llm_models", R"({"operation":"remove_model","model_id":"own","confirm":true})"),
              StartsWith("permission_denied"));
  EXPECT_THAT(fails("llm_generation", R"({"operation":"generate_text","prompt":"x"})"),
              StartsWith("permission_denied"));
  EXPECT_EQ(find("llm_models")->tool.permission, access::Permission::kModelsRead);
  EXPECT_EQ(find("llm_generation")->tool.permission, access::Permission::kGenerate);
  // Who may use one operation sees the tool.
  EXPECT_TRUE(find("llm_engine")->tool.open_to(mcp::somebody("key:a", {access::Permission::kEnginesRead})));
  EXPECT_TRUE(find("llm_engine")->tool.open_to(mcp::somebody("key:a", {access::Permission::kModelsWrite})));
  EXPECT_FALSE(find("llm_engine")->tool.open_to(mcp::somebody("key:a", {access::Permission::kGenerate})));
  const auto shown = works("llm_help", R"({"operation":"list_tools"})");
  EXPECT_THAT(json::write(shown), Not(HasSubstr("llm_generation")));
  EXPECT_EQ(last_call(), "list_models {}");
}

TEST_F(OriginalTools, AnEmptyAnswerOfAModelStillHasSomethingToRead) {
  api_.answers.generate = json::object{{"model", "own"}, {"text", ""}, {"finish_reason", "length"}};
  works("llm_generation", R"({"operation":"generate_text","prompt":"x"})");
  EXPECT_THAT(text_, HasSubstr("finish_reason"));
}

}  // namespace
}  // namespace llm::tools
