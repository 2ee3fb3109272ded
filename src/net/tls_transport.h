#pragma once

#include <memory>
#include <string>

#include "net/transport.h"

// OpenSSL's own names for SSL, SSL_CTX and X509: its headers stay inside .cc files.
struct ssl_st;
struct ssl_ctx_st;
struct bio_method_st;

namespace llm::net {

// TLS over a connected socket, for clients and servers alike. OpenSSL reads from the socket itself, but what it writes
// lands in a buffer of ours first: a record is never half accepted, several go out in one system call, and bytes count
// as taken once the kernel has them.
//
// shutdown_write() says goodbye (close_notify, RFC 8446 section 6.1) and ends the sending side; after close() alone the
// peer sees a cut stream. An end without the peer's close_notify is an error to the reader.
class TlsTransport final : public Transport {
 public:
  enum class Side { kClient, kServer };

  // The context is kept alive by this connection. Takes over a connected, non-blocking socket.
  TlsTransport(Socket socket, ssl_ctx_st& context, Side side);
  ~TlsTransport() override;
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  // Before anything else. Until it ends, close() is the way to give up. Errors: kUnavailable with the reason (the peer
  // has been sent the alert that fits), kCancelled after close().
  Task<Result<void>> handshake();
  // After a refused handshake: ends the sending side and throws away what comes until the peer closes, since a reset
  // would destroy the alert on its way. close() ends it.
  Task<void> discard_input();
  ssl_st* ssl() const { return ssl_.get(); }

  void async_readable(std::function<void(Result<void>)> handler) override;
  Result<std::optional<std::size_t>> try_read(std::span<char> buffer) override;
  Result<std::size_t> try_write(std::span<const std::string_view> pieces) override;
  Task<Result<void>> write(std::span<const std::string_view> pieces) override;
  void shutdown_write() override;
  void close() override;

 private:
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };
  static const bio_method_st* bio_method();

  Result<void> flush();                          // as much as the kernel takes
  Result<void> encrypt(std::string_view bytes);  // at most one record
  std::size_t encrypt_some(std::span<const std::string_view> pieces, std::size_t skip, Result<void>& outcome);
  bool flushed() const { return sent_ == out_.size(); }

  Socket socket_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  std::string out_;       // records on their way
  std::size_t sent_ = 0;  // of them
  std::size_t owed_ = 0;  // payload bytes inside `out_` that no call has yet counted as taken
  bool drained_ = false;  // the last read found no whole record
  bool ended_ = false;    // the peer said goodbye
  bool failed_ = false;   // in TLS: nothing more may be said
  bool closed_ = false;
};

}  // namespace llm::net
