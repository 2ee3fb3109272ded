#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"
#include "engines/engine.h"
#include "json/json.h"
#include "net/address.h"

namespace llm::engines {

// How long what never served may take to end in order.
constexpr std::chrono::milliseconds kSoon{2'000};

// What is to run for one replica, made from its settings by make_launch_plan() (engines/vllm/plan.h) and from nothing
// else: equal settings give an equal hash, and what already runs with that hash is taken over instead of started again.
struct LaunchPlan {
  std::string engine;             // "big", of a further replica "big#1"
  std::string hash;               // SHA-256 (hex) of the wanted state, secrets included by their own hash
  std::vector<std::string> argv;  // program first; of a container: the arguments to the image's entry point
  std::map<std::string, std::string> environment;  // secrets included: never logged, never in argv
  std::string api_key;                             // that the engine asks for and we send
  std::string image;                               // container only
  json::object container;                          // container only: body of POST /containers/create
  std::string docker_host;                         // container only
  std::string registry_auth;                       // container only; secret
  bool pull = true;                                // container only
  std::uint16_t port = 0;                          // on loopback; 0: any free one
  std::chrono::milliseconds stop_timeout{30'000};
  // Of further machines, whose container engines `docker_host` of each names; one engine together with this plan.
  std::vector<LaunchPlan> workers = {};
};

// How a launched engine ended by itself.
struct LaunchExit {
  std::optional<int> status;  // exit status; empty: ended by a signal
  int signal = 0;
  bool out_of_memory = false;  // killed by the system for memory
};

// Brings a vLLM server up and down: as a process or as a container. What runs inside (when it is ready, what its log
// means) is the driver's business. All members on the control loop.
class Launcher {
 public:
  struct Events {
    std::function<void(std::string_view line)> on_line;      // of its log, both streams; also lines before adoption
    std::function<void(LoadProgress progress)> on_progress;  // of what comes before its log: pulling the image
    std::function<void(LaunchExit exit)> on_exit;            // once, if it ends without stop(); not the destroyer
  };
  struct Launched {
    net::Endpoint endpoint;  // its HTTP address on loopback
    std::string api_key;     // an adopted engine has its own
    int pid = 0;             // as seen by this machine; 0 unknown
    bool adopted = false;    // it ran already with this hash
  };

  enum class Ending {
    kDrain,  // politely, then by force after the plan's stop_timeout
    kSoon,   // it never served: nobody loses an answer when it goes within moments
    kKeep,   // it stays, for the next gateway to adopt
  };

  virtual ~Launcher() = default;
  // Once in a launcher's life. On an error or a cancel nothing is left behind.
  virtual Task<Result<Launched>> launch(LaunchPlan plan, Events events, CancelToken cancel) = 0;
  // Gone when this returns, or let go of.
  virtual Task<void> stop(Ending ending) = 0;
  virtual std::uint64_t memory_bytes() const = 0;  // host memory in use; 0 unknown
};

}  // namespace llm::engines
