#pragma once

#include <chrono>
#include <cstddef>

#include "async/cancel.h"
#include "async/loop.h"
#include "async/task.h"
#include "base/error.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

namespace llm::mcp {

struct StdioSettings {
  std::size_t max_line_bytes = kMaxMessageBytes;
  // Beyond this many unsent bytes no more requests are read; beyond half of it no progress is sent.
  std::size_t max_queued_bytes = std::size_t{4} << 20;
  std::size_t read_bytes = std::size_t{64} << 10;
  std::chrono::milliseconds flush_timeout{2000};  // at the end, for a client that does not read
};

// Serves one client on a pair of descriptors: one message a line (MCP "stdio"). Returns when the input ends, the output
// breaks, or `stop` is cancelled; calls in flight are cancelled then, and what there is to say is written. Tools must
// end soon after a cancel. The descriptors stay the caller's; while this runs they do not block (which whoever shares
// them notices), after it they are as before. Pipes, sockets, terminals and files will do; `in` and `out` may be the
// same. The process ignores SIGPIPE. Fails only if the descriptors cannot be used. One loop; `server` outlives it.
Task<Result<void>> run_stdio(const Server& server, Loop& loop, int in, int out, StdioSettings settings = {},
                             CancelToken stop = {});

}  // namespace llm::mcp
