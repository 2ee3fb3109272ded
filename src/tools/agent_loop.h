#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "inference/model_api.h"
#include "json/fields.h"
#include "mcp/context.h"
#include "tools/tool_caller.h"

namespace llm::tools {

struct AgentLimits {
  int max_turns = 8;                         // times the model is asked; the last time it may not call tools
  std::chrono::milliseconds total{120'000};  // for all of it
  std::size_t max_result_bytes = 32 * 1024;  // of one tool's result, as the model sees it
  std::size_t max_calls_per_turn = 16;       // more are answered with an error
  std::size_t max_parallel = 4;              // calls at a time
  std::size_t max_tools = 128;               // offered; more are an error, as models get lost in them
};

// One call that the model made.
struct ToolCallMade {
  std::int64_t turn = 0;  // from 1
  std::string name;
  json::object arguments;
  bool is_error = false;
  std::string result;  // the beginning of what the model saw
  std::int64_t milliseconds = 0;
};

struct AgentAnswer {
  json::object answer;  // of the last ModelApi::generate, with the usage of all turns; without tool_calls
  std::vector<ToolCallMade> tool_calls_made;
  std::int64_t turns = 0;
  bool cut = false;  // a limit ended it: of turns, or of time
};

// Lets a model work with tools until it answers: asks it, runs the calls it makes, tells it the results, asks again.
// What goes wrong with a call is told to the model, which may do better. `request` is a GenerateRequest with messages,
// and without tools. `use_tools`: names of offered tools, or patterns with '*'; kNotFound if one fits nothing.
// `context` is that of the call on whose behalf this runs: its cancel, its caller. `sink` hears the events of
// generating, and {"status":"tool","tool":name,"turn":n} before each call. At the end of the time the answer is what
// there is, if there is anything, else kEngineTimeout.
Task<Result<AgentAnswer>> run_agent(inference::ModelApi& api, ToolCaller& tools, json::object request,
                                    std::vector<std::string> use_tools, AgentLimits limits, mcp::Context context,
                                    inference::EventSink sink);

}  // namespace llm::tools

template <>
struct llm::json::Fields<llm::tools::ToolCallMade> {
  static const Table<tools::ToolCallMade>& table();
};
