#include "mcp/http/session_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/random.h"

namespace llm::mcp {

SessionTable::SessionTable(const Server& server, Loop& loop, const HttpSettings& settings, std::string tag,
                           std::size_t most, std::size_t replay_bytes)
    : server_(server),
      loop_(loop),
      settings_(settings),
      tag_(std::move(tag)),
      most_(most),
      budget_{replay_bytes},
      expiry_([this] {
        end_expired();
        watch_expiry();
      }),
      ending_(loop.executor()) {}

Session* SessionTable::create(const access::Principal& principal) {
  end_expired();
  if (by_id_.size() >= most_ && !end_idlest()) return nullptr;
  auto session = std::make_shared<Session>(server_, loop_, settings_, budget_, random_id() + tag_, principal);
  order_.push_front(session);
  by_id_.emplace(session->id(), order_.begin());
  touch(order_.begin());
  return session.get();
}

Session* SessionTable::find(std::string_view id, std::string_view principal) {
  end_expired();
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || (*found->second)->principal() != principal) return nullptr;
  touch(found->second);
  return found->second->get();
}

Session* SessionTable::find(std::string_view id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  touch(found->second);
  return found->second->get();
}

void SessionTable::touch(Order::iterator session) {
  (*session)->last_used = settings_.now();
  order_.splice(order_.begin(), order_, session);
  if (!expiry_.armed()) watch_expiry();
}

void SessionTable::end(Session& session) {
  const auto found = by_id_.find(session.id());
  if (found == by_id_.end()) return;
  const auto entry = found->second;
  by_id_.erase(found);
  auto shared = std::move(*entry);
  order_.erase(entry);
  shared->close();
  ending_.spawn(bury(std::move(shared)));
}

Task<void> SessionTable::bury(std::shared_ptr<Session> session) {
  co_await session->drained();
}

// The last one in the order was used the longest ago; a busy one counts as used.
void SessionTable::end_expired() {
  const auto now = settings_.now();
  for (std::size_t left = order_.size(); left > 0; --left) {
    if (now - order_.back()->last_used < settings_.session_idle) return;
    if (order_.back()->busy()) {
      touch(std::prev(order_.end()));
    } else {
      end(*order_.back());
    }
  }
}

bool SessionTable::end_idlest() {
  for (std::size_t looked = 0; looked < order_.size(); ++looked) {
    if (!order_.back()->busy()) {
      end(*order_.back());
      return true;
    }
    touch(std::prev(order_.end()));
  }
  return false;
}

void SessionTable::watch_expiry() {
  if (order_.empty()) return;
  const auto age = settings_.now() - order_.back()->last_used;
  loop_.wheel().arm(expiry_, std::chrono::duration_cast<std::chrono::milliseconds>(settings_.session_idle - age));
}

void SessionTable::stop() {
  while (!order_.empty()) end(*order_.back());
  expiry_.clear();
}

}  // namespace llm::mcp
