#pragma once

#include "api/call.h"

// The handlers of the route table, by protocol. Each answers through the exchange or returns an error.
namespace llm::api {

namespace openai {
Task<Result<void>> chat_completions(Call& call);
Task<Result<void>> completions(Call& call);
Task<Result<void>> embeddings(Call& call);
Task<Result<void>> rerank(Call& call);
Task<Result<void>> list_models(Call& call);
Task<Result<void>> get_model(Call& call);
}  // namespace openai

namespace rest {
Task<Result<void>> generate(Call& call);
Task<Result<void>> tokenize(Call& call);
Task<Result<void>> list_models(Call& call);
Task<Result<void>> get_model(Call& call);
Task<Result<void>> pull_model(Call& call);
Task<Result<void>> remove_model(Call& call);
Task<Result<void>> load_model(Call& call);
Task<Result<void>> unload_model(Call& call);
Task<Result<void>> engines(Call& call);
Task<Result<void>> engine_logs(Call& call);
Task<Result<void>> status(Call& call);
Task<Result<void>> health(Call& call);
Task<Result<void>> live(Call& call);
Task<Result<void>> ready(Call& call);
Task<Result<void>> metrics(Call& call);
}  // namespace rest

Task<Result<void>> websocket(Call& call);

}  // namespace llm::api
