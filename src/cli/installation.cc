#include "cli/installation.h"

#include <array>
#include <system_error>
#include <unistd.h>

namespace llm::cli {

namespace fs = std::filesystem;

Result<Installation> find_installation(const Settings& settings, const EnvLookup& env, uid_t uid) {
  Installation found;
  const std::array<std::pair<fs::path*, Result<fs::path> (*)(const EnvLookup&)>, 3> directories{{
      {&found.config_dir, config_dir},
      {&found.data_dir, data_dir},
      {&found.cache_dir, cache_dir},
  }};
  for (const auto& [place, look_up] : directories) {
    auto path = look_up(env);
    if (!path) return fail(std::move(path.error()));
    *place = std::move(*path);
  }
  found.runtime_dir = runtime_dir(env, uid);
  found.models_dir =
      settings.models.directory.empty() ? found.data_dir / "models" : expand_home(settings.models.directory, env);
  found.socket = settings.server.unix_socket.empty() ? found.runtime_dir / "gateway.sock"
                                                     : expand_home(settings.server.unix_socket, env);
  found.pid_file = found.runtime_dir / "gateway.pid";
  found.state_file = found.runtime_dir / "gateway.json";
  found.log_file = found.runtime_dir / "gateway.log";
  return found;
}

fs::path program_path() {
  std::error_code error;
  fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : path;
}

fs::path find_engine(const fs::path& program_dir, const Settings& settings) {
  if (!settings.engines.llama_server.empty()) {
    return expand_home(settings.engines.llama_server, process_environment());
  }
  const fs::path inside = fs::path("libexec") / "llm-mcp" / "llama-server";
  for (const fs::path& candidate : {program_dir / inside, program_dir.parent_path() / inside}) {
    std::error_code error;
    if (fs::is_regular_file(candidate, error) && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace llm::cli
