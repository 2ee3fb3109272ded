#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/task.h"
#include "base/error.h"
#include "mcp/jsonrpc.h"

namespace llm::mcp {

// A message of ours on its way to a server. What is beside the text is for HTTP, which repeats it in headers.
struct Outgoing {
  std::string text;                  // JSON without a newline
  std::optional<RequestId> id = {};  // of a request; replies and notifications have none
  std::string method = {};
  std::string version = {};                                       // MCP-Protocol-Version; empty: not known yet
  bool modern = false;                                            // 2026-07-28: repeat method and name
  std::string name = {};                                          // Mcp-Name: the tool's name
  std::vector<std::pair<std::string, std::string>> headers = {};  // Mcp-Param-...
};

// How a client reaches its server: a transport. One loop; everything below is called on it.
class Link {
 public:
  // Who hears what the server says. Never called from inside a member of the link, except on_message and on_overlong
  // from its own reading; it may call the link, but not destroy it.
  class Listener {
   public:
    virtual ~Listener() = default;
    // One message or batch. `under`: the request whose answer stream it came by, if the transport has such a thing.
    virtual void on_message(std::string_view text, const RequestId* under) = 0;
    // A message longer than the limit came and was thrown away.
    virtual void on_overlong(std::size_t limit) = 0;
    // No answer to this request will come.
    virtual void on_lost(const RequestId& id, Error why) = 0;
    // The server is gone, and with it everything that waits for it. Once.
    virtual void on_closed(Error why) = 0;
  };

  virtual ~Link() = default;

  // Starts the program, or gets ready to talk. `listener` outlives the link's stop().
  virtual Result<void> start(Listener& listener) = 0;
  // Never waits. A server that takes nothing costs the request (on_lost) once the queue is full.
  virtual void send(Outgoing message) = 0;
  // The request was answered: what still comes on its stream does not count.
  virtual void done(const RequestId&) {}
  // Nobody waits for the answer any more.
  virtual void drop(const RequestId&) {}
  // Does drop() tell the server (2026-07-28 over HTTP: a closed stream is a cancel)?
  virtual bool drop_cancels() const { return false; }
  // Opens the stream on which sessions get what belongs to no request (HTTP before 2026-07-28).
  virtual void listen(const std::string& /*version*/) {}
  // Ends everything: politely, then not. The listener hears nothing any more. Await it before destruction.
  virtual Task<void> stop() = 0;
};

}  // namespace llm::mcp
