#include "mcp/calls.h"

#include <cmath>
#include <exception>
#include <fmt/format.h>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "mcp/tool_methods.h"

namespace llm::mcp {

// Shared by the map, the coroutine and the handler's copies of Progress, which may outlive the call.
struct Calls::Call {
  ReplyTo to;
  const Revision& revision;
  std::optional<RequestId> progress_token;
  CancelSource cancel;
  double last_progress = -std::numeric_limits<double>::infinity();
  bool silent = false;  // answered, or cancelled by the client
};

Calls::Calls(const Server& server, Executor executor, Outbox& outbox)
    : server_(server), outbox_(outbox), group_(executor) {}

void Calls::answer(const ReplyTo& to, std::string_view result_json) {
  line_.clear();
  write_result(line_, to.id, result_json);
  deliver(to.batch);
}

void Calls::refuse(const ReplyTo& to, const Refusal& refusal) {
  line_.clear();
  write_error(line_, &to.id, refusal);
  deliver(to.batch);
}

void Calls::refuse_unidentified(const std::shared_ptr<BatchReply>& batch, const Refusal& refusal) {
  line_.clear();
  write_error(line_, nullptr, refusal);
  deliver(batch);
}

void Calls::drop(const ReplyTo& to) {
  if (to.batch) end_batch(to.batch);
}

void Calls::notify(std::string_view method, std::string_view params_json) {
  line_.clear();
  write_notification(line_, method, params_json);
  outbox_.send(line_);
}

void Calls::deliver(const std::shared_ptr<BatchReply>& batch) {
  if (!batch) return outbox_.send(line_);
  if (batch->text.size() + line_.size() + 3 > server_.settings().max_message_bytes && !batch->text.empty()) {
    outbox_.send(fmt::format("[{}]", batch->text));  // several arrays rather than one that no client reads
    batch->text.clear();
  }
  if (!batch->text.empty()) batch->text.push_back(',');
  batch->text.append(line_);
  end_batch(batch);
}

void Calls::end_batch(const std::shared_ptr<BatchReply>& batch) {
  if (--batch->open > 0 || batch->text.empty()) return;  // a batch of notifications has no answer
  outbox_.send(fmt::format("[{}]", batch->text));
}

void Calls::start(ReplyTo to, const Revision& revision, const Tool& tool, ToolCall input,
                  std::optional<RequestId> progress_token) {
  auto call = std::make_shared<Call>(std::move(to), revision, std::move(progress_token));
  input.cancel = call->cancel.token();
  input.request_id = call->to.id;
  if (call->progress_token) {
    input.progress = Progress([this, call](double progress, std::optional<double> total, std::string_view message) {
      if (!call->silent) report_progress(*call, progress, total, message);
    });
  }
  running_.emplace(call->to.id.json, call);
  group_.spawn(run(this, std::move(call), &tool, std::move(input)));
}

Task<void> Calls::run(Calls* calls, std::shared_ptr<Call> call, const Tool* tool, ToolCall input) {
  Result<ToolResult> result;
  std::optional<std::string> bug;
  try {
    result = co_await tool->handler(std::move(input));
  } catch (const std::exception& error) {
    bug = error.what();
  }
  calls->running_.erase(call->to.id.json);
  if (std::exchange(call->silent, true)) {
    calls->drop(call->to);
  } else if (bug) {
    calls->refuse(call->to, {kInternalError, fmt::format("Internal error in tool '{}': {}", tool->name, *bug), {}});
  } else {
    calls->finish(*call, result);
  }
}

void Calls::finish(Call& call, const Result<ToolResult>& result) {
  std::string text = result ? write_tool_result(server_, call.revision, *result)
                            : write_tool_error(server_, call.revision, result.error());
  const std::size_t most = server_.settings().max_message_bytes;
  constexpr std::size_t kEnvelope = 64;  // what surrounds the result, beside the id
  if (text.size() + call.to.id.json.size() + kEnvelope > most) {
    text = write_tool_error(server_, call.revision,
                            {ErrorCode::kPayloadTooLarge,
                             fmt::format("The result takes {}, more than the {} that MCP clients read as one message. "
                                         "Ask for less at a time.",
                                         format_bytes(text.size()), format_bytes(most)),
                             {},
                             {},
                             0});
  }
  answer(call.to, text);
}

void Calls::report_progress(Call& call, double progress, std::optional<double> total, std::string_view message) {
  // MCP "Progress": the value MUST increase with each notification.
  if (!std::isfinite(progress) || progress <= call.last_progress || outbox_.congested()) return;
  call.last_progress = progress;
  std::string params = fmt::format(R"({{"progressToken":{},"progress":{})", call.progress_token->json, progress);
  if (total && std::isfinite(*total)) fmt::format_to(std::back_inserter(params), R"(,"total":{})", *total);
  if (!message.empty() && call.revision.progress_messages) {
    params.append(R"(,"message":)");
    json::append_quoted(params, message);
  }
  params.push_back('}');
  notify("notifications/progress", params);
}

void Calls::cancel(const RequestId& id) {
  const auto found = running_.find(id.json);
  if (found == running_.end()) return;
  const auto call = found->second;  // the callbacks may end the call and so empty the map's entry
  call->silent = true;
  call->cancel.cancel();
}

void Calls::cancel_all() {
  std::vector<std::shared_ptr<Call>> all;
  all.reserve(running_.size());
  for (const auto& [id, call] : running_) all.push_back(call);
  for (const auto& call : all) call->cancel.cancel();
}

}  // namespace llm::mcp
