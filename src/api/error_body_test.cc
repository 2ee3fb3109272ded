#include "api/error_body.h"

#include <gtest/gtest.h>

namespace llm::api {
namespace {

TEST(ErrorBody, HasTheShapeOfTheOpenAiApi) {
  EXPECT_EQ(json::write(error_body({ErrorCode::kInvalidArgument, "odd", "/messages/0/content", {}, 0}, "req_1")),
            R"({"error":{"message":"odd","type":"invalid_request_error","code":"invalid_argument",)"
            R"("param":"messages.0.content","pointer":"/messages/0/content","request_id":"req_1"}})");
  EXPECT_EQ(json::write(error_body({ErrorCode::kInternal, "bug", {}, {}, 0})),
            R"({"error":{"message":"bug","type":"server_error","code":"internal","param":null}})");
}

TEST(ErrorBody, AnUnknownModelIsWhatClientsExpect) {
  EXPECT_EQ(error_body({ErrorCode::kNotFound, "x", "/model", {}, 0}).at("error").at("code"), "model_not_found");
  EXPECT_EQ(error_body({ErrorCode::kNotFound, "x", "/other", {}, 0}).at("error").at("code"), "not_found");
}

TEST(ErrorBody, DetailsAndRetryAfterAreMembers) {
  const auto body =
      error_body({ErrorCode::kContextLengthExceeded, "long", {}, {{"n_ctx", 512}, {"phase", std::string("load")}}, 7});
  const auto& error = body.at("error");
  EXPECT_EQ(error.at("n_ctx"), 512);
  EXPECT_EQ(error.at("phase"), "load");
  EXPECT_EQ(error.at("retry_after"), 7);
  EXPECT_EQ(error.at("type"), "invalid_request_error");
}

}  // namespace
}  // namespace llm::api
