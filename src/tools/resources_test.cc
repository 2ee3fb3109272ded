#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcp/principal_under_test.h"
#include "tools/model_names.h"
#include "tools/model_watcher.h"
#include "tools/tools_under_test.h"

namespace llm::tools {
namespace {

using access::Permission;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr std::string_view kModels =
    R"({"models":[{"name":"org/qwen","mode":"generation","state":"ready"},{"name":"e5","mode":"embedding"},)"
    R"({"name":"smol","mode":"generation"}],"aliases":{"queen":"org/qwen"},"default":"smol"})";

class Resources : public ToolsUnderTest {
 protected:
  Resources() {
    api_.answers.list_models = parsed(kModels);
    api_.answers.engines = parsed(R"({"engines":[{"model":"org/qwen","state":"ready","in_flight":0}]})");
    api_.answers.status = parsed(R"({"status":"ok","version":"1"})");
  }

  // As a server reads: a fixed resource, else the template that fits.
  Result<mcp::ResourceContents> read(std::string_view uri) {
    auto call = context<mcp::ResourceRead>();
    call.uri = uri;
    const auto set = server_->resources().resources();
    for (const auto& one : set->fixed) {
      if (one.info.uri == uri) return run(one.read(std::move(call))).value();
    }
    for (const auto& one : set->templates) {
      auto variables = mcp::match_template(one.info.uri_template, uri);
      if (!variables) continue;
      call.variables = std::move(*variables);
      return run(one.read(std::move(call))).value();
    }
    return fail(ErrorCode::kNotFound, "no such resource");
  }
  json::object read_json(std::string_view uri) {
    const auto contents = read(uri);
    if (!contents || contents->parts.size() != 1) {
      ADD_FAILURE() << uri << ": " << (contents ? "parts" : contents.error().message);
      return {};
    }
    EXPECT_EQ(contents->parts[0].uri, uri);
    EXPECT_EQ(contents->parts[0].mime_type, "application/json");
    return parsed(contents->parts[0].data);
  }
  std::vector<std::string> complete(const mcp::Completer& completer, std::string value) {
    auto request = context<mcp::CompletionRequest>();
    request.value = std::move(value);
    return run(completer(std::move(request))).value().value();
  }
  Task<void> looked(ModelWatcher& watcher) { return watcher.look(); }
};

TEST_F(Resources, HoldWhatTheToolsTell) {
  EXPECT_EQ(json::value(read_json("llm://models")), call("llm_list_models", "{}").structured);
  EXPECT_EQ(json::value(read_json("llm://status")), call("llm_status", "{}").structured);
  EXPECT_EQ(json::write(read_json("llm://engines")),
            R"({"engines":[{"model":"org/qwen","state":"ready","in_flight":0}]})");
  EXPECT_TRUE(server_->resources().resources()->subscribable);
}

TEST_F(Resources, ACardHasTheChatTemplate) {
  api_.answers.model_info =
      parsed(R"({"name":"org/qwen","license":"apache-2.0","chat_template":"{{x}}","engine":null})");
  const auto card = read_json("llm://models/org%2Fqwen");
  EXPECT_EQ(card.at("chat_template"), "{{x}}");
  EXPECT_EQ(card.at("model").at("license"), "apache-2.0");
  EXPECT_EQ(api_.calls.back(), R"(model_info {"name":"org/qwen"})");
  api_.answers.model_info = fail(ErrorCode::kNotFound, "no such model");
  EXPECT_EQ(read("llm://models/x").error().code, ErrorCode::kNotFound);
}

TEST_F(Resources, LogsAreText) {
  api_.answers.engine_logs = parsed(R"({"model":"e5","lines":["one","two",3]})");
  const auto contents = read("llm://logs/e5");
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->parts[0].data, "one\ntwo\n");
  EXPECT_EQ(contents->parts[0].mime_type, "text/plain");
  EXPECT_EQ(api_.calls.back(), R"(engine_logs {"name":"e5"})");
}

TEST_F(Resources, ListedModelsCanBeRead) {
  api_.answers.model_info = parsed(R"({"name":"m"})");
  const auto set = server_->resources().resources();
  ASSERT_THAT(set->listers, SizeIs(1));
  const auto listed = run(set->listers[0].list(context<mcp::Context>())).value();
  ASSERT_TRUE(listed);
  std::vector<std::string> uris;
  for (const auto& one : *listed) {
    uris.push_back(one.uri);
    read_json(one.uri);
  }
  EXPECT_THAT(uris, ElementsAre("llm://models/org%2Fqwen", "llm://models/e5", "llm://models/smol"));
}

TEST_F(Resources, NeedPermissions) {
  const auto set = server_->resources().resources();
  const auto needs = [&](std::string_view uri) { return mcp::find_resource(*set, uri).permission; };
  EXPECT_EQ(needs("llm://models"), Permission::kModelsRead);
  EXPECT_EQ(needs("llm://models/e5"), Permission::kModelsRead);
  EXPECT_EQ(needs("llm://engines"), Permission::kEnginesRead);
  EXPECT_EQ(needs("llm://status"), Permission::kEnginesRead);
  EXPECT_EQ(needs("llm://logs/e5"), Permission::kEnginesRead);
  EXPECT_EQ(set->listers.at(0).permission, Permission::kModelsRead);
}

TEST_F(Resources, OnlyModelsThatOneMayUseAreWatched) {
  const auto set = server_->resources().resources();
  const auto caller = mcp::somebody("key:a", {Permission::kModelsRead}, {"org/*"});
  const auto watches = [&](std::string_view uri) { return mcp::find_resource(*set, uri).watchable_by(caller); };
  EXPECT_TRUE(watches("llm://models"));
  EXPECT_TRUE(watches("llm://models/org%2Fqwen"));
  EXPECT_FALSE(watches("llm://models/e5"));
  EXPECT_FALSE(watches("llm://logs/org%2Fqwen"));
  EXPECT_FALSE(watches("llm://nothing"));
}

TEST_F(Resources, NamesAreCompleted) {
  const auto set = server_->resources().resources();
  const auto& models = set->templates.at(0).complete.at("name");
  EXPECT_THAT(complete(models, ""), ElementsAre("org/qwen", "e5", "smol", "queen"));
  EXPECT_THAT(complete(models, "q"), ElementsAre("queen", "org/qwen"));  // what begins so comes first
  EXPECT_THAT(complete(models, "S"), ElementsAre("smol"));
  const auto& engines = set->templates.at(1).complete.at("engine");
  EXPECT_THAT(complete(engines, ""), ElementsAre("org/qwen"));
}

class Watching : public Resources {
 protected:
  void look() { run(looked_once(*watcher_)); }
  static Task<int> looked_once(ModelWatcher& watcher) {
    co_await watcher.look();
    co_return 0;
  }
  static Task<int> run_until(ModelWatcher& watcher, CancelToken stop) {
    co_await watcher.run(stop);
    co_return 0;
  }
  Loop own_{"watcher"};
  std::unique_ptr<ModelWatcher> watcher_ =
      std::make_unique<ModelWatcher>(*server_, same_model_api(api_), own_, std::chrono::hours(1));
};

TEST_F(Watching, TellsWhatOthersChanged) {
  look();
  look();
  EXPECT_THAT(changes_, IsEmpty());
  api_.answers.engines = parsed(R"({"engines":[{"model":"org/qwen","state":"failed","error":{"message":"crashed"}}]})");
  look();
  EXPECT_THAT(changes_, UnorderedElementsAre("llm://models/org%2Fqwen", "llm://logs/org%2Fqwen", "llm://engines",
                                             "llm://status"));
  changes_.clear();
  api_.answers.list_models = parsed(R"({"models":[{"name":"org/qwen","mode":"generation","state":"ready"},)"
                                    R"({"name":"smol","mode":"generation"}]})");
  look();
  EXPECT_THAT(changes_, UnorderedElementsAre("list", "llm://models/e5", "llm://models", "llm://status"));
}

TEST_F(Watching, IdleTimeAndMemoryAreNoNews) {
  look();
  api_.answers.engines =
      parsed(R"({"engines":[{"model":"org/qwen","state":"ready","in_flight":0,"idle_s":5,"memory_bytes":7}]})");
  look();
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(Watching, AnApiThatDoesNotAnswerChangesNothing) {
  look();
  const auto before = api_.answers.engines;
  api_.answers.engines = fail(ErrorCode::kUnavailable, "gone");
  look();
  api_.answers.engines = before;
  look();
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(Watching, AsksOnlyWhileSomebodySubscribes) {
  CancelSource stop;
  EXPECT_FALSE(run(run_until(*watcher_, stop.token())));
  EXPECT_THAT(api_.calls, IsEmpty());
  server_->changes().watchers().set(1);
  turn();
  EXPECT_THAT(api_.calls, ElementsAre("list_models {}", "engines {}"));
  stop.cancel();
  turn();
  EXPECT_THAT(api_.calls, SizeIs(2));
}

}  // namespace
}  // namespace llm::tools
