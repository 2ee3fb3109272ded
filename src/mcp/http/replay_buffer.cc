#include "mcp/http/replay_buffer.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::mcp {

std::string EventId::text() const {
  return fmt::format("{}-{}", stream, position);
}

std::optional<EventId> EventId::parse(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto stream = parse_number<Channel>(text.substr(0, dash));
  const auto position = parse_number<std::uint64_t>(text.substr(dash + 1));
  if (!stream || !position) return std::nullopt;
  return EventId{*stream, *position};
}

void ReplayBuffer::add(EventId id, std::string_view message) {
  events_.push_back({id, std::string(message)});
  bytes_ += cost(events_.back());
  budget_.used += cost(events_.back());
  while (events_.size() > 1 && bytes_ > most_) drop_oldest();
  while (!events_.empty() && budget_.used > budget_.most) drop_oldest();
}

bool ReplayBuffer::holds(Channel stream) const {
  return std::ranges::any_of(events_, [stream](const Event& event) { return event.id.stream == stream; });
}

void ReplayBuffer::clear() {
  while (!events_.empty()) drop_oldest();
}

void ReplayBuffer::drop_oldest() {
  const std::size_t freed = cost(events_.front());
  bytes_ -= freed;
  budget_.used -= freed;
  events_.pop_front();
}

}  // namespace llm::mcp
