#pragma once

#include <vector>

#include "api/call.h"
#include "api/route_table.h"

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

Task<Result<void>> create_key(Call& call);
Task<Result<void>> list_keys(Call& call);
Task<Result<void>> show_key(Call& call);
Task<Result<void>> update_key(Call& call);
Task<Result<void>> rotate_key(Call& call);
Task<Result<void>> revoke_key(Call& call);
Task<Result<void>> create_project(Call& call);
Task<Result<void>> list_projects(Call& call);
Task<Result<void>> show_project(Call& call);
Task<Result<void>> update_project(Call& call);
Task<Result<void>> disable_project(Call& call);
Task<Result<void>> create_user(Call& call);
Task<Result<void>> list_users(Call& call);
Task<Result<void>> show_user(Call& call);
Task<Result<void>> update_user(Call& call);
Task<Result<void>> disable_user(Call& call);
Task<Result<void>> create_role(Call& call);
Task<Result<void>> list_roles(Call& call);
Task<Result<void>> show_role(Call& call);
Task<Result<void>> update_role(Call& call);
Task<Result<void>> remove_role(Call& call);
Task<Result<void>> usage(Call& call);
Task<Result<void>> audit(Call& call);
Task<Result<void>> issue_token(Call& call);
Task<Result<void>> revoke_token(Call& call);
Task<Result<void>> who_am_i(Call& call);
Task<Result<void>> protected_resource(Call& call);
Task<Result<void>> protected_mcp(Call& call);
Task<Result<void>> jwks(Call& call);

// One for each row of the table of operations.
std::vector<Route> operation_routes();
}  // namespace rest

Task<Result<void>> websocket(Call& call);

}  // namespace llm::api
