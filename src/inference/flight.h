#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task_group.h"
#include "async/timer_wheel.h"
#include "dialects/dialect.h"
#include "engines/supervisor.h"
#include "inference/booking.h"
#include "inference/continuation.h"
#include "inference/service.h"
#include "inference/stream_scan.h"
#include "router/router.h"

namespace llm::inference {

dialects::Call call_of(Operation operation);

// One request on its way through the Service; only its .cc files know it.
struct Service::Flight {
  Flight(Request wanted, Sink* answer, Loop& home, const CancelToken& client, access::AccessControl* access)
      : request(std::move(wanted)), sink(answer), loop(home), booking(access, request) {
    follow = client.on_cancel([this] { stop.cancel(); });
  }
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  Request request;
  Sink* sink;
  Loop& loop;
  Booking booking;
  CancelSource stop = {};  // the client went away, or the time is over
  CancelRegistration follow;
  bool expired = false;  // the time is over
  Deadline deadline{[this] {
    expired = true;
    stop.cancel();
  }};
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> end = {};  // of the time it has; empty: none
  router::RoutePlan plan = {};
  std::shared_ptr<const router::CatalogueEntry> entry = nullptr;  // what answers, as far as that is known
  std::int64_t choices = 1;                                       // `n`
  bool several = false;                                           // more than one completion: n > 1 or several prompts
  std::string cache_key;                                          // empty: its answer is not kept
  std::size_t kept_bytes = 0;
  CachedAnswer kept = {};  // collected for the cache
  std::uint32_t attempts = 0;
  std::uint32_t retries_left = 0;
  bool sent = false;                              // the client has a part of the answer
  std::optional<Continuation> continuation = {};  // where a broken stream may go on elsewhere
  std::int64_t taken_over = 0;                    // tokens of the answer that came from engines before
  double first_token = 0;                         // seconds
  Outcome outcome = {};
  Usage partial = {};  // what a stream that ended early had used so far

  bool from_cache = false;
  bool asks_progress = false;  // return_progress in the body is ours

  double seconds() const {  // since it began
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
};

// One engine's turn at a request.
struct Service::Attempt {
  Attempt(Flight& flight, const router::RouteReplica& chosen, router::Pick place)
      : replica(chosen), pick(std::move(place)), follow(flight.stop.token().on_cancel([this] { give_up.cancel(); })) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  const router::RouteReplica replica;
  router::Pick pick;
  CancelSource give_up = {};  // ends it; follows the flight's `stop`
  CancelRegistration follow;
  engines::Lease lease = {};
  bool stalled = false;  // no first token, or no next one, in time
  Deadline pace{[this] {
    stalled = true;
    give_up.cancel();
  }};
  bool hide_progress = false;  // the engine's progress events are for us
  bool assemble = false;       // asked as a stream although the client did not ask for one; see serve()
  bool broken = false;         // the connection to the engine broke
  bool spoke = false;          // it sent text
  bool engine_fault = false;   // it failed, not the way to it: says something about the replica
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  Outcome outcome = {};
  Usage partial = {};

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }
};

// What belongs to one loop.
struct Service::LoopState {
  LoopState(Loop& home, net::HttpClient& http) : loop(home), client(http), shadows(home.executor()) {}
  Loop& loop;
  net::HttpClient& client;
  TaskGroup shadows;
  CancelSource stopping;
};

}  // namespace llm::inference
