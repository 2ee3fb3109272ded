#include "tools/agent_loop.h"

#include <algorithm>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "access/pattern.h"
#include "async/event.h"
#include "async/task_group.h"
#include "base/strings.h"
#include "tools/results.h"

namespace llm {

const json::Table<tools::ToolCallMade>& json::Fields<tools::ToolCallMade>::table() {
  using T = tools::ToolCallMade;
  static const Table<T> table{
      "tool call",
      {
          field("turn", &T::turn, {.description = "In which of the model's turns, from 1.", .required = true}),
          field("name", &T::name, {.description = "The tool.", .required = true}),
          field("arguments", &T::arguments, {.description = "What it was called with.", .required = true}),
          field("is_error", &T::is_error, {.description = "Did the call fail?", .required = true}),
          field("result", &T::result, {.description = "The beginning of its result.", .required = true}),
          field("milliseconds", &T::milliseconds, {.description = "How long it took.", .required = true}),
      }};
  return table;
}

namespace tools {
namespace {

using Clock = std::chrono::steady_clock;
using Timer = boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor>;

constexpr std::size_t kMaxFunctionName = 64;  // OpenAI: ^[a-zA-Z0-9_-]{1,64}$
constexpr std::size_t kTraceBytes = 2000;

// What a model asked for.
struct WantedCall {
  std::string id;
  std::string function;
  std::string arguments;  // JSON text, as the model wrote it
};

struct Offer {
  json::array tools;                                        // in the OpenAI form
  std::map<std::string, std::string, std::less<>> by_name;  // function -> tool
};

// One run of the loop. Lives in the frame of run_agent.
struct Agent {
  inference::ModelApi& api;
  ToolCaller& tools;
  AgentLimits limits;
  mcp::Context context;
  inference::EventSink sink;
  Offer offer = {};
  json::array messages = {};
  AgentAnswer out = {};
  CancelSource stop = {};
  std::string partial = {};  // text of the turn that is being generated
};

std::string clipped(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  const auto kept = utf8_complete_prefix(text.substr(0, most));
  return fmt::format("{}\n[cut here: {} more]", text.substr(0, kept), format_bytes(text.size() - kept));
}

std::string function_name(std::string_view tool, const Offer& offer) {
  std::string name(tool.substr(0, kMaxFunctionName));
  std::ranges::replace(name, '.', '_');
  for (int number = 2; offer.by_name.contains(name); ++number) {
    const std::string suffix = fmt::format("_{}", number);
    name = name.substr(0, kMaxFunctionName - suffix.size()) + suffix;
  }
  return name;
}

Result<Offer> make_offer(const ToolCaller& caller, const std::vector<std::string>& use_tools, std::size_t most) {
  const auto offered = caller.offered();
  std::vector<bool> chosen(offered.size());
  for (std::size_t i = 0; i < use_tools.size(); ++i) {
    bool any = use_tools[i] == "*";
    for (std::size_t t = 0; t < offered.size(); ++t) {
      if (!access::pattern_matches(use_tools[i], offered[t].name)) continue;
      chosen[t] = true;
      any = true;
    }
    if (any) continue;
    std::vector<std::string> names;
    for (const auto& tool : offered) names.push_back(tool.name);
    const auto close = nearest(use_tools[i], names, 1);
    return fail(ErrorCode::kNotFound,
                close.empty()
                    ? fmt::format("no bridged tool is called '{}'; there are {}", use_tools[i], names.size())
                    : fmt::format("no bridged tool is called '{}'; did you mean '{}'?", use_tools[i], close[0]),
                fmt::format("/use_tools/{}", i));
  }
  Offer offer;
  for (std::size_t t = 0; t < offered.size(); ++t) {
    if (!chosen[t]) continue;
    std::string name = function_name(offered[t].name, offer);
    offer.tools.push_back(json::object{{"type", "function"},
                                       {"function", json::object{{"name", name},
                                                                 {"description", offered[t].description},
                                                                 {"parameters", offered[t].input_schema}}}});
    offer.by_name.emplace(std::move(name), offered[t].name);
  }
  if (offer.tools.size() > most) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} tools fit use_tools, at most {} can be offered; name those that are needed",
                            offer.tools.size(), most),
                "/use_tools");
  }
  return offer;
}

