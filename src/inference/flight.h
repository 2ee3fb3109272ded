#pragma once

#include <chrono>
#include <memory>

#include "engines/supervisor.h"
#include "inference/booking.h"
#include "inference/service.h"
#include "router/catalogue.h"

namespace llm::inference {

// One request on its way through the Service; only its .cc files know it.
struct Service::Flight {
  Flight(Request wanted, Sink* answer, Loop& home, CancelToken end, access::AccessControl* access)
      : request(std::move(wanted)), sink(answer), loop(home), cancel(std::move(end)), booking(access, request) {}
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  Request request;
  Sink* sink;
  Loop& loop;
  CancelToken cancel;
  Booking booking;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::shared_ptr<const router::CatalogueEntry> entry = nullptr;
  engines::Lease lease = {};
  std::int64_t choices = 1;    // `n`
  bool several = false;        // more than one completion: n > 1 or several prompts
  bool hide_progress = false;  // the engine's progress events are for us
  bool assemble = false;       // asked as a stream although the client did not ask for one; see dispatch()
  double first_token = 0;      // seconds
  bool broken = false;         // the connection to the engine broke
  CancelSource give_up = {};   // ends the exchange with the engine; follows `cancel`
  Outcome outcome = {};
  Usage partial = {};  // what a stream that ended early had used so far

  double seconds() const {  // since it began
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
};

}  // namespace llm::inference
