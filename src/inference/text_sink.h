#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "inference/model_api.h"
#include "inference/service.h"

namespace llm::inference {

// Turns the engine's events into the pieces of text that a ModelApi caller wants, and into the whole answer at the end.
class TextSink final : public Sink {
 public:
  explicit TextSink(EventSink& sink) : sink_(sink) {}
  Task<Result<void>> on_loading(std::string_view model, const engines::LoadProgress& progress) override;
  Task<Result<void>> on_events(std::span<const std::string_view> payloads) override;
  // The whole answer, once the stream has ended.
  void complete(json::object& answer);

 private:
  void take(std::string_view payload, std::string& text);
  void add_calls(const json::array& calls);

  EventSink& sink_;
  std::array<unsigned char, 4096> buffer_{};  // for parsing one event
  std::string text_;
  std::string reasoning_;
  std::string id_;
  std::int64_t tokens_ = 0;
  json::array logprobs_;
  json::array tool_calls_;
};

}  // namespace llm::inference
