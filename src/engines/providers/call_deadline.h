#pragma once

#include <chrono>

#include "async/cancel.h"
#include "async/loop.h"

namespace llm::engines {

// A cancel token that fires with its parent's, or when the time is over. Lives on its loop, in the frame that waits.
class CallDeadline {
 public:
  // `most` 0: only the parent ends it.
  CallDeadline(Loop& loop, const CancelToken& parent, std::chrono::milliseconds most)
      : deadline_([this] {
          expired_ = true;
          source_.cancel();
        }),
        registration_(parent.on_cancel([source = source_] { source.cancel(); })) {
    if (most.count() > 0) loop.wheel().arm(deadline_, most);
  }
  CallDeadline(const CallDeadline&) = delete;
  CallDeadline& operator=(const CallDeadline&) = delete;

  CancelToken token() const { return source_.token(); }
  bool expired() const { return expired_; }

 private:
  CancelSource source_;
  bool expired_ = false;
  Deadline deadline_;
  CancelRegistration registration_;
};

}  // namespace llm::engines
