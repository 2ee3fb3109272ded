// LocalModelApi::tokenize: how many tokens a text is for a model.
#include "inference/local_model_api.h"
#include "json/fields.h"

namespace llm::inference {
namespace {

struct TokenizeBody {
  std::string model;
  std::string text;
  bool tokens = false;
};

}  // namespace
}  // namespace llm::inference

template <>
struct llm::json::Fields<llm::inference::TokenizeBody> {
  static const Table<inference::TokenizeBody>& table() {
    using R = inference::TokenizeBody;
    static const Table<R> t{
        "tokenize request",
        {field("model", &R::model, {.description = "Model name or alias. Default: as for generating."}),
         field("text", &R::text, {.description = "The text to count.", .required = true}),
         field("tokens", &R::tokens, {.description = "Tell the tokens' numbers, too."})}};
    return t;
  }
};

namespace llm::inference {

Task<Result<json::object>> LocalModelApi::tokenize(json::object request, EventSink sink, CancelToken cancel) {
  auto decoded = json::decode<TokenizeBody>(request);
  if (!decoded) co_return fail(decoded.error());
  // llama-server reads `content`, vLLM `prompt`; neither minds the other's.
  json::object body{{"model", decoded->model}, {"content", decoded->text}, {"prompt", decoded->text}};
  std::string model;
  auto answer = co_await forward(Operation::kTokenize, std::move(body), std::move(sink), std::move(cancel), &model);
  if (!answer) co_return fail(std::move(answer.error()));
  const auto* tokens = json::find(*answer, "tokens");
  if (!tokens || !tokens->is_array()) {
    co_return fail(ErrorCode::kEngineFailed, "the engine's answer to tokenize holds no tokens");
  }
  json::object told{{"model", model}, {"count", tokens->get_array().size()}};
  if (decoded->tokens) told["tokens"] = *tokens;
  co_return told;
}

}  // namespace llm::inference
