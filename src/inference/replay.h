#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "inference/answer_cache.h"

namespace llm::inference {

// An answer from the cache as if an engine had just given it, with an id of its own.
struct Replay {
  std::string_view model;    // what the answer calls it
  std::int64_t created = 0;  // seconds since 1970, UTC
  bool usage = false;        // streams: the last event tells the usage (stream_options.include_usage)
};

// The whole answer. It is put together from the events where only a stream was seen. Answers without choices
// (embeddings, rankings) come as they are. The engine's timings are left out: they were another request's. kInternal if
// what was kept is no answer.
Result<std::string> replay_body(const CachedAnswer& answer, const Replay& replay);

// The events of a stream ("data:" without [DONE]). The same ones where a stream was seen; else made of the whole
// answer: for each choice its role, its text in one piece, its tool calls, its end.
Result<std::vector<std::string>> replay_events(const CachedAnswer& answer, const Replay& replay);

}  // namespace llm::inference
