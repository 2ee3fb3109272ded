#pragma once

#include <optional>
#include <span>

#include "net/http_server.h"

namespace llm::net {

// Server side of one connection: reads requests one after the other, runs the handler for each, keeps the deadlines.
// Belongs to one loop; run() owns its end, the other members only ask for it.
class Connection {
 public:
  Connection(HttpServer& server, Loop& loop, std::unique_ptr<Transport> transport, Peer peer);
  Task<void> run();
  Task<void> run_refusal(std::string_view reason);  // instead of run(): answers 400, whatever the client asks
  void stop_when_idle();                            // two-phase stop, first phase
  void cancel();                                    // second phase

 private:
  friend class Exchange;
  enum class Waiting { kNothing, kRequest, kHeader, kBody, kWrite, kLinger };

  Task<bool> read_head();                      // false: the connection ends
  Task<bool> serve_one();                      // false: the connection ends
  Task<bool> run_handler(Exchange& exchange);  // false: it threw
  Task<void> end();
  Task<void> linger();
  std::string& start_head(int status);  // out_ with the status line and the date
  Task<void> refuse(int status, std::string_view reason);
  // Writes without waiting: the outcome, or nothing if the client takes no more now. Then write() has to send what is
  // left of `pieces`. Nearly every answer and event fits the socket's buffer and costs no coroutine and no deadline.
  std::optional<Result<void>> write_now(std::span<std::string_view>& pieces);
  Task<Result<void>> write(std::span<const std::string_view> pieces);
  Task<Result<void>> write_once(std::span<const std::string_view> pieces);
  void write_broke();
  void wait_for(Waiting what);
  void on_deadline();
  const ServerSettings& settings() const { return server_.settings_; }

  HttpServer& server_;
  Loop& loop_;
  std::unique_ptr<Transport> transport_;
  Peer peer_;
  HttpParser parser_;
  std::unique_ptr<InputBuffer> input_;
  Deadline deadline_;
  Waiting waiting_ = Waiting::kNothing;
  bool timed_out_ = false;
  bool write_failed_ = false;
  bool upgraded_ = false;
  bool cancelled_ = false;
  bool cut_ = false;     // a stream did not reach its end, and the client is to see that
  bool unread_ = false;  // an answer went out although not all input was read
  std::string target_;
  std::string out_;  // head of the answer under construction; reused
  Exchange* exchange_ = nullptr;
};

}  // namespace llm::net
