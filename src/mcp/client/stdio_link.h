#pragma once

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/child_process.h"
#include "async/event.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "mcp/client/link.h"
#include "mcp/line_reader.h"
#include "mcp/protocol.h"
#include "observe/log.h"

namespace llm::mcp {

struct ProgramSettings {
  std::string label = {};                                     // names the server in logs and messages
  std::vector<std::string> argv = {};                         // no shell
  std::vector<std::pair<std::string, std::string>> env = {};  // the whole environment
  std::string working_directory = {};                         // empty: ours
  std::size_t max_message_bytes = kMaxMessageBytes;           // of a line that comes
  std::size_t max_queued_bytes = std::size_t{16} << 20;       // that the server does not take
  std::chrono::milliseconds stop_patience{2000};              // after closing its stdin, and again after SIGTERM
};

// A server that is a program of ours (MCP "stdio"): a message a line. Its stderr goes to our log, so many lines at a
// time. It lives in a process group of its own, which stop() and the destructor end.
class StdioLink final : public Link {
 public:
  StdioLink(Loop& loop, ProgramSettings settings, observe::Log& log);
  // For tests: no program, but two descriptors, which it takes over.
  StdioLink(Loop& loop, ProgramSettings settings, observe::Log& log, ChildPipes pipes);
  ~StdioLink() override;

  Result<void> start(Listener& listener) override;
  void send(Outgoing message) override;
  Task<void> stop() override;

 private:
  using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;

  static Task<void> read(StdioLink* self);
  static Task<void> write(StdioLink* self);
  static Task<void> lose(StdioLink* self, RequestId id, Error why);
  Task<void> wait_for_exit();
  void on_error_line(std::string_view line);
  void end_of_output();
  void close(std::string why);

  Loop& loop_;
  ProgramSettings settings_;
  observe::Log& log_;
  ChildPipes pipes_;
  Listener* listener_ = nullptr;
  std::unique_ptr<ChildProcess> child_;
  Descriptor input_;
  Descriptor output_;
  LineReader reader_;
  std::string queue_;
  std::size_t writing_ = 0;  // bytes on their way
  Event queued_;
  Event exited_;
  Deadline patience_;     // wakes wait_for_exit()
  Deadline last_moment_;  // between the end of the output and the news of the exit, or the other way round
  bool stopping_ = false;
  bool closed_ = false;
  bool output_ended_ = false;
  std::string exit_text_;  // empty: it still runs, or there is no program
  std::chrono::steady_clock::time_point window_ = {};
  std::uint32_t window_lines_ = 0;  // of stderr since `window_`
  TaskGroup tasks_;
};

}  // namespace llm::mcp
