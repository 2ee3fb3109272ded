#pragma once

#include <map>
#include <string>

#include "api/call.h"
#include "async/task_group.h"
#include "net/websocket.h"

namespace llm::api {

// One WebSocket at /api/v1/ws: many generations at once, each with an id the client chose.
//   → {"type":"generate"|"chat","id":"1", …GenerateRequest…}   ← {"type":"loading"|"token"|"done"|"error","id":"1",…}
//   → {"type":"cancel","id":"1"}                               ← {"type":"done","id":"1","finish_reason":"cancelled"}
//   → {"type":"ping"}                                          ← {"type":"pong"}
// A malformed message is answered by an error event; only protocol violations close the socket, and a message of a
// client whose key or token does not hold any more (1008).
class WebSocketSession {
 public:
  WebSocketSession(Call& call, net::Upgraded connection);
  Task<void> run();

 private:
  static constexpr std::size_t kMostGenerations = 256;  // at once on one socket

  bool still_valid() const;
  Task<void> on_message(std::string text);
  void start(std::string id, json::object request);
  Task<void> generate(std::string id, json::object request, CancelSource cancel);
  Task<void> reply(json::object message);
  Task<void> reply_error(json::value id, Error error);

  Call& call_;
  net::WebSocket socket_;
  TaskGroup tasks_;   // generations
  TaskGroup writer_;  // the socket's writer
  std::map<std::string, CancelSource> running_;
};

}  // namespace llm::api
