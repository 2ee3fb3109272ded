#pragma once

#include <string>
#include <string_view>

#include "cli/commands/context.h"
#include "json/json.h"

namespace llm::cli {

// An operation on versions, aliases, bundles or garbage, by its name in the table of operations: done by the gateway if
// one runs, so that it takes effect at once and knows what is in use, else on the store here. `label` stands before the
// progress; empty: no progress is shown. Ctrl-C cancels.
Result<json::object> operate_store(CommandContext& context, const Setup& setup, std::string operation,
                                   json::object arguments, std::string_view label = {});

// "qwen3:8b@sha256:0123456789ab": as short as a version may be written. Other texts as they are.
std::string short_version(std::string_view version);

// The list of that name in an answer; an empty one where there is none.
const json::array& list_of(const json::object& answer, std::string_view key);

}  // namespace llm::cli
