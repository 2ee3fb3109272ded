#include "engines/vllm/vllm_features.h"

#include <gmock/gmock.h>

#include "engines/vllm/vllm_adapters.h"

namespace llm::engines {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(VllmFeatures, FollowFromTheListedPaths) {
  VllmApi api;
  EXPECT_FALSE(api.lists());
  api.paths = paths_of_openapi(R"({"paths":{"/sleep":{},"/wake_up":{},"/v1/load_lora_adapter":{},"/rerank":{}}})");
  EXPECT_TRUE(api.lists());
  EXPECT_TRUE(api.sleep());
  EXPECT_FALSE(api.adapters()) << "what is loaded could not be unloaded";
  EXPECT_TRUE(api.rerank());
  EXPECT_FALSE(api.generation());
  EXPECT_THAT(paths_of_openapi("{}"), IsEmpty());
  EXPECT_THAT(paths_of_openapi(R"({"paths":[1]})"), IsEmpty());
  EXPECT_THAT(paths_of_openapi("<html>"), IsEmpty());
}

TEST(VllmFeatures, ModelsAndTheirAdapters) {
  const auto models = vllm_models_of(
      R"({"data":[{"id":"big","root":"acme/big","parent":null,"max_model_len":4096},
                  {"id":"sql","root":"/lora/sql","parent":"big","max_model_len":null},{"id":7},3,
                  {"id":"odd","max_model_len":-5}]})");
  ASSERT_TRUE(models);
  EXPECT_THAT(*models, ElementsAre(VllmModel{"big", "acme/big", "", 4096}, VllmModel{"sql", "/lora/sql", "big", 0},
                                   VllmModel{"odd", "", "", 0}));
  EXPECT_TRUE((*models)[1].adapter());
  for (const char* wrong : {"", "[]", "{}", R"({"data":{}})"}) EXPECT_FALSE(vllm_models_of(wrong)) << wrong;
}

TEST(VllmFeatures, ErrorsOfOldAndNewShape) {
  EXPECT_EQ(message_of({404, R"({"object":"error","message":"old","code":404})"}), "old");
  EXPECT_EQ(message_of({400, R"({"error":{"message":"new","code":400}})"}), "new");
  EXPECT_EQ(message_of({401, R"({"error":"Unauthorized"})"}), "Unauthorized");
  EXPECT_EQ(message_of({404, R"({"detail":"Not Found"})"}), "Not Found");
  EXPECT_EQ(message_of({500, "Internal Server Error"}), "Internal Server Error");
}

TEST(VllmAdapters, AreATableThatTellsItsChanges) {
  VllmAdapters adapters;
  EXPECT_THAT(adapters.adapters_of("big"), IsEmpty());
  adapters.reset("big", {{"a", "/a"}});
  const auto version = adapters.version();
  adapters.set("big", {{"a", "/a"}});
  EXPECT_EQ(adapters.version(), version) << "nothing changed";
  adapters.add("big", {"b", "/b"});
  adapters.add("big", {"a", "/a2"});
  EXPECT_TRUE(adapters.has("big", "b"));
  EXPECT_FALSE(adapters.has("other", "b"));
  EXPECT_EQ(adapters.adapters_of("big").size(), 2U);
  adapters.remove("big", "b");
  adapters.remove("big", "b");
  EXPECT_FALSE(adapters.has("big", "b"));
  EXPECT_EQ(adapters.version(), version + 3);
}

TEST(VllmAdapters, NamesAreSafeInNamesOfModels) {
  for (const char* good : {"sql", "a-b_c.d", "7b"}) EXPECT_TRUE(check_adapter_name(good)) << good;
  for (const char* bad : {"", "a:b", "a/b", "../x", "-x", "a b", "ä"}) EXPECT_FALSE(check_adapter_name(bad)) << bad;
  EXPECT_TRUE(check_adapter_name(std::string(128, 'a')));
  EXPECT_FALSE(check_adapter_name(std::string(129, 'a')));
  EXPECT_TRUE(check_adapter_path("acme/adapter"));
  EXPECT_FALSE(check_adapter_path(""));
  EXPECT_FALSE(check_adapter_path("--x"));
}

}  // namespace
}  // namespace llm::engines
