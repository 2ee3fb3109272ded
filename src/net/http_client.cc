#include "net/http_client.h"

#include <fmt/format.h>

#include "net/client_connection.h"
#include "net/tls_client.h"

namespace llm::net {

HttpClient::HttpClient(Loop& loop, ClientSettings settings)
    : loop_(loop), settings_(settings), pool_(std::make_shared<ClientPool>(loop, settings)) {}

HttpClient::~HttpClient() {
  pool_->close();
}

void HttpClient::forget(const Endpoint& endpoint) {
  pool_->forget(endpoint.text());
}

std::size_t HttpClient::idle() const {
  return pool_->size();
}

Task<Result<std::unique_ptr<ClientConnection>>> HttpClient::acquire(const Endpoint& endpoint, bool fresh,
                                                                    CancelToken cancel) {
  const std::string key = endpoint.text();
  if (!fresh) {
    if (auto pooled = pool_->take(key)) co_return pooled;
  }
  if (endpoint.tls && !trust_) trust_ = load_tls_trust();
  auto transport = co_await connect(loop_, endpoint, settings_.connect_timeout, cancel, trust_);
  if (!transport) co_return fail(transport.error());
  co_return std::make_unique<ClientConnection>(loop_, std::move(*transport), settings_.message, key);
}

Task<Result<ClientResponse>> HttpClient::send(const Endpoint& endpoint, ClientRequest request, CancelToken cancel) {
  auto connection = co_await acquire(endpoint, !request.repeatable, cancel);
  if (!connection) co_return fail(connection.error());
  auto done = co_await (*connection)->exchange(request, endpoint, cancel);
  // The race of RFC 9112 section 9.3.1: an idle connection closed just as it was used. Nothing was answered.
  const bool raced =
      !done && (*connection)->reused() && (*connection)->silent() && done.error().code == ErrorCode::kEngineFailed;
  if (raced) {
    connection = co_await acquire(endpoint, true, cancel);
    if (!connection) co_return fail(connection.error());
    done = co_await (*connection)->exchange(request, endpoint, cancel);
  }
  if (!done) co_return fail(done.error());
  co_return ClientResponse(pool_, std::move(*connection), std::move(cancel), request.stall_timeout);
}

ClientResponse::ClientResponse(std::shared_ptr<ClientPool> pool, std::unique_ptr<ClientConnection> connection,
                               CancelToken cancel, std::chrono::milliseconds stall_timeout)
    : pool_(std::move(pool)),
      connection_(std::move(connection)),
      cancel_(std::move(cancel)),
      stall_timeout_(stall_timeout) {}
ClientResponse::ClientResponse(ClientResponse&&) noexcept = default;

ClientResponse& ClientResponse::operator=(ClientResponse&& other) noexcept {
  if (this == &other) return *this;
  finish();
  pool_ = std::move(other.pool_);
  connection_ = std::move(other.connection_);
  cancel_ = std::move(other.cancel_);
  stall_timeout_ = other.stall_timeout_;
  chunk_ = std::move(other.chunk_);
  return *this;
}

ClientResponse::~ClientResponse() {
  finish();
}

void ClientResponse::finish() {
  if (connection_) pool_->put(std::move(connection_));
}

int ClientResponse::status() const {
  return connection_->parser().status();
}
const Headers& ClientResponse::headers() const {
  return connection_->parser().headers();
}

Task<Result<std::string_view>> ClientResponse::read() {
  return connection_->read(chunk_, cancel_, stall_timeout_);
}

Task<Result<std::string>> ClientResponse::read_all(std::size_t most) {
  std::string all;
  while (true) {
    auto piece = co_await read();
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) co_return all;
    // The usual answer comes as one piece and needs no copy.
    if (all.empty() && connection_->parser().done() && piece->size() <= most) co_return std::move(chunk_);
    if (piece->size() > most - all.size()) {
      co_return fail(ErrorCode::kPayloadTooLarge, fmt::format("the answer is larger than {} bytes", most));
    }
    all.append(*piece);
  }
}

}  // namespace llm::net
