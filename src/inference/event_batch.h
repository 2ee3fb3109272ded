#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llm::inference {

// The payloads that one arrival of bytes brought. Those that lie in the bytes themselves are only pointed to; others
// are copied. Memory is reused from arrival to arrival.
class EventBatch {
 public:
  void begin(std::string_view chunk) {
    chunk_ = chunk;
    copies_.clear();
    payloads_.clear();
    spans_.clear();
  }
  void add(std::string_view payload) {
    const bool in_chunk =
        payload.data() >= chunk_.data() && payload.data() + payload.size() <= chunk_.data() + chunk_.size();
    if (in_chunk) {
      payloads_.push_back(payload);
      spans_.emplace_back(std::string::npos, 0);
    } else {
      spans_.emplace_back(copies_.size(), payload.size());
      copies_.append(payload);
      payloads_.emplace_back();
    }
  }
  // Good until the next begin(); after the last add().
  std::span<const std::string_view> payloads() {
    for (std::size_t i = 0; i < payloads_.size(); ++i) {
      if (spans_[i].first == std::string::npos) continue;
      payloads_[i] = std::string_view(copies_).substr(spans_[i].first, spans_[i].second);
    }
    return payloads_;
  }

 private:
  std::string_view chunk_;
  std::string copies_;
  std::vector<std::string_view> payloads_;
  std::vector<std::pair<std::size_t, std::size_t>> spans_;  // of the payloads that lie in copies_
};

}  // namespace llm::inference
