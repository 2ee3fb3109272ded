#include "async/event.h"

namespace llm::detail {

boost::asio::execution_context::id EventService::id;

void EventService::shutdown() {
  while (first_) {
    Event& event = *first_;
    event.unlink();
    // Destroying the handler ends its coroutine, which may own `event` and others that are linked here.
    const auto waiter = std::exchange(event.waiter_, std::nullopt);
  }
}

}  // namespace llm::detail
