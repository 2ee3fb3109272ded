#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "access/limits/account.h"
#include "base/error.h"

namespace llm::access {

// What a request lacks of one account.
struct Want {
  std::shared_ptr<Account> account;
  LimitTerms terms;
  Amounts demand;
  std::uint32_t missing = 0;  // Check::missing
  std::string name;
};

// Gets from the database what accounts lack. Blocks; any thread, but for each account one at a time.
class Supply {
 public:
  virtual ~Supply() = default;
  virtual Result<void> fetch(std::span<const Want> wants, std::uint64_t ticket) = 0;
};

}  // namespace llm::access