// Takes the calls of an answer, and makes them what the next request may repeat.
std::vector<WantedCall> take_calls(json::object& answer, std::int64_t turn) {
  std::vector<WantedCall> calls;
  json::value* list = answer.if_contains("tool_calls");
  if (list == nullptr || !list->is_array()) return calls;
  for (const json::value& entry : list->get_array()) {
    if (!entry.is_object()) continue;
    const json::object call = openai_call(entry.get_object());
    const json::value* function = json::find(call, "function");
    if (function == nullptr || !function->is_object()) continue;
    const json::value* arguments = json::find(function->get_object(), "arguments");
    WantedCall wanted{.id = std::string(json::string_or(call, "id")),
                      .function = std::string(json::string_or(function->get_object(), "name")),
                      .arguments = "{}"};
    if (wanted.id.empty()) wanted.id = fmt::format("call_{}_{}", turn, calls.size() + 1);
    if (arguments != nullptr && arguments->is_string()) wanted.arguments = arguments->get_string();
    if (arguments != nullptr && arguments->is_object()) wanted.arguments = json::write(*arguments);
    calls.push_back(std::move(wanted));
  }
  answer.erase("tool_calls");
  return calls;
}

json::object assistant_message(std::string_view text, const std::vector<WantedCall>& calls) {
  json::array list;
  for (const auto& call : calls) {
    list.push_back(json::object{{"id", call.id},
                                {"type", "function"},
                                {"function", json::object{{"name", call.function}, {"arguments", call.arguments}}}});
  }
  return {{"role", "assistant"}, {"content", text}, {"tool_calls", std::move(list)}};
}

// A result as a model reads it: its texts; of other content, what it is.
std::string readable(const mcp::ToolResult& result) {
  std::string out = result.text;
  const auto line = [&](std::string_view text) {
    if (!out.empty()) out.push_back('\n');
    out.append(text);
  };
  for (const json::value& block : result.content) {
    if (!block.is_object()) continue;
    const json::object& object = block.get_object();
    const std::string_view type = json::string_or(object, "type");
    const json::value* resource = json::find(object, "resource");
    if (type == "text") {
      line(json::string_or(object, "text"));
    } else if (type == "resource" && resource != nullptr && resource->is_object() &&
               json::find(resource->get_object(), "text") != nullptr) {
      line(json::string_or(resource->get_object(), "text"));
    } else if (type == "resource_link") {
      line(fmt::format("[resource {}]", json::string_or(object, "uri")));
    } else {
      line(fmt::format("[{} {}]", type, json::string_or(object, "mimeType")));
    }
  }
  if (out.empty() && !result.structured.is_null()) out = json::write(result.structured);
  return out.empty() ? "(no content)" : out;
}

// Questions to a user cannot be asked from here.
mcp::Context quiet_context(const Agent& agent) {
  mcp::Context context = agent.context;
  auto caller = agent.context.caller ? *agent.context.caller : mcp::Caller();
  caller.capabilities = {};
  context.caller = std::make_shared<const mcp::Caller>(std::move(caller));
  context.cancel = agent.stop.token();
  context.progress = {};
  context.keep_partial = {};
  context.inputs = {};
  context.state = {};
  return context;
}

Task<Result<std::string>> execute(Agent* agent, const WantedCall* wanted, ToolCallMade* made) {
  const auto tool = agent->offer.by_name.find(wanted->function);
  if (tool == agent->offer.by_name.end()) {
    std::vector<std::string> names;
    for (const auto& [function, name] : agent->offer.by_name) names.push_back(function);
    const auto close = nearest(wanted->function, names, 1);
    co_return fail(ErrorCode::kNotFound, close.empty()
                                             ? "there is no such tool"
                                             : fmt::format("there is no such tool; did you mean {}?", close[0]));
  }
  made->name = tool->second;
  auto arguments = json::parse(wanted->arguments.empty() ? "{}" : wanted->arguments);
  if (!arguments) {
    co_return fail(ErrorCode::kMalformed, fmt::format("the arguments are no JSON: {}", arguments.error().message));
  }
  if (!arguments->is_object()) co_return fail(ErrorCode::kInvalidArgument, "the arguments must be a JSON object");
  made->arguments = arguments->get_object();
  if (agent->sink) {
    (void)co_await agent->sink({{"status", "tool"}, {"tool", made->name}, {"turn", made->turn}});
  }
  auto result = co_await agent->tools.call(made->name, std::move(arguments->get_object()), quiet_context(*agent));
  if (!result) co_return fail(std::move(result.error()));
  if (result->input_required) co_return fail(ErrorCode::kUnsupported, "the tool asks for input from a user");
  made->is_error = result->is_error;
  co_return readable(*result);
}

Task<void> run_call(Agent* agent, const WantedCall* wanted, ToolCallMade* made, std::string* text, std::size_t* running,
                    Event* finished) {
  const auto begin = Clock::now();
  auto result = co_await execute(agent, wanted, made);
  made->milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
  if (!result) made->is_error = true;
  *text =
      result ? clipped(*result, agent->limits.max_result_bytes) : fmt::format("Error: {}", to_string(result.error()));
  made->result = clipped(*text, kTraceBytes);
  --*running;
  finished->notify();
}

