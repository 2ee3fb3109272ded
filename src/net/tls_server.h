#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "async/cancel.h"
#include "async/loop.h"
#include "net/tls_server_context.h"
#include "net/transport.h"

namespace llm::net {

// TLS as a server (README.md says which versions, ciphers and extensions). Certificate and key can change while it
// serves: new connections use the new ones, open ones stay as they are. Any thread, but for accept().
class TlsServer {
 public:
  // Errors say which file and why: unreadable, no certificate or key in it, expired, key and certificate that do not
  // belong together, too weak. kInvalidArgument, kIo.
  static Result<std::shared_ptr<TlsServer>> load(TlsServerSettings settings);

  // Reads the files again. True: they have changed and are in use now. On an error, which is reported once and not
  // again until something else is wrong, what was in use stays.
  Result<bool> reload_if_changed();
  TlsServerInfo info() const;

  struct Accepted {
    std::unique_ptr<Transport> transport;
    std::shared_ptr<const PeerCertificate> certificate;  // null: the client showed none
    bool tls = true;                                     // false: the client speaks without TLS, and nothing was read
  };
  // The handshake, on the socket's loop. Errors: kUnavailable (refused by one of the two; the client was told),
  // kTimeout, kCancelled.
  Task<Result<Accepted>> accept(Loop& loop, Socket socket, std::chrono::milliseconds timeout, CancelToken cancel) const;

 private:
  TlsServer(TlsServerSettings settings, TlsServerContext context, std::string digest);
  std::shared_ptr<const TlsServerContext> current() const;

  const TlsServerSettings settings_;
  std::mutex reload_;  // one reload at a time; guards the members that only it uses
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsServerContext> current_;  // shared: replaced by a reload while handshakes begin
  std::string digest_;                               // of the files in use
  std::string reported_;                             // the last error, and of which files
};

}  // namespace llm::net
