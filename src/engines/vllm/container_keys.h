#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace llm::engines {

// The API keys of the containers that run on one container engine, one file each (0600), by container id. A gateway
// that adopts a container cannot know its key otherwise: labels and the log are for everybody.
class ContainerKeys {
 public:
  ContainerKeys(std::filesystem::path folder, std::string_view docker_host);

  Result<void> write(std::string_view id, std::string_view key) const;  // makes the folder if it is not there
  std::optional<std::string> read(std::string_view id) const;           // nullopt: none, or not ours to trust
  void remove(std::string_view id) const;
  void keep_only(const std::vector<std::string>& ids) const;  // of this container engine

 private:
  std::filesystem::path file(std::string_view id) const;

  std::filesystem::path folder_;
  std::string prefix_;
};

}  // namespace llm::engines
