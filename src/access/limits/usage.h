#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "access/principal.h"
#include "async/loop.h"
#include "async/task.h"
#include "store/database.h"

namespace llm::access {

enum class UsageDurability {
  kInterval,  // written once a second
  kStrict,    // a request ends when its usage is on stable storage
};

struct UsageCounts {
  std::int64_t requests = 1;
  std::int64_t failed = 0;
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t output_tokens = 0;
};

// Books usage by day, project, key and model. Any thread.
class UsageBook {
 public:
  UsageBook(store::Database* database, UsageDurability durability, std::function<std::int64_t()> now_ms);
  ~UsageBook();

  // Returns at once; written with the next flush.
  void add(const Principal& principal, std::string_view model, const UsageCounts& counts);
  // With kStrict: until what this caller added before is on stable storage (one commit for all who wait). Else nothing.
  Task<Result<void>> settled(Loop& loop);

  // Writes what came together since the last time; what could not be written stays for the next. Blocks; one thread.
  Result<void> flush();
  // Not written yet (for readiness and tests).
  std::int64_t pending_requests() const;
  UsageDurability durability() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace llm::access
