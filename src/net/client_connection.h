#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "async/cancel.h"
#include "async/loop.h"
#include "net/http_client.h"
#include "net/http_parser.h"
#include "net/input_buffer.h"
#include "net/transport.h"

namespace llm::net {

// One connection to an upstream: one request and its answer at a time. Belongs to one loop.
class ClientConnection {
 public:
  ClientConnection(Loop& loop, std::unique_ptr<Transport> transport, const MessageLimits& limits, std::string key);

  // Sends a request and waits for the head of its answer.
  Task<Result<void>> exchange(const ClientRequest& request, const Endpoint& endpoint, CancelToken cancel);
  // Body bytes that arrived, swapped into `chunk`; none at the end of the body. `stall`: see ClientRequest. `cancel`
  // lives until this returns.
  Task<Result<std::string_view>> read(std::string& chunk, const CancelToken& cancel, std::chrono::milliseconds stall);

  // Is the last answer complete and the connection fit for another request?
  bool reusable() const { return parser_.done() && parser_.keep_alive() && input_.data().empty() && !input_.ended(); }
  // Was it kept alive before the last request, and has not a byte of an answer come to that?
  bool reused() const { return requests_ > 1; }
  bool silent() const { return !answered_ && input_.data().empty(); }

  const HttpParser& parser() const { return parser_; }
  InputBuffer& input() { return input_; }
  const std::string& key() const { return key_; }

 private:
  Task<Result<void>> write(std::string head, std::string_view body, const CancelToken& cancel);
  Result<void> end_wait(const CancelToken& cancel) const;
  Result<void> feed();
  void arm(std::chrono::milliseconds timeout);

  Loop& loop_;
  std::string key_;
  std::unique_ptr<Transport> transport_;
  InputBuffer input_;
  HttpParser parser_;
  Deadline deadline_;
  bool writing_ = false;
  bool timed_out_ = false;
  bool answered_ = false;
  bool head_request_ = false;
  int requests_ = 0;
  int interim_ = 0;
};

// The kept-alive connections of one client, newest used first. Shared with the answers that may give theirs back.
class ClientPool : public std::enable_shared_from_this<ClientPool> {
 public:
  ClientPool(Loop& loop, const ClientSettings& settings) : loop_(loop), settings_(settings) {}

  std::unique_ptr<ClientConnection> take(const std::string& key);  // null: none fits
  void put(std::unique_ptr<ClientConnection> connection);
  void forget(const std::string& key) { idle_.erase(key); }
  void close();  // the client goes: nothing is kept any more
  std::size_t size() const;

 private:
  struct Idle {
    Idle(std::unique_ptr<ClientConnection> kept, std::function<void()> on_expiry)
        : connection(std::move(kept)), expiry(std::move(on_expiry)) {}
    std::unique_ptr<ClientConnection> connection;
    Deadline expiry;
  };
  void drop_later(const ClientConnection* connection);

  Loop& loop_;
  ClientSettings settings_;
  bool closed_ = false;
  std::map<std::string, std::list<Idle>, std::less<>> idle_;
};

}  // namespace llm::net
