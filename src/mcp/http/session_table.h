#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "async/loop.h"
#include "async/task.h"
#include "async/task_group.h"
#include "async/timer_wheel.h"
#include "mcp/http/replay_buffer.h"
#include "mcp/http/session.h"
#include "mcp/http/settings.h"

namespace llm::mcp {

// The sessions of one loop: found by id, bound to their principal, limited in number, ended when idle. On that loop;
// destroyed after `stop` and `drained`.
class SessionTable {
 public:
  // `tag` ends the ids of this table, and tells them from those of other loops.
  SessionTable(const Server& server, Loop& loop, const HttpSettings& settings, std::string tag, std::size_t most,
               std::size_t replay_bytes);

  // Null: as many as there may be, and none of them idle. Valid until the next call but `find` of another.
  Session* create(const access::Principal& principal);
  // Null: unknown, ended, or another principal's. Counts as use.
  Session* find(std::string_view id, std::string_view principal);
  // The same without being a use of it by a client.
  Session* find(std::string_view id);
  void end(Session& session);
  std::size_t size() const { return by_id_.size(); }

  void stop();
  Task<void> drained() { return ending_.join(); }

 private:
  using Order = std::list<std::shared_ptr<Session>>;

  static Task<void> bury(std::shared_ptr<Session> session);
  void touch(Order::iterator session);
  void end_expired();
  bool end_idlest();
  void watch_expiry();

  const Server& server_;
  Loop& loop_;
  const HttpSettings& settings_;
  const std::string tag_;
  const std::size_t most_;
  ReplayBudget budget_;
  Order order_;  // the last used one first. Shared with the coroutines that see them out
  std::unordered_map<std::string_view, Order::iterator> by_id_;
  Deadline expiry_;
  TaskGroup ending_;
};

}  // namespace llm::mcp
