#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <unistd.h>

#include "async/loop.h"
#include "async/task.h"
#include "base/error.h"
#include "base/paths.h"
#include "cli/attach.h"
#include "cli/settings.h"
#include "inference/model_api.h"
#include "models/hub.h"
#include "observe/log.h"

namespace llm::cli {

// The models that `stdio` serves, wherever they are.
class ModelBackend {
 public:
  virtual ~ModelBackend() = default;
  // Used on the loop the backend was made for.
  virtual inference::ModelApi& models() = 0;
  // Ends what runs in the background. Called once, when no call runs any more.
  virtual Task<void> stop() = 0;
};

// Makes the backend of `--standalone`. Called before the first message is read, so it should leave slow work for later.
// `loop` is not running yet and outlives the backend.
using BackendFactory = std::function<Result<std::unique_ptr<ModelBackend>>(Loop& loop)>;

struct StdioOptions {
  bool standalone = false;
  AttachSettings attach = {};  // without standalone
  McpSettings mcp = {};
  models::PullSettings hub = {};         // where llm_huggingface looks
  std::filesystem::path tasks_dir = {};  // empty: tasks are forgotten when this ends
  EnvLookup env = process_environment();
  int in = STDIN_FILENO;
  int out = STDOUT_FILENO;
};

// MCP over stdio until the input ends or SIGINT, SIGTERM or SIGHUP comes; a second signal ends the process at once. The
// tools work through the user's gateway, which is started in the background if none runs, or through what `standalone`
// makes. Everything but tool calls is answered without waiting for either; a call waits until the gateway is there, and
// a gateway that has gone since is started again. Runs its loop in the calling thread; `log` must not go to `out`.
// Returns the exit status.
int run_stdio_command(const StdioOptions& options, const BackendFactory& standalone, observe::Log& log);

}  // namespace llm::cli
