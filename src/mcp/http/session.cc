#include "mcp/http/session.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>
#include <vector>

namespace llm::mcp {

Session::Session(const Server& server, Loop& home, const HttpSettings& settings, ReplayBudget& budget, std::string id,
                 const access::Principal& principal)
    : settings_(settings),
      id_(std::move(id)),
      principal_(principal.id),
      connection_(server, home, *this, principal),
      replay_(settings.replay_bytes, budget) {
  streams_[kUnrelated].streaming = true;
}

bool Session::busy() const {
  if (connection_.in_flight() > 0) return true;
  return std::ranges::any_of(streams_, [](const auto& entry) { return entry.second.reply != nullptr; });
}

void Session::post(Decoded message, const access::Principal& principal) {
  connection_.set_principal(principal);
  connection_.on_decoded(std::move(message), kNobody);
}

Channel Session::post(Decoded message, const access::Principal& principal, const std::shared_ptr<Attachment>& reply) {
  connection_.set_principal(principal);
  const Channel id = next_stream_++;
  streams_[id].reply = reply;
  reply->set_preamble(preamble({id, 0}));
  connection_.on_decoded(std::move(message), id);
  return id;
}

// MCP 2025-11-25: a stream begins with an event that has an id but no data, so that the client can come back to it
// even if it breaks before the first message. Clients of older revisions would take it for a message.
std::string Session::preamble(EventId at) const {
  if (&revision() != &latest_legacy_revision()) return {};
  return fmt::format("id: {}\nretry: {}\ndata: \n\n", at.text(), settings_.retry.count());
}

bool Session::get(std::optional<EventId> after, const std::shared_ptr<Attachment>& reply, Channel& stream) {
  const EventId from = after.value_or(EventId{kUnrelated, unrelated_seen_});
  stream = from.stream;
  const auto open = streams_.find(from.stream);
  if (open == streams_.end() && !replay_.holds(from.stream)) return false;
  if (!after) reply->set_preamble(preamble(from));
  reply->begin();
  if (open != streams_.end()) start_streaming(from.stream, open->second);  // with the answer that was held back
  replay_.after(from, [&reply](EventId id, const std::string& message) { reply->event(message, id.text()); });
  if (open == streams_.end()) {
    reply->finish();
    return true;
  }
  if (const auto before = std::exchange(open->second.reply, reply)) before->finish();
  if (from.stream == kUnrelated) unrelated_seen_ = open->second.position;
  return true;
}

void Session::detach(Channel stream, const Attachment* reply) {
  const auto found = streams_.find(stream);
  if (found != streams_.end() && found->second.reply.get() == reply) found->second.reply = nullptr;
}

void Session::became_stream(Channel stream) {
  const auto found = streams_.find(stream);
  if (found != streams_.end()) start_streaming(stream, found->second);
}

void Session::close() {
  if (std::exchange(closed_, true)) return;
  connection_.close();
  if (const auto reply = std::exchange(streams_[kUnrelated].reply, nullptr)) reply->finish();
}

void Session::send(std::string_view message, const Label& label) {
  const auto found = streams_.find(label.channel);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  if (label.kind == MessageKind::kAnswer && !stream.streaming && stream.status == 0) {
    stream.answer = message;
    stream.status = legacy_status(label.error_code);
    return;
  }
  start_streaming(label.channel, stream);
  push(label.channel, stream, message);
}

void Session::finished(Channel id) {
  const auto found = streams_.find(id);
  if (id == kUnrelated || found == streams_.end()) return;
  Stream stream = std::move(found->second);
  streams_.erase(found);
  if (!stream.reply) return;
  if (stream.status != 0) stream.reply->answer(std::move(stream.answer), stream.status);
  stream.reply->finish();
}

bool Session::congested() const {
  return std::ranges::any_of(streams_, [this](const auto& entry) {
    return entry.second.reply && entry.second.reply->queued() > settings_.max_queued_bytes / 2;
  });
}

// MCP 2025-11-25 "SSE polling": the client comes back for the rest.
void Session::close_stream(Channel id) {
  const auto found = streams_.find(id);
  if (id == kUnrelated || found == streams_.end() || &revision() != &latest_legacy_revision()) return;
  start_streaming(id, found->second);
  if (const auto reply = std::exchange(found->second.reply, nullptr)) reply->finish();
}

void Session::start_streaming(Channel id, Stream& stream) {
  if (std::exchange(stream.streaming, true)) return;
  if (stream.reply) stream.reply->begin();
  if (std::exchange(stream.status, 0) != 0) push(id, stream, std::exchange(stream.answer, {}));
}

void Session::push(Channel id, Stream& stream, std::string_view message) {
  const EventId event{id, ++stream.position};
  replay_.add(event, message);
  if (!stream.reply) return;
  stream.reply->event(message, event.text());
  if (id == kUnrelated) unrelated_seen_ = event.position;
}

int legacy_status(int error_code) {
  return error_code == kParseError || error_code == kInvalidRequest ? 400 : 200;
}

}  // namespace llm::mcp
