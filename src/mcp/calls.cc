#include "mcp/calls.h"

#include <cmath>
#include <exception>
#include <fmt/format.h>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "async/event.h"
#include "base/strings.h"

namespace llm::mcp {

// Shared by the map, the coroutine and the handler's copies of Progress and ClientLog, which may outlive the call.
struct Calls::Call {
  ReplyTo to;
  Origin origin;
  std::function<std::string()> binding;
  Handler handler;
  CancelSource cancel = {};
  double last_progress = -std::numeric_limits<double>::infinity();
  bool silent = false;  // answered, or cancelled by the client
};

struct Calls::Question {
  explicit Question(Executor executor) : changed(executor) {}
  Event changed;
  bool answered = false;
  std::optional<json::object> result = {};
  std::string error = "it went away";
};

Refusal invalid_params(std::string_view message, std::string_view pointer) {
  return {kInvalidParams, fmt::format("Invalid params: {} (at {})", message, pointer), {}};
}

std::optional<Refusal> read_request_meta(const json::object& params, Origin& origin) {
  const json::value* found = json::find(params, "_meta");
  const json::object* meta = found != nullptr ? found->if_object() : nullptr;
  if (meta == nullptr) return std::nullopt;
  origin.traceparent = json::string_or(*meta, "traceparent");
  const json::value* token = json::find(*meta, "progressToken");
  if (token == nullptr || token->is_null()) return std::nullopt;
  origin.progress_token = RequestId::from(*token);
  if (origin.progress_token) return std::nullopt;
  return invalid_params("a progress token is a string or an integer.", "/params/_meta/progressToken");
}

Calls::Calls(const Server& server, Loop& loop, Outbox& outbox)
    : server_(server), loop_(loop), outbox_(outbox), group_(loop.executor()) {}

void Calls::answer(const ReplyTo& to, std::string_view result_json) {
  line_.clear();
  write_result(line_, to.id, result_json);
  deliver(to, 0);
}

void Calls::refuse(const ReplyTo& to, const Refusal& refusal) {
  line_.clear();
  write_error(line_, &to.id, refusal);
  deliver(to, refusal.code);
}

void Calls::refuse_unidentified(const ReplyTo& to, const Refusal& refusal) {
  line_.clear();
  write_error(line_, nullptr, refusal);
  deliver(to, refusal.code);
}

void Calls::drop(const ReplyTo& to) {
  if (to.batch) return end_batch(to.batch);
  outbox_.finished(to.channel);
}

void Calls::notify(std::string_view method, std::string_view params_json, Channel channel) {
  line_.clear();
  write_notification(line_, method, params_json);
  outbox_.send(line_, {.channel = channel, .kind = MessageKind::kNotification});
}

void Calls::deliver(const ReplyTo& to, int error_code) {
  const auto& batch = to.batch;
  if (!batch) {
    outbox_.send(line_, {.channel = to.channel, .error_code = error_code});
    outbox_.finished(to.channel);
    return;
  }
  if (batch->text.size() + line_.size() + 3 > server_.settings().max_message_bytes && !batch->text.empty()) {
    // Several arrays rather than one that no client reads.
    outbox_.send(fmt::format("[{}]", batch->text), {.channel = batch->channel});
    batch->text.clear();
  }
  if (!batch->text.empty()) batch->text.push_back(',');
  batch->text.append(line_);
  end_batch(batch);
}

void Calls::end_batch(const std::shared_ptr<BatchReply>& batch) {
  if (--batch->open > 0) return;
  if (!batch->text.empty()) {  // a batch of notifications has no answer
    outbox_.send(fmt::format("[{}]", batch->text), {.channel = batch->channel});
  }
  outbox_.finished(batch->channel);
}

void Calls::start(ReplyTo to, Origin origin, std::function<std::string()> binding, Handler handler) {
  auto call = std::make_shared<Call>(std::move(to), std::move(origin), std::move(binding), std::move(handler));
  running_.emplace(call->to.id.json, call);
  group_.spawn(run(this, std::move(call)));
}

Context Calls::make_context(const std::shared_ptr<Call>& call) {
  Context context;
  context.loop = &loop_;
  context.cancel = call->cancel.token();
  context.caller = call->origin.caller;
  context.request_id = call->to.id;
  context.traceparent = call->origin.traceparent;
  if (!call->origin.revision->modern) {
    context.close_stream = [this, call] {
      if (!call->silent) outbox_.close_stream(call->to.channel);
    };
  }
  if (call->origin.progress_token) {
    context.progress = Progress([this, call](double progress, std::optional<double> total, std::string_view message) {
      if (!call->silent) report_progress(*call, progress, total, message);
    });
  }
  if (call->origin.log_level) {
    context.log = ClientLog([this, call](LogLevel level, const json::value& data, std::string_view logger) {
      if (!call->silent) report_log(*call, level, data, logger);
    });
  }
  return context;
}

Task<void> Calls::run(Calls* calls, std::shared_ptr<Call> call) {
  Round round;
  try {
    round = co_await calls->play(call);
  } catch (const std::exception& error) {
    round.refusal = Refusal{kInternalError, fmt::format("Internal error: {}", error.what()), {}};
  }
  calls->running_.erase(call->to.id.json);
  if (std::exchange(call->silent, true)) {
    calls->drop(call->to);
  } else {
    calls->finish(*call, round);
  }
}

// Rounds until there is a result; in the modern era each round is a request of its own.
Task<Round> Calls::play(const std::shared_ptr<Call>& call) {
  Context context = make_context(call);
  if (!call->origin.sealed_state.empty()) {
    auto state = server_.states().open(call->origin.sealed_state, call->origin.caller->principal.id, call->binding());
    if (!state) co_return Round{.refusal = Refusal{kInvalidParams, to_string(state.error()), {}}};
    context.state = std::move(*state);
  }
  context.inputs = std::move(call->origin.inputs);
  constexpr int kMostRounds = 100;
  for (int rounds = 1;; ++rounds) {
    Round round = co_await call->handler(std::move(context));
    if (!round.input_required) co_return round;
    if (call->origin.revision->modern) co_return ask_by_result(*call, *round.input_required);
    if (rounds == kMostRounds) {
      co_return Round{.refusal = Refusal{kInternalError, "Internal error: the handler asks without end.", {}}};
    }
    const InputRequired wanted = std::move(*round.input_required);
    context = make_context(call);
    context.state = wanted.state;
    if (auto refusal = co_await ask_by_requests(call, wanted)) co_return Round{.refusal = std::move(refusal)};
    context.inputs = std::move(call->origin.inputs);
  }
}

namespace {

// The ClientCapabilities a question needs.
json::object needed_capability(const InputRequest& request) {
  if (request.method == "elicitation/create") {
    if (json::string_or(request.params, "mode") == "url") {
      return {{"elicitation", json::object{{"url", json::object()}}}};
    }
    return {{"elicitation", json::object()}};
  }
  if (request.method == "sampling/createMessage") {
    const bool tools = request.params.contains("tools") || request.params.contains("toolChoice");
    return {{"sampling", tools ? json::object{{"tools", json::object()}} : json::object()}};
  }
  return {{"roots", json::object()}};
}

}  // namespace

std::optional<Refusal> check_askable(const Caller& caller, const InputRequired& wanted) {
  json::object missing;
  for (const auto& [key, request] : wanted.requests) {
    if (caller.can_answer(request.method, request.params)) continue;
    for (auto& member : needed_capability(request)) missing[member.key()] = std::move(member.value());
  }
  if (missing.empty()) return std::nullopt;
  std::string names;
  for (const auto& member : missing) names.append(names.empty() ? "" : ", ").append(member.key());
  return Refusal{kMissingClientCapability,
                 fmt::format("This request needs a client that can answer questions ({}).", names),
                 json::write(json::object{{"requiredCapabilities", std::move(missing)}})};
}

// MCP 2026-07-28 "Multi round-trip requests".
Round Calls::ask_by_result(const Call& call, InputRequired& wanted) const {
  if (auto refusal = check_askable(*call.origin.caller, wanted)) return {.refusal = std::move(refusal)};
  Round round;
  round.result = R"({"resultType":"input_required")";
  if (!wanted.requests.empty()) {
    json::object requests;
    for (auto& [key, request] : wanted.requests) {
      requests[key] = json::object{{"method", request.method}, {"params", std::move(request.params)}};
    }
    round.result.append(R"(,"inputRequests":)").append(json::write(requests));
  }
  if (!wanted.state.empty() || wanted.requests.empty()) {
    round.result.append(R"(,"requestState":)");
    json::append_quoted(round.result,
                        server_.states().seal(wanted.state, call.origin.caller->principal.id, call.binding()));
  }
  round.result.append(server_.meta_member()).push_back('}');
  return round;
}

Task<std::optional<Refusal>> Calls::ask_by_requests(const std::shared_ptr<Call>& call, const InputRequired& wanted) {
  if (auto refusal = check_askable(*call->origin.caller, wanted)) {
    refusal->code = kInvalidRequest;  // the code for it came later
    co_return refusal;
  }
  std::vector<std::pair<std::string, std::shared_ptr<Question>>> open;  // by key of the handler
  std::vector<std::string> ids;
  for (const auto& [key, request] : wanted.requests) {
    const RequestId id{fmt::format("{}", next_question_++)};
    auto question = std::make_shared<Question>(loop_.executor());
    questions_.emplace(id.json, question);
    ids.push_back(id.json);
    open.emplace_back(key, question);
    line_.clear();
    write_request(line_, id, request.method, json::write(request.params));
    outbox_.send(line_, {.channel = call->to.channel, .kind = MessageKind::kRequest});
  }
  const auto registration = call->cancel.token().on_cancel([&open] {
    for (const auto& [key, question] : open) question->changed.notify();
  });
  std::optional<Refusal> refusal;
  json::object inputs;
  for (const auto& [key, question] : open) {
    while (!question->answered && !call->cancel.cancelled()) co_await question->changed.wait();
    if (question->result) {
      inputs[key] = std::move(*question->result);
    } else {
      refusal = Refusal{kInternalError, fmt::format("The client did not answer: {}.", question->error), {}};
      break;
    }
  }
  for (const auto& id : ids) questions_.erase(id);
  call->origin.inputs = std::move(inputs);
  co_return refusal;
}

void Calls::on_response(Response& response) {
  const auto found = questions_.find(response.id.json);
  if (found == questions_.end()) return;
  const auto question = found->second;
  questions_.erase(found);  // a second answer counts for nothing
  question->answered = true;
  if (response.error) {
    question->error = fmt::format("it says \"{}\" ({})", response.error->message, response.error->code);
  } else if (response.result.is_object()) {
    question->result = std::move(response.result.get_object());
  } else {
    question->error = "its answer is no object";
  }
  question->changed.notify();
}

void Calls::finish(const Call& call, const Round& round) {
  if (round.refusal) return refuse(call.to, *round.refusal);
  const std::size_t most = server_.settings().max_message_bytes;
  constexpr std::size_t kEnvelope = 64;  // what surrounds the result, beside the id
  if (round.result.size() + call.to.id.json.size() + kEnvelope > most) {
    return refuse(call.to, {kInternalError,
                            fmt::format("The result takes {}, more than the {} that MCP clients read as one message. "
                                        "Ask for less at a time.",
                                        format_bytes(round.result.size()), format_bytes(most)),
                            {}});
  }
  answer(call.to, round.result);
}

void Calls::report_progress(Call& call, double progress, std::optional<double> total, std::string_view message) {
  // MCP "Progress": the value MUST increase with each notification.
  if (!std::isfinite(progress) || progress <= call.last_progress || outbox_.congested()) return;
  call.last_progress = progress;
  std::string params = fmt::format(R"({{"progressToken":{},"progress":{})", call.origin.progress_token->json, progress);
  if (total && std::isfinite(*total)) fmt::format_to(std::back_inserter(params), R"(,"total":{})", *total);
  if (!message.empty() && call.origin.revision->progress_messages) {
    params.append(R"(,"message":)");
    json::append_quoted(params, message);
  }
  params.push_back('}');
  notify("notifications/progress", params, call.to.channel);
}

void Calls::report_log(const Call& call, LogLevel level, const json::value& data, std::string_view logger) {
  if (level < *call.origin.log_level || outbox_.congested()) return;
  std::string params = fmt::format(R"({{"level":"{}")", to_string(level));
  if (!logger.empty()) {
    params.append(R"(,"logger":)");
    json::append_quoted(params, logger);
  }
  params.append(R"(,"data":)").append(json::write(data)).push_back('}');
  notify("notifications/message", params, call.to.channel);
}

void Calls::cancel(const RequestId& id) {
  const auto found = running_.find(id.json);
  if (found == running_.end()) return;
  const auto call = found->second;  // the callbacks may end the call and so empty the map's entry
  call->silent = true;
  call->cancel.cancel();
}

void Calls::cancel_channel(Channel channel) {
  std::vector<std::shared_ptr<Call>> left;
  for (const auto& [id, call] : running_) {
    if (call->to.channel == channel) left.push_back(call);
  }
  for (const auto& call : left) {
    call->silent = true;
    call->cancel.cancel();
  }
}

void Calls::cancel_all() {
  std::vector<std::shared_ptr<Call>> all;
  all.reserve(running_.size());
  for (const auto& [id, call] : running_) all.push_back(call);
  for (const auto& call : all) call->cancel.cancel();
}

}  // namespace llm::mcp
