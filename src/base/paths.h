#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/error.h"

namespace llm {

// Looks up an environment variable; nullopt if it is not set.
using EnvLookup = std::function<std::optional<std::string>(const std::string& name)>;
// The environment of this process. Not to be called while another thread changes it.
EnvLookup process_environment();

// Where a user's files are (XDG Base Directory Specification 0.8): nothing is created, relative values are ignored as
// the specification asks. kNotFound if neither the XDG variable nor HOME is usable.
Result<std::filesystem::path> config_dir(const EnvLookup& env);  // $XDG_CONFIG_HOME/llm-mcp, ~/.config/llm-mcp
Result<std::filesystem::path> data_dir(const EnvLookup& env);    // $XDG_DATA_HOME/llm-mcp, ~/.local/share/llm-mcp
Result<std::filesystem::path> cache_dir(const EnvLookup& env);   // $XDG_CACHE_HOME/llm-mcp, ~/.cache/llm-mcp
// $XDG_RUNTIME_DIR/llm-mcp, else /tmp/llm-mcp-<uid>: for sockets and pid files. Pass it through ensure_private_dir
// before use, since anybody may have made the one under /tmp.
std::filesystem::path runtime_dir(const EnvLookup& env, uid_t uid);

// "~" and "~/x" with HOME put in; anything else as it is.
std::filesystem::path expand_home(std::string_view path, const EnvLookup& env);

// Creates `dir` (and its parents) with mode 0700 if it is not there. kPermissionDenied if it is a symbolic link,
// belongs to another user, or if group or others have any access: then somebody else could read or replace what is in
// it.
Result<void> ensure_private_dir(const std::filesystem::path& dir);

}  // namespace llm
