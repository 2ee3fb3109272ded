#include "store/connection_pool.h"

#include <soci/soci.h>
#include <utility>

namespace llm::store {

ConnectionPool::ConnectionPool(std::size_t most, std::chrono::milliseconds patience, Open open)
    : most_(most), patience_(patience), open_(std::move(open)) {}
ConnectionPool::~ConnectionPool() = default;

ConnectionPool::Lease::Lease(ConnectionPool& pool, std::unique_ptr<soci::session> connection)
    : pool_(&pool), connection_(std::move(connection)) {}
ConnectionPool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}
ConnectionPool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->put_back(std::move(connection_));
}
void ConnectionPool::Lease::discard() {
  connection_.reset();
}

Result<ConnectionPool::Lease> ConnectionPool::acquire() {
  {
    std::unique_lock lock(mutex_);
    if (!freed_.wait_for(lock, patience_, [this] { return in_use_ < most_; })) {
      return std::unexpected(Error{ErrorCode::kUnavailable, "every connection to the database is busy", {}, {}, 1});
    }
    ++in_use_;
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return Lease(*this, std::move(connection));
    }
  }
  Lease lease(*this, nullptr);  // gives the place back if opening throws
  lease.connection_ = open_();
  return lease;
}

void ConnectionPool::close_idle() {
  std::vector<std::unique_ptr<soci::session>> closing;  // closed after the lock is given back
  const std::lock_guard lock(mutex_);
  closing.swap(idle_);
}

void ConnectionPool::put_back(std::unique_ptr<soci::session> connection) {
  const std::lock_guard lock(mutex_);
  --in_use_;
  if (connection) idle_.push_back(std::move(connection));
  freed_.notify_one();
}

}  // namespace llm::store
