// llm_remove_model: deleting needs a person, or at least a clear word.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string_view>

#include "tools/tools_under_test.h"

namespace llm::tools {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class RemoveModel : public ToolsUnderTest {
 protected:
  RemoveModel() {
    api_.answers.model_info = parsed(R"({"name":"qwen","size":2048})");
    api_.answers.remove_model = parsed(R"({"model":"qwen","removed":true})");
  }
  bool removed() const { return !api_.calls.empty() && api_.calls.back().starts_with("remove_model"); }
  void client_asks() { capabilities_["elicitation"] = json::object(); }
  void answer(std::string_view text) {
    inputs_ = {{"confirm", parsed(text)}};
    state_ = "qwen";
  }
};

TEST_F(RemoveModel, NeedsConfirmWhereNobodyCanBeAsked) {
  const Error error = refused("llm_remove_model", R"({"model":"qwen"})");
  EXPECT_EQ(error.pointer, "/confirm");
  EXPECT_THAT(error.message, HasSubstr("\"qwen\""));
  EXPECT_FALSE(removed());
  const auto result = call("llm_remove_model", R"({"model":"qwen","confirm":true})");
  EXPECT_EQ(json::write(result.structured), R"({"model":"qwen","removed":true})");
  EXPECT_TRUE(removed());
  EXPECT_THAT(changes_,
              UnorderedElementsAre("list", "llm://models/qwen", "llm://models", "llm://engines", "llm://status"));
}

TEST_F(RemoveModel, AsksTheUserWhereItCan) {
  client_asks();
  const auto asked =
      call("llm_remove_model", R"({"model":"q","confirm":true})");  // a model may not answer for the user
  ASSERT_TRUE(asked.input_required);
  EXPECT_EQ(asked.input_required->state, "qwen");
  const auto& question = asked.input_required->requests.at("confirm");
  EXPECT_EQ(question.method, "elicitation/create");
  EXPECT_THAT(json::string_or(question.params, "message"), AllOf(HasSubstr("\"qwen\""), HasSubstr("KiB")));
  EXPECT_EQ(question.params.at("requestedSchema").at("properties").at("confirm").at("type"), "boolean");
  EXPECT_FALSE(removed());
  answer(R"({"action":"accept","content":{"confirm":true}})");
  EXPECT_EQ(call("llm_remove_model", R"({"model":"q"})").structured.at("removed"), true);
  EXPECT_TRUE(removed());
}

TEST_F(RemoveModel, KeepsTheModelUnlessTheUserSaysYes) {
  client_asks();
  for (const std::string_view no :
       {R"({"action":"decline"})", R"({"action":"cancel"})", R"({"action":"accept","content":{"confirm":false}})"}) {
    answer(no);
    const auto result = call("llm_remove_model", R"({"model":"qwen","confirm":true})");
    EXPECT_EQ(result.structured.at("removed"), false) << no;
    EXPECT_THAT(result.text, HasSubstr("still installed"));
  }
  for (const std::string_view odd : {R"({})", R"({"action":"accept"})", R"({"action":"accept","content":{}})",
                                     R"({"action":"accept","content":{"confirm":"yes"}})", R"({"action":5})"}) {
    answer(odd);
    EXPECT_TRUE(call("llm_remove_model", R"({"model":"qwen"})").input_required) << odd;
  }
  answer(R"({"action":"accept","content":{"confirm":true}})");
  state_ = "another";  // the answer was about something else
  EXPECT_TRUE(call("llm_remove_model", R"({"model":"qwen"})").input_required);
  EXPECT_FALSE(removed());
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(RemoveModel, UnknownModelsAreNotAskedAbout) {
  client_asks();
  api_.answers.model_info = fail(ErrorCode::kNotFound, "no such model", "/model");
  EXPECT_EQ(refused("llm_remove_model", R"({"model":"x"})").code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace llm::tools
