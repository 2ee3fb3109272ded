#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "async/event.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "containers/docker_client.h"
#include "engines/vllm/container_keys.h"
#include "engines/vllm/launcher.h"

namespace llm::engines {

// What happens beside a running container: its log is read, its memory measured, its end noticed. When it ends by
// itself it is removed and then reported, after its last line. Outlives interruptions of the container engine.
class ContainerWatch {
 public:
  ContainerWatch(Loop& control, net::HttpClient& client, const net::Endpoint& daemon, ContainerKeys keys,
                 containers::ContainerDetails container, Launcher::Events events);
  ~ContainerWatch();  // after let_go(), or when the loop no longer runs
  ContainerWatch(const ContainerWatch&) = delete;
  ContainerWatch& operator=(const ContainerWatch&) = delete;

  // From now on its end is no news.
  void expect_end();
  // Stops watching; the container stays as it is.
  Task<void> let_go();

  bool ended() const;  // it is no more
  const std::string& id() const;
  std::uint64_t memory_bytes() const;

 private:
  struct State;
  static Task<void> follow(std::shared_ptr<State> state);
  static Task<void> await_end(std::shared_ptr<State> state);
  static Task<void> measure(std::shared_ptr<State> state);
  static Task<void> report(std::shared_ptr<State> state, LaunchExit exit);

  std::shared_ptr<State> state_;  // shared with the tasks, which may end after the watch when a loop stops
  TaskGroup tasks_;
};

}  // namespace llm::engines
