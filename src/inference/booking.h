#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "access/access_control.h"
#include "inference/admission.h"
#include "inference/service.h"

namespace llm::inference {

// What access control has to do with one request on its way: caps, rights on the model, limits and quotas, usage, the
// audit trail. Without access control (a test, a process of one user) nothing is limited and nothing is booked. Belongs
// to one request, on its loop.
class Booking {
 public:
  // `access` may be null. Both outlive this.
  Booking(access::AccessControl* access, Request& request) : access_(access), request_(request) {}

  // Before anything else: no field steers the server, no number exceeds the caller's caps.
  Result<void> check_caps();
  // Takes what the request may use from all limits that apply; the engine is held to it. kRateLimited, kCancelled.
  Task<Result<void>> reserve(std::string_view model, Loop& loop, CancelToken cancel);
  // The request's place in the queues.
  Claim claim() const;
  // The engine begins to work, or what it said before is said again: from here on the request counts.
  void begin() {
    begun_ = true;
    reservation_.keep_request();
  }
  // Must progress be asked of the engine, so that a cancelled request can be booked?
  bool counts_partial() const { return access_ != nullptr && !request_.principal.local(); }
  // Where the project has prompts audited, its answers go there too.
  bool keeps_answer() const { return keeps_answer_; }
  void add_answer(std::string_view payload);

  // Books what was used in the end. With strict durability it is on stable storage when this returns; an error of that
  // is the request's.
  Task<Result<void>> settle(std::string_view model, const Usage& usage, const Result<void>& result, Loop& loop);

 private:
  void audit(std::string_view model, const Usage& usage, const Result<void>& result);

  access::AccessControl* access_;
  Request& request_;
  access::Reservation reservation_;
  std::int64_t input_bound_ = 0;
  std::int64_t output_bound_ = 0;
  bool begun_ = false;
  bool refused_ = false;  // by a limit: nothing was used, nothing is booked
  bool keeps_answer_ = false;
  std::string prompt_;  // JSON, where prompts are audited
  std::string answer_;
};

}  // namespace llm::inference
