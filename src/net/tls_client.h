#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "async/cancel.h"
#include "async/loop.h"
#include "net/transport.h"

namespace llm::net {

// The authorities that servers are checked against: the system's, or those in SSL_CERT_FILE. Loading them takes
// milliseconds, so a client keeps one. Not changed after loading; shared by the connections that use it.
class TlsTrust;
std::shared_ptr<TlsTrust> load_tls_trust();

// TLS 1.2 or newer as a client over a connected socket, the certificate checked against `trust` and `host` (a name or
// an address). Errors: kUnavailable with the reason, kCancelled.
Task<Result<std::unique_ptr<Transport>>> make_tls_client(Loop& loop, Socket socket, std::string host,
                                                         std::chrono::milliseconds timeout, CancelToken cancel,
                                                         std::shared_ptr<TlsTrust> trust);

}  // namespace llm::net
