#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "async/cancel.h"
#include "async/task.h"
#include "async/task_group.h"
#include "mcp/context.h"
#include "mcp/jsonrpc.h"
#include "mcp/outbox.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

namespace llm::mcp {

// The answers to a batch, collected until the last one is there.
struct BatchReply {
  Channel channel = 0;
  std::size_t open = 0;  // requests without an answer, and one more while the batch is still being read
  std::string text;      // answers so far, comma-separated
};

// One request that must be answered exactly once: by `answer`, `refuse` or `drop` of Calls.
struct ReplyTo {
  RequestId id = {};
  Channel channel = 0;
  std::shared_ptr<BatchReply> batch = nullptr;  // null: answered on its own. Shared by the batch's requests
};

// What a request says about itself beside its method's own parameters; both eras fill it in, each from its own places.
struct Origin {
  const Revision* revision = nullptr;
  std::shared_ptr<const Caller> caller;  // shared with the session
  std::optional<RequestId> progress_token = {};
  std::optional<LogLevel> log_level = {};  // messages below are not sent; none: none is
  std::string traceparent = {};
  json::object inputs = {};       // modern: inputResponses
  std::string sealed_state = {};  // modern: requestState
};

// What one round of a call led to.
struct Round {
  std::string result = {};  // JSON text
  std::optional<Refusal> refusal = {};
  std::optional<InputRequired> input_required = {};
};

// The requests of one connection: sends their answers and runs the handlers among them. One loop. `drained()` must
// have returned before it is destroyed while its loop still runs.
class Calls {
 public:
  Calls(const Server& server, Loop& loop, Outbox& outbox);
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  void answer(const ReplyTo& to, std::string_view result_json);
  void refuse(const ReplyTo& to, const Refusal& refusal);
  void refuse_unidentified(const ReplyTo& to, const Refusal& refusal);  // the answer has no id
  void drop(const ReplyTo& to);                                         // the client wants no answer any more
  void notify(std::string_view method, std::string_view params_json, Channel channel = 0);
  // Ends a batch's reading phase (see BatchReply::open).
  void end_batch(const std::shared_ptr<BatchReply>& batch);

  // Runs `handler` in the background and answers; the id must not be in flight. The handler is called once a round (see
  // InputRequired). `binding` tells this request from every other one, for the signed state between two rounds.
  using Handler = std::function<Task<Round>(Context)>;
  void start(ReplyTo to, Origin origin, std::function<std::string()> binding, Handler handler);

  bool in_flight(const RequestId& id) const { return running_.contains(id.json); }
  std::size_t size() const { return running_.size(); }

  // Stops the call and sends nothing for it any more. Unknown ids are ignored: the answer may have crossed the cancel.
  void cancel(const RequestId& id);
  void cancel_channel(Channel channel);
  // Stops all calls; they are still answered, as far as anybody listens.
  void cancel_all();
  Task<void> drained() { return group_.join(); }

  // The client's answer to a question of ours.
  void on_response(Response& response);

  Loop& loop() { return loop_; }

 private:
  struct Call;
  struct Question;

  static Task<void> run(Calls* calls, std::shared_ptr<Call> call);
  Task<Round> play(const std::shared_ptr<Call>& call);
  Round ask_by_result(const Call& call, InputRequired& wanted) const;
  Task<std::optional<Refusal>> ask_by_requests(const std::shared_ptr<Call>& call, const InputRequired& wanted);
  Context make_context(const std::shared_ptr<Call>& call);
  void finish(const Call& call, const Round& round);
  void report_progress(Call& call, double progress, std::optional<double> total, std::string_view message);
  void report_log(const Call& call, LogLevel level, const json::value& data, std::string_view logger);
  void deliver(const ReplyTo& to, int error_code);  // sends `line_` or adds it to the batch

  const Server& server_;
  Loop& loop_;
  Outbox& outbox_;
  std::unordered_map<std::string, std::shared_ptr<Call>> running_;  // by id; shared with the coroutines
  std::map<std::string, std::shared_ptr<Question>> questions_;      // by our id; shared with who waits
  std::uint64_t next_question_ = 1;
  std::string line_;  // the message being written; reused
  TaskGroup group_;
};

// Reads `params._meta.progressToken` and `traceparent` into the origin. An error: the token is of a wrong type.
std::optional<Refusal> read_request_meta(const json::object& params, Origin& origin);

// May this client be asked all that? Else -32021 with the capabilities it lacks.
std::optional<Refusal> check_askable(const Caller& caller, const InputRequired& wanted);

// "Invalid params: … (at /params/…)".
Refusal invalid_params(std::string_view message, std::string_view pointer);

}  // namespace llm::mcp
