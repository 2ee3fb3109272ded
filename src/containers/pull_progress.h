#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"

namespace llm::containers {

// How far the pull of an image is, from the body of POST /images/create in any slices: one JSON object a line, many for
// each layer. Sans-IO. Docker and Podman say it alike, and both report a failure inside the stream with status 200.
class PullProgress {
 public:
  static constexpr std::size_t kMaxLine = 1 << 20;  // bytes; a longer line is skipped

  void feed(std::string_view bytes);
  void finish();  // the stream ended: what has no line end yet is a line too

  // 0..1, never less than before. An estimate: layers count by their size once that is known, before that as the
  // others' mean; nine tenths of a layer are its download.
  double fraction() const { return fraction_; }
  // What the stream said went wrong, in the container engine's words; empty: nothing.
  const std::string& failure() const { return failure_; }

 private:
  struct Layer {
    std::uint64_t size = 0;  // bytes to download; 0 unknown
    double done = 0;         // 0..1
  };

  void take_line(std::string_view line);
  void take_layer(const std::string& id, std::string_view status, const json::object& detail);
  void estimate();

  std::map<std::string, Layer, std::less<>> layers_;
  std::string partial_;
  bool skipping_ = false;  // in the middle of a line that is too long
  std::string failure_;
  double fraction_ = 0;
};

}  // namespace llm::containers
