#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "async/task.h"
#include "mcp/connection.h"
#include "mcp/http/attachment.h"
#include "mcp/http/replay_buffer.h"
#include "mcp/http/settings.h"
#include "mcp/outbox.h"
#include "mcp/server.h"

namespace llm::mcp {

// A session of the revisions up to 2025-11-25: a connection whose messages come in by POSTs and go out by the stream of
// the POST they belong to, or by the stream of a GET. A stream that broke goes on: its messages are kept until the
// client asks for them (MCP 2025-11-25 "Resumability and redelivery"). On its home loop; destroyed after `close` and
// `drained`.
class Session final : public Outbox {
 public:
  Session(const Server& server, Loop& home, const HttpSettings& settings, ReplayBudget& budget, std::string id,
          const access::Principal& principal);

  const std::string& id() const { return id_; }
  const std::string& principal() const { return principal_; }  // its id
  const Revision& revision() const { return connection_.revision(); }
  bool initialized() const { return connection_.initialized(); }
  // Is somebody waiting for something?
  bool busy() const;

  // A POST of the session's principal, which may have other rights now, with something to answer: by `reply`.
  Channel post(Decoded message, const access::Principal& principal, const std::shared_ptr<Attachment>& reply);
  // One without.
  void post(Decoded message, const access::Principal& principal);
  // A GET: goes on with the stream after this event, or takes the messages that belong to no request. It takes the
  // place of whoever had the stream. False: there is no such stream (any more).
  bool get(std::optional<EventId> after, const std::shared_ptr<Attachment>& reply, Channel& stream);
  // The exchange has ended. The request goes on (a lost connection is no cancellation).
  void detach(Channel stream, const Attachment* reply);
  // The exchange has become a stream by itself.
  void became_stream(Channel stream);

  // Ends the calls and the streams.
  void close();
  Task<void> drained() { return connection_.drained(); }

  void send(std::string_view message, const Label& label) override;
  void finished(Channel stream) override;
  bool congested() const override;
  void close_stream(Channel stream) override;

  std::chrono::steady_clock::time_point last_used;  // by the session table

 private:
  static constexpr Channel kUnrelated = 0;
  static constexpr Channel kNobody = ~Channel{0};

  struct Stream {
    std::shared_ptr<Attachment> reply = nullptr;  // null: the client is not connected
    std::uint64_t position = 0;                   // of the last message
    bool streaming = false;                       // else a JSON document, as long as nothing but the answer is sent
    std::string answer = {};                      // held back until the request is finished
    int status = 0;                               // of `answer`; 0: none
  };

  void start_streaming(Channel id, Stream& stream);
  void push(Channel id, Stream& stream, std::string_view message);
  std::string preamble(EventId at) const;

  const HttpSettings& settings_;
  const std::string id_;
  const std::string principal_;
  Connection connection_;
  std::map<Channel, Stream> streams_;  // unfinished ones, and kUnrelated
  std::uint64_t unrelated_seen_ = 0;   // position in kUnrelated up to which somebody was connected
  Channel next_stream_ = 1;
  ReplayBuffer replay_;
  bool closed_ = false;
};

// The HTTP status of an answer with this error (0: none): what is wrong with the message itself is the request's fault.
int legacy_status(int error_code);

}  // namespace llm::mcp
