#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "async/cancel.h"
#include "async/task.h"
#include "async/task_group.h"
#include "mcp/jsonrpc.h"
#include "mcp/outbox.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "mcp/tool.h"

namespace llm::mcp {

// The answers to a batch, collected until the last one is there.
struct BatchReply {
  std::size_t open = 0;  // requests without an answer, and one more while the batch is still being read
  std::string text;      // answers so far, comma-separated
};

// One request that must be answered exactly once: by `answer`, `refuse` or `drop` of Calls.
struct ReplyTo {
  RequestId id;
  std::shared_ptr<BatchReply> batch;  // null: answered on its own. Shared by the batch's requests
};

// The requests of one connection: sends their answers and runs the tool calls among them. One loop. `drained()` must
// have returned before it is destroyed while its loop still runs.
class Calls {
 public:
  Calls(const Server& server, Executor executor, Outbox& outbox);
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  void answer(const ReplyTo& to, std::string_view result_json);
  void refuse(const ReplyTo& to, const Refusal& refusal);
  void refuse_unidentified(const std::shared_ptr<BatchReply>& batch, const Refusal& refusal);  // the answer has no id
  void drop(const ReplyTo& to);  // the client wants no answer any more
  void notify(std::string_view method, std::string_view params_json);
  // Ends a batch's reading phase (see BatchReply::open).
  void end_batch(const std::shared_ptr<BatchReply>& batch);

  // Calls `tool` in the background and answers. The id must not be in flight.
  void start(ReplyTo to, const Revision& revision, const Tool& tool, ToolCall call,
             std::optional<RequestId> progress_token);
  bool in_flight(const RequestId& id) const { return running_.contains(id.json); }
  std::size_t size() const { return running_.size(); }

  // Stops the call and sends nothing for it any more. Unknown ids are ignored: the answer may have crossed the cancel.
  void cancel(const RequestId& id);
  // Stops all calls; they are still answered, as far as anybody listens.
  void cancel_all();
  Task<void> drained() { return group_.join(); }

 private:
  struct Call;

  static Task<void> run(Calls* calls, std::shared_ptr<Call> call, const Tool* tool, ToolCall input);
  void finish(Call& call, const Result<ToolResult>& result);
  void report_progress(Call& call, double progress, std::optional<double> total, std::string_view message);
  void deliver(const std::shared_ptr<BatchReply>& batch);  // sends `line_` or adds it to the batch

  const Server& server_;
  Outbox& outbox_;
  std::unordered_map<std::string, std::shared_ptr<Call>> running_;  // by id
  std::string line_;                                                // the message being written; reused
  TaskGroup group_;
};

}  // namespace llm::mcp
