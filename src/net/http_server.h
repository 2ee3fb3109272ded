#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/loop.h"
#include "async/task_group.h"
#include "net/http_parser.h"
#include "net/input_buffer.h"
#include "net/peer_certificate.h"
#include "net/transport.h"

namespace llm::net {

struct ServerSettings {
  MessageLimits message = {};
  std::size_t max_connections = 4096;                // over all loops; one more is answered 503 and closed
  std::chrono::milliseconds header_timeout{10'000};  // from the first byte of a head to its end
  std::chrono::milliseconds body_timeout{60'000};    // between two arrivals of body bytes
  std::chrono::milliseconds idle_timeout{75'000};    // between two requests
  std::chrono::milliseconds write_timeout{60'000};   // for the client to take what one write offers
};

// Who is at the other end.
struct Peer {
  bool unix_socket = false;
  std::string address = {};  // "127.0.0.1:52100", or "unix"
  bool tls = false;
  // Verified; null if the client showed none or was not asked. Shared by all requests of a connection, and what they
  // leave behind.
  std::shared_ptr<const PeerCertificate> certificate = nullptr;
};

class Connection;
class TlsServer;

// A connection taken over from HTTP after 101 Switching Protocols.
struct Upgraded {
  std::unique_ptr<Transport> transport;
  std::unique_ptr<InputBuffer> input;
};

// One request and the way to answer it. Lives on its connection's loop, for the duration of the handler. Exactly one of
// respond, begin_stream … end_stream, or upgrade answers it; a second answer fails with kInternal. A handler that
// returns (or throws) without an answer gets a 500, one that leaves a stream without end_stream gets the connection
// cut.
class Exchange {
 public:
  explicit Exchange(Connection& connection);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // The head. Views live as long as the exchange.
  std::string_view method() const;
  std::string_view target() const;  // as sent; absolute form already cut to path and query
  const Headers& headers() const;
  const Peer& peer() const;
  Loop& loop() const;

  // Reads the whole body (within the limits) into body(). Errors: kPayloadTooLarge, kMalformed, kTimeout, kCancelled.
  Task<Result<void>> read_body();
  std::string& body();

  // Cancelled when the client goes away or the server's drain time is over. Work done for the client hangs on it. A
  // client that only closes its sending side counts as gone, as a proxy's abort looks the same; what a handler answers
  // nevertheless is still sent.
  CancelToken cancelled() const;

  // Fields for the answer's head, added by middleware and handlers before the answer starts.
  Headers& response_headers();

  // A whole answer. HEAD requests get the same head without the body.
  Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body);

  // A chunked answer, written as it comes (for HTTP/1.0 ended by closing, for HEAD the head alone). A failed write
  // means that the client is gone. The first and the last bytes, if they are at hand, share a packet with the head and
  // the end.
  Task<Result<void>> begin_stream(int status, std::string_view content_type, std::string_view first = {});
  Task<Result<void>> write(std::string_view data);
  Task<Result<void>> end_stream(std::string_view last = {});

  // Answers 101 with response_headers() and hands the connection over: only for the time of the handler, which
  // cancelled() asks to end. Bytes sent before the 101 are a violation: kMalformed, answer 400.
  Task<Result<Upgraded>> upgrade(std::string_view protocol);

  // For answers that take long: gives the body's and the input buffer's memory back.
  void release_memory();
  // Ends the connection at once, also in the middle of a write to a client that does not read; a stream is cut. On the
  // loop, at any time; cancels the exchange.
  void abort();

  bool started() const { return status_ != 0; }
  int status() const { return status_; }  // of the answer, 0 before it started
  std::uint64_t bytes_sent() const { return bytes_sent_; }

  // For the middleware: what the access log and metrics want to know.
  std::string request_id;
  std::string_view route = "unknown";  // pattern of the route that answered; static storage
  // Complete lines that end each with CRLF, for every answer's head; static storage.
  std::string_view fixed_fields = {};

 private:
  friend class Connection;
  std::string& head(int status, std::string_view content_type);
  Task<Result<void>> send(std::string_view before, std::string_view data, std::string_view after);

  Connection& connection_;
  Headers response_headers_;
  CancelSource cancel_;
  int status_ = 0;
  std::uint64_t bytes_sent_ = 0;
  bool chunked_ = false;
  bool bodiless_ = false;  // HEAD, 204, 304: the head is the whole answer
  bool finished_ = false;
  bool close_after_ = false;
};

using Handler = std::function<Task<void>(Exchange&)>;

// HTTP/1.1 server over any number of loops. Connections are dealt out round robin and stay on their loop. Must outlive
// them: destroyed after drained() returned, or when its loops no longer run; and before the loops are.
class HttpServer {
 public:
  HttpServer(std::vector<Loop*> loops, ServerSettings settings, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Starts accepting on a listening socket (address.h); takes the descriptor over. Before the loops run, or on loop 0.
  // With `tls` every connection begins with a handshake, on its own loop and within header_timeout; it counts as a
  // connection meanwhile. Who speaks plain HTTP there gets a 400 that says so.
  void accept_on(int listening_fd, std::shared_ptr<TlsServer> tls = nullptr);
  // Told of each handshake that failed, on the connection's loop: kUnavailable with the reason, kTimeout. Set before
  // the loops run. A client can cause as many as it likes.
  using HandshakeFailed = std::function<void(const Peer& peer, const Error& error)>;
  void on_handshake_failed(HandshakeFailed callback) { handshake_failed_ = std::move(callback); }
  // Serves one ready transport on loop 0; for tests and for connections that come by another way.
  void serve(std::unique_ptr<Transport> transport, Peer peer);

  // Two-phase stop. `stop_accepting` closes the listeners and idle connections and lets running exchanges finish with
  // "Connection: close"; `cancel` ends what still runs. Both from any thread. `drained` awaits the end on loop 0; one
  // waiter.
  void stop_accepting();
  void cancel();
  Task<void> drained();

  std::size_t connections() const { return connections_.load(std::memory_order_relaxed); }
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

 private:
  friend class Connection;
  struct Shard;
  struct Listener;
  Task<void> accept_loop(Listener& listener);
  bool accept_one(Listener& listener);  // false: nothing waits, or errno says why not
  Task<void> run_connection(std::shared_ptr<Shard> shard, std::unique_ptr<Transport> transport, Peer peer);
  Task<void> run_tls_connection(std::shared_ptr<Shard> shard, Socket socket, Peer peer, std::shared_ptr<TlsServer> tls);
  Task<void> run(Shard& shard, std::unique_ptr<Transport> transport, Peer peer, std::string_view refusal);
  void connection_ended();

  ServerSettings settings_;
  Handler handler_;
  HandshakeFailed handshake_failed_;
  std::vector<std::shared_ptr<Shard>> shards_;  // shared with what is posted to their loops
  std::shared_ptr<Event> ended_;                // on loop 0; shared with the notices that connections post to it
  std::size_t next_shard_ = 0;
  std::atomic<std::size_t> connections_{0};
  std::atomic<bool> stopping_{false};
};

std::string_view status_text(int status);

}  // namespace llm::net
