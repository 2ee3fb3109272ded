#pragma once

#include <filesystem>
#include <string_view>
#include <sys/types.h>

#include "base/error.h"
#include "base/paths.h"
#include "cli/settings.h"

namespace llm::cli {

inline constexpr std::string_view kProductVersion = LLM_MCP_VERSION;
// The release of llama.cpp that the embedded engine is built from (scripts/build-llama).
inline constexpr std::string_view kEngineRelease = "v0.5.0";

// Where this installation keeps its things. Nothing is created.
struct Installation {
  std::filesystem::path config_dir;
  std::filesystem::path data_dir;
  std::filesystem::path cache_dir;
  std::filesystem::path runtime_dir;  // ensure_private_dir before something is put there
  std::filesystem::path models_dir;   // the model store
  std::filesystem::path socket;       // the gateway's Unix socket
  std::filesystem::path pid_file;     // of the gateway that runs
  std::filesystem::path state_file;   // JSON {pid, port, url, version} of the gateway that runs
  std::filesystem::path log_file;     // of a gateway that was started in the background
};

// kNotFound if neither HOME nor the XDG variables say where files go.
Result<Installation> find_installation(const Settings& settings, const EnvLookup& env, uid_t uid);

// The running binary, symbolic links resolved; empty if the system does not tell.
std::filesystem::path program_path();

// The embedded engine: the setting engines.llama_server, else libexec/llm-mcp/llama-server in the program's folder or
// beside it (<prefix>/bin, <prefix>/libexec). Empty if neither place has an executable file; a setting is returned
// whatever it names, so that messages can show it.
std::filesystem::path find_engine(const std::filesystem::path& program_dir, const Settings& settings);

}  // namespace llm::cli
