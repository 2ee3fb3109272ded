#include "engines/providers/fingerprint.h"

#include <gtest/gtest.h>

namespace llm::engines {
namespace {

using enum dialects::ProviderKind;

// What the first question says that proves anything, as discovery asks them one after the other.
std::optional<Fingerprint> first_proof(std::string_view target, int status, std::string_view body) {
  for (const FingerprintQuestion& question : fingerprint_questions()) {
    if (question.target != target) continue;
    if (auto found = read_fingerprint(question, status, body)) return found;
  }
  return std::nullopt;
}

struct Case {
  std::string_view target;
  std::string_view body;
  std::optional<dialects::ProviderKind> kind;
  std::string_view version = "";
  int status = 200;
};

TEST(Fingerprint, EachKindByItsOwnAddress) {
  const Case cases[] = {
      {"/api/version", R"({"version":"0.11.4"})", kOllama, "0.11.4"},
      {"/api/version", R"({"version":1})", std::nullopt},
      {"/api/version", R"({"version":"1","os":"x","arch":"y"})", std::nullopt},  // some other program
      {"/api/v1/models", R"({"models":[{"key":"a","loaded_instances":[]}]})", kLmStudio},
      {"/api/v1/models", R"({"models":[]})", kLmStudio},
      {"/api/v1/models", R"({"models":[{"name":"a"}]})", std::nullopt},
      {"/api/v1/models", R"j({"error":"Unexpected endpoint or method. (GET /api/v1/models)"})j", kLmStudio},
      {"/api/v0/models", R"({"object":"list","data":[{"id":"a","state":"not-loaded"}]})", kLmStudio},
      {"/props", R"({"default_generation_settings":{},"total_slots":4,"build_info":"b6000-abc"})", kLlamaServer,
       "b6000-abc"},
      {"/props", R"({"title":"x"})", std::nullopt},
      {"/get_model_info", R"({"model_path":"Qwen/Qwen3-8B","is_generation":true})", kSglang},
      {"/info", R"({"model_id":"x","max_concurrent_requests":128,"version":"3.3.5"})", kTgi, "3.3.5"},
      {"/info", R"({"model_id":"x"})", std::nullopt},
      {"/version", R"({"version":"0.10.1"})", kVllm, "0.10.1"},
      {"/v1/models", R"({"object":"list","data":[{"id":"a","owned_by":"vllm"}]})", kVllm},
      {"/v1/models", R"({"object":"list","data":[{"id":"a","owned_by":"llamacpp"}]})", kLlamaServer},
      {"/v1/models", R"({"object":"list","data":[{"id":"a","owned_by":"me"}]})", kOpenAiCompatible},
      {"/v1/models", R"({"error":{"message":"no key"}})", kOpenAiCompatible, "", 401},
      {"/v1/models", "<html>", std::nullopt},
      {"/v1/models", R"({"data":{}})", std::nullopt},
      {"/version", R"({"version":"0.10.1"})", std::nullopt, "", 404},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(std::string(one.target) + " " + std::string(one.body));
    const auto found = first_proof(one.target, one.status, one.body);
    ASSERT_EQ(found.has_value(), one.kind.has_value());
    if (!found) continue;
    EXPECT_EQ(found->kind, *one.kind);
    EXPECT_EQ(found->version, one.version);
  }
}

TEST(Fingerprint, ModelsOfAList) {
  const auto models = read_models(R"({"data":[{"id":"a","owned_by":"me"},{"id":""},3,{"id":"b","owned_by":"you"}]})");
  ASSERT_TRUE(models);
  EXPECT_EQ(models->ids, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(models->owner, "me");
}

}  // namespace
}  // namespace llm::engines
