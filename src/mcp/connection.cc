#include "mcp/connection.h"

#include <fmt/format.h>
#include <utility>

#include "base/strings.h"

namespace llm::mcp {

Connection::Connection(const Server& server, Loop& loop, Outbox& outbox, const access::Principal& principal)
    : server_(server),
      calls_(server, loop, outbox),
      legacy_(server, calls_, principal),
      modern_(server, calls_, principal) {}

void Connection::set_principal(const access::Principal& principal) {
  legacy_.set_principal(principal);
  modern_.set_principal(principal);
}

void Connection::on_decoded(Decoded decoded, Channel channel) {
  if (closed_) return;
  if (auto* batch = std::get_if<Batch>(&decoded)) return on_batch(*batch, channel);
  on_message(std::get<Message>(decoded), {.channel = channel});
}

void Connection::on_overlong_line(std::size_t limit) {
  if (closed_) return;
  calls_.refuse_unidentified(
      {}, {kInvalidRequest,
           fmt::format("Invalid request: the message is longer than {} and was ignored.", format_bytes(limit)),
           {}});
}

void Connection::abandon(Channel channel) {
  modern_.subscriptions().cancel_channel(channel);
  calls_.cancel_channel(channel);
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  changes_.end();
  modern_.subscriptions().close();
  calls_.cancel_all();
}

void Connection::on_batch(Batch& batch, Channel channel) {
  if (!legacy_.initialized() || !legacy_.revision().batches) {
    const Refusal refusal{
        kInvalidRequest, "Invalid request: only protocol version 2025-03-26 has batches. Send one message a line.", {}};
    return calls_.refuse_unidentified({.channel = channel}, refusal);
  }
  const auto reply = std::make_shared<BatchReply>(BatchReply{.channel = channel, .open = 1, .text = {}});
  for (Message& message : batch.messages) on_message(message, {.channel = channel, .batch = reply});
  calls_.end_batch(reply);
}

void Connection::on_message(Message& message, ReplyTo to) {
  if (auto* request = std::get_if<Request>(&message)) {
    if (to.batch) ++to.batch->open;
    to.id = std::move(request->id);
    on_request(*request, std::move(to));
  } else if (const auto* notification = std::get_if<Notification>(&message)) {
    on_notification(*notification);
  } else if (auto* malformed = std::get_if<Malformed>(&message)) {
    if (to.batch) ++to.batch->open;
    if (!malformed->id) return calls_.refuse_unidentified(to, malformed->refusal);
    to.id = std::move(*malformed->id);
    calls_.refuse(to, malformed->refusal);
  } else if (auto* response = std::get_if<Response>(&message)) {
    calls_.on_response(*response);
  }
}

void Connection::on_request(Request& request, ReplyTo to) {
  if (calls_.in_flight(to.id) || modern_.subscriptions().contains(to.id)) {
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
  if (is_modern(request)) {
    modern_seen_ = true;
    modern_.on_request(request, std::move(to));
  } else {
    legacy_.on_request(request, std::move(to));
  }
  if (!following_ && (modern_.subscriptions().size() > 0 || legacy_.wants_changes())) follow_changes();
}

// Changes come from any thread; ours is told of them as long as we exist.
void Connection::follow_changes() {
  following_ = true;
  alive_ = std::make_shared<Connection*>(this);
  changes_ = server_.changes().listen(
      [weak = std::weak_ptr(alive_), &loop = calls_.loop()](const std::shared_ptr<const Change>& change) {
        loop.post([weak, change] {
          const auto self = weak.lock();
          if (self && !(*self)->closed_) (*self)->on_change(*change);
        });
      });
}

void Connection::on_change(const Change& change) {
  legacy_.on_change(change);
  modern_.subscriptions().on_change(change);
}

// A request that names its version is modern, whatever came before; `initialize` opens a legacy session at any time.
// One that says nothing belongs to that session if there is one, else it comes from a modern client that forgot its
// `_meta` (and is told so), or from a legacy client in a hurry.
bool Connection::is_modern(const Request& request) const {
  if (ModernEra::speaks(request.params) || ModernEra::owns(request.method)) return true;
  return modern_seen_ && !legacy_.initialized() && request.method != "initialize";
}

void Connection::on_notification(const Notification& notification) {
  if (notification.method != "notifications/cancelled") return;  // the others change nothing here
  const json::value* target = json::find(notification.params, "requestId");
  if (target == nullptr) return;
  const auto id = RequestId::from(*target);
  if (!id) return;
  calls_.cancel(*id);
  modern_.subscriptions().cancel(*id);
}

}  // namespace llm::mcp
