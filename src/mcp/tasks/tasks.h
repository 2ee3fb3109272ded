#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "access/principal.h"
#include "async/loop.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"
#include "mcp/registry.h"

namespace llm::mcp {

class Server;

struct TaskSettings {
  std::filesystem::path directory = {};          // where tasks are kept; created 0700. Empty: in memory only
  std::chrono::milliseconds ttl{24 * 3600'000};  // a task is forgotten this long after it was created, if it has ended
  std::chrono::milliseconds poll_interval{1'000};     // what clients are told
  std::chrono::milliseconds partial_interval{1'000};  // how often what a call has so far is written
  std::size_t max_per_principal = 1000;               // unfinished and finished; one more is refused
  // What a principal may do now, for a call that goes on without a request of it: after a restart, when only the id is
  // known, and in each further round. nullopt: nothing any more; the task fails. Empty: the local user's tasks go on
  // after a restart, all others are left to a process that can tell. Any thread; may not block.
  std::function<std::optional<access::Principal>(const access::Principal& known)> principal_now = {};
  // Told what went wrong where no client waits for an answer: a full disk, an unreadable file. Any thread.
  std::function<void(const Error&)> on_problem = {};
};

// The tasks extension (io.modelcontextprotocol/tasks): calls that go on after their request was answered. A task is on
// disk before its id is told, and after every change of its state; one that was cut by the end of the process is called
// again at the next start if its tool is resumable and its principal still may, else it is failed, with what it had so
// far. Several processes may
// share the directory: each runs its own tasks and reads the others'. Ids are random and useless to another principal.
// Thread-safe; a run lives on the loop it was started on.
class Tasks {
 public:
  class Run;
  struct State;  // for the parts of this only

  Tasks(const Server& server, TaskSettings settings);
  ~Tasks();
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;

  // Calls the tool on `call.loop`, not yet as a task. The run goes on until it ends or is cancelled, whoever holds it.
  std::shared_ptr<Run> start(std::shared_ptr<const RegisteredTool> tool, ToolCall call);

  // Members of the answer to tasks/get, without resultType. kNotFound: unknown, expired or another principal's.
  Task<Result<json::object>> get(std::string principal, std::string id);
  // Answers to what the task asks. Keys it did not ask for are ignored; it goes on when all are answered.
  Task<Result<void>> update(std::string principal, std::string id, json::object responses);
  // Asks the task to end. Idempotent; a task that has ended stays as it is.
  Task<Result<void>> cancel(std::string principal, std::string id);

  // Takes up what an earlier process left: see above. Once, on a loop that runs as long as the tasks shall.
  Task<void> recover(Loop& loop);
  // Cancels all runs of this process and waits for them; their tasks are left to the next start. On any of the loops.
  Task<void> stop();

 private:
  std::shared_ptr<State> state_;  // shared with the runs
};

// One call on its way. On its loop.
class Tasks::Run {
 public:
  virtual ~Run() = default;
  // The result, once it is there; nullopt when `patience` is over or `cancel` fires first. A result may be another
  // round's input_required as long as the run is no task.
  virtual Task<std::optional<Result<ToolResult>>> wait(std::chrono::milliseconds patience, CancelToken cancel) = 0;
  // Makes a task of it: durable when this returns. The members of CreateTaskResult, without resultType.
  virtual Task<Result<json::object>> promote() = 0;
  virtual void cancel() = 0;
};

}  // namespace llm::mcp
