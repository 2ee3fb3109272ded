#include "engines/engine.h"

namespace llm {

namespace engines {

std::string_view to_string(EngineState state) {
  switch (state) {
    case EngineState::kStopped:
      return "stopped";
    case EngineState::kStarting:
      return "starting";
    case EngineState::kReady:
      return "ready";
    case EngineState::kAsleep:
      return "asleep";
    case EngineState::kStopping:
      return "stopping";
    case EngineState::kFailed:
      return "failed";
  }
  return "stopped";
}

Task<Result<json::object>> Driver::command(EngineCommand, CancelToken) {
  co_return fail(ErrorCode::kUnsupported, "this engine cannot be asked for that");
}

}  // namespace engines
}  // namespace llm
