#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "store/session.h"

namespace llm::store {

// Opened connections, at most so many. Any thread. Opening throws what SOCI throws.
class ConnectionPool {
 public:
  using Open = std::function<std::unique_ptr<soci::session>()>;
  ConnectionPool(std::size_t most, std::chrono::milliseconds patience, Open open);
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // Goes back to the pool when it ends, unless it was discarded.
  class Lease {
   public:
    Lease(ConnectionPool& pool, std::unique_ptr<soci::session> connection);
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    soci::session& operator*() const { return *connection_; }
    void discard();

   private:
    friend class ConnectionPool;
    ConnectionPool* pool_;
    std::unique_ptr<soci::session> connection_;
  };

  // kUnavailable if none becomes free in time.
  Result<Lease> acquire();
  void close_idle();  // they are probably dead

 private:
  void put_back(std::unique_ptr<soci::session> connection);  // null: it is gone

  const std::size_t most_;
  const std::chrono::milliseconds patience_;
  const Open open_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::size_t in_use_ = 0;
  std::vector<std::unique_ptr<soci::session>> idle_;
};

}  // namespace llm::store
