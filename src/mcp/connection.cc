#include "mcp/connection.h"

#include <fmt/format.h>
#include <utility>

#include "base/strings.h"

namespace llm::mcp {

Connection::Connection(const Server& server, Executor executor, Outbox& outbox)
    : server_(server), calls_(server, executor, outbox), legacy_(server, calls_), modern_(server, calls_) {}

void Connection::on_line(std::string_view line) {
  if (closed_) return;
  Decoded decoded = decode_line(line);
  if (auto* batch = std::get_if<Batch>(&decoded)) return on_batch(*batch);
  on_message(std::get<Message>(decoded), nullptr);
}

void Connection::on_overlong_line(std::size_t limit) {
  if (closed_) return;
  calls_.refuse_unidentified(
      nullptr, {kInvalidRequest,
                fmt::format("Invalid request: the message is longer than {} and was ignored.", format_bytes(limit)),
                {}});
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  modern_.close();
  calls_.cancel_all();
}

void Connection::on_batch(Batch& batch) {
  if (!legacy_.initialized() || !legacy_.revision().batches) {
    const Refusal refusal{
        kInvalidRequest, "Invalid request: only protocol version 2025-03-26 has batches. Send one message a line.", {}};
    return calls_.refuse_unidentified(nullptr, refusal);
  }
  const auto reply = std::make_shared<BatchReply>();
  reply->open = 1;
  for (Message& message : batch.messages) on_message(message, reply);
  calls_.end_batch(reply);
}

void Connection::on_message(Message& message, const std::shared_ptr<BatchReply>& batch) {
  if (auto* request = std::get_if<Request>(&message)) {
    if (batch) ++batch->open;
    on_request(*request, batch);
  } else if (const auto* notification = std::get_if<Notification>(&message)) {
    on_notification(*notification);
  } else if (auto* malformed = std::get_if<Malformed>(&message)) {
    if (batch) ++batch->open;
    if (!malformed->id) return calls_.refuse_unidentified(batch, malformed->refusal);
    calls_.refuse({std::move(*malformed->id), batch}, malformed->refusal);
  }
  // A Response answers nothing that we asked.
}

void Connection::on_request(Request& request, const std::shared_ptr<BatchReply>& batch) {
  ReplyTo to{std::move(request.id), batch};
  if (calls_.in_flight(to.id) || modern_.listening(to.id)) {
    return calls_.refuse(
        to, {kInvalidRequest,
             fmt::format("Invalid request: id {} is in use by a request that has no answer yet.", to.id.json),
             {}});
  }
  if (in_flight() >= server_.settings().max_in_flight) {
    return calls_.refuse(
        to, {kInternalError,
             fmt::format("Too many requests in flight ({}): wait for answers before sending more.", in_flight()),
             {}});
  }
  if (!is_modern(request)) return legacy_.on_request(request, std::move(to));
  modern_seen_ = true;
  modern_.on_request(request, std::move(to));
}

// A request that names its version is modern, whatever came before; `initialize` opens a legacy session at any time.
// One that says nothing belongs to that session if there is one, else it comes from a modern client that forgot its
// `_meta` (and is told so), or from a legacy client in a hurry.
bool Connection::is_modern(const Request& request) const {
  if (ModernEra::speaks(request.params) || ModernEra::owns(request.method)) return true;
  return modern_seen_ && !legacy_.initialized() && request.method != "initialize";
}

void Connection::on_notification(const Notification& notification) {
  if (notification.method != "notifications/cancelled") return;  // notifications/initialized changes nothing
  const json::value* target = json::find(notification.params, "requestId");
  if (target == nullptr) return;
  const auto id = RequestId::from(*target);
  if (!id) return;
  calls_.cancel(*id);
  modern_.cancel_listen(*id);
}

}  // namespace llm::mcp
