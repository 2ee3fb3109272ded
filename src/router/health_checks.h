#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/cancel.h"
#include "async/event.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "engines/engine.h"
#include "net/http_client.h"
#include "observe/log.h"
#include "router/replica.h"
#include "router/routing_settings.h"

namespace llm::router {

// A replica and how its engine is reached.
struct KnownReplica {
  std::shared_ptr<Replica> replica;                 // shared with its pools
  std::shared_ptr<const engines::EngineSpec> spec;  // shared with the catalogue
};

// What is asked of one engine.
struct HealthQuestion {
  net::Endpoint endpoint;
  std::string path;  // under the endpoint's base path; 2xx means well
  std::vector<std::pair<std::string, std::string>> headers;
  friend bool operator==(const HealthQuestion&, const HealthQuestion&) = default;
};

// nullopt: an engine that we run ourselves, whose supervisor knows how it is. An error: what is wrong with its
// settings.
std::optional<Result<HealthQuestion>> health_question(const engines::EngineSpec& spec);

// Asks the engines that somebody else runs, every interval, whether they are well, and tells their replicas. Replicas
// of one server share one question. No connection and a wrong answer count at once; silence and a broken answer only
// the second time in a row, for a server may be busy. One good answer makes it well again. Lives on its loop.
class HealthChecks {
 public:
  using Known = std::function<std::vector<KnownReplica>()>;
  // `known` is called on the loop at each round. `client` belongs to the loop.
  HealthChecks(HealthSettings settings, Loop& loop, net::HttpClient& client, observe::Log& log, Known known);
  HealthChecks(const HealthChecks&) = delete;
  HealthChecks& operator=(const HealthChecks&) = delete;

  void start();            // once; does nothing if the interval is 0
  Task<void> check_all();  // one round, now; not while another one runs
  // Ends a round under way and returns when nothing runs any more. Before the destructor if it was started.
  Task<void> stop();

 private:
  struct Verdict {
    bool well = false;
    bool certain = true;  // false: it may only be busy
    std::string reason = {};
  };
  struct Asked {
    Result<HealthQuestion> question;
    std::vector<std::shared_ptr<Replica>> replicas;
    Verdict verdict = {};
  };
  Task<void> run();
  Task<void> ask(Asked& asked);
  Task<Verdict> answer_to(const HealthQuestion& question);
  void tell(const Asked& asked);

  const HealthSettings settings_;
  Loop& loop_;
  net::HttpClient& client_;
  observe::Log& log_;
  Known known_;
  CancelSource stopping_;
  Event wake_;
  TaskGroup tasks_;
  std::map<std::string, bool, std::less<>> doubted_;  // engines by address and path: the last answer was uncertain
};

}  // namespace llm::router
