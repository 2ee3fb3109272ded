#pragma once

#include "mcp/calls.h"
#include "mcp/server.h"

namespace llm::mcp {

// `prompts/list`, `prompts/get` and `completion/complete`, which all revisions share but for spelling. Each answers
// `to` once.
void list_prompts(const Server& server, Calls& calls, const Origin& origin, const json::object& params,
                  const ReplyTo& to);
void get_prompt(const Server& server, Calls& calls, Origin origin, const json::object& params, ReplyTo to);
void complete(const Server& server, Calls& calls, Origin origin, const json::object& params, ReplyTo to);

}  // namespace llm::mcp