// All calls of a turn, so many at a time; their results become messages in the order of the calls.
Task<void> run_calls(Agent* agent, std::vector<WantedCall> calls) {
  const auto executor = co_await boost::asio::this_coro::executor;
  std::vector<ToolCallMade> made(calls.size());
  std::vector<std::string> texts(calls.size());
  TaskGroup group(executor);
  Event finished(executor);
  std::size_t running = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    made[i].turn = agent->out.turns;
    made[i].name = calls[i].function;
    if (i >= agent->limits.max_calls_per_turn) {
      made[i].is_error = true;
      made[i].result = texts[i] = fmt::format("Error: at most {} calls at once", agent->limits.max_calls_per_turn);
      continue;
    }
    while (running >= std::max<std::size_t>(agent->limits.max_parallel, 1)) co_await finished.wait();
    ++running;
    group.spawn(run_call(agent, &calls[i], &made[i], &texts[i], &running, &finished));
  }
  co_await group.join();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    agent->messages.push_back(json::object{{"role", "tool"}, {"tool_call_id", calls[i].id}, {"content", texts[i]}});
    agent->out.tool_calls_made.push_back(std::move(made[i]));
  }
}

void add_usage(json::object& total, const json::object& answer) {
  const json::value* usage = json::find(answer, "usage");
  if (usage == nullptr || !usage->is_object()) return;
  for (const auto& [name, value] : usage->get_object()) {
    if (value.is_number()) total[name] = json::int_or(total, name) + json::int_or(usage->get_object(), name);
  }
}

Task<Result<void>> hear(Agent* agent, json::object event) {
  const json::value* text = json::find(event, "text");
  if (text != nullptr && text->is_string()) agent->partial.append(text->get_string());
  if (agent->sink) co_return co_await agent->sink(std::move(event));
  co_return Result<void>();
}

Task<Result<void>> converse(Agent* agent, const json::object* request) {
  json::object usage;
  while (true) {
    const bool last = ++agent->out.turns >= agent->limits.max_turns;
    json::object turn = *request;
    turn["messages"] = agent->messages;
    if (!agent->offer.tools.empty()) {
      turn["tools"] = agent->offer.tools;
      if (last) turn["tool_choice"] = "none";
    }
    agent->partial.clear();
    auto answer = co_await agent->api.generate(
        std::move(turn), [agent](json::object event) { return hear(agent, std::move(event)); }, agent->stop.token());
    if (!answer) co_return fail(std::move(answer.error()));
    add_usage(usage, *answer);
    auto calls = take_calls(*answer, agent->out.turns);
    agent->out.cut = last && !calls.empty();
    if (calls.empty() || last) {
      if (!usage.empty()) (*answer)["usage"] = usage;
      agent->out.answer = std::move(*answer);
      co_return Result<void>();
    }
    agent->messages.push_back(assistant_message(json::string_or(*answer, "text"), calls));
    co_await run_calls(agent, std::move(calls));
    if (agent->stop.cancelled()) co_return fail(ErrorCode::kCancelled, "the call was cancelled");
  }
}

}  // namespace

Task<Result<AgentAnswer>> run_agent(inference::ModelApi& api, ToolCaller& tools, json::object request,
                                    std::vector<std::string> use_tools, AgentLimits limits, mcp::Context context,
                                    inference::EventSink sink) {
  Agent agent{.api = api, .tools = tools, .limits = limits, .context = std::move(context), .sink = std::move(sink)};
  auto offer = make_offer(tools, use_tools, limits.max_tools);
  if (!offer) co_return fail(std::move(offer.error()));
  agent.offer = std::move(*offer);
  if (json::value* messages = request.if_contains("messages"); messages != nullptr && messages->is_array()) {
    agent.messages = std::move(messages->get_array());
  }
  const auto registration = agent.context.cancel.on_cancel([&agent] { agent.stop.cancel(); });
  Timer timer(co_await boost::asio::this_coro::executor, limits.total);
  const auto late = std::make_shared<bool>(false);  // shared with a handler that may run after this has ended
  timer.async_wait([late, stop = agent.stop](const boost::system::error_code& error) {
    if (error) return;
    *late = true;
    stop.cancel();
  });
  const auto done = co_await converse(&agent, &request);
  if (done) co_return std::move(agent.out);
  if (!*late) co_return fail(done.error());
  const auto took = fmt::format("{} passed", format_duration_ms(limits.total.count()));
  if (agent.partial.empty() && agent.out.tool_calls_made.empty()) {
    co_return fail(ErrorCode::kEngineTimeout, took + " before the model wrote or called anything");
  }
  agent.out.cut = true;
  agent.out.answer = {{"text", agent.partial}, {"finish_reason", "timeout"}};
  co_return std::move(agent.out);
}

}  // namespace tools
}  // namespace llm
