#pragma once

#include <string_view>

#include "base/error.h"
#include "json/json.h"

namespace llm::inference {

// Puts the events of a streamed answer together to the answer that would have come without streaming. Used where only
// the stream tells the whole truth (usage of several completions) or ends when its client goes. Members it does not
// know survive: of the answer the first value, of a choice the last.
class Assembler {
 public:
  explicit Assembler(bool chat) : chat_(chat) {}
  // One event payload. kEngineFailed if it is not an event of the OpenAI API.
  Result<void> add(std::string_view payload);
  // The answer without usage: id, object, created, model, choices in order of their index.
  json::object finish() &&;

 private:
  json::object& choice(std::int64_t index);
  void merge_delta(json::object& message, const json::object& delta);
  void merge_tool_calls(json::object& message, const json::array& calls);

  bool chat_;
  json::object envelope_;
  json::array choices_;
};

}  // namespace llm::inference
