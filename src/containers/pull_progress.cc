#include "containers/pull_progress.h"

#include <algorithm>

#include "base/strings.h"

namespace llm::containers {
namespace {

constexpr double kDownloadShare = 0.9;
constexpr std::size_t kMostLayers = 1000;  // an image has at most 127

}  // namespace

void PullProgress::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (partial_.size() + piece.size() > kMaxLine) skipping_ = true;
    if (!skipping_) partial_.append(piece);
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    finish();
  }
}

void PullProgress::finish() {
  if (!skipping_) take_line(partial_);
  partial_.clear();
  skipping_ = false;
}

void PullProgress::take_line(std::string_view line) {
  const auto document = json::parse(line);
  if (!document || !document->is_object()) return;  // nothing that anybody could act on; the outcome will show
  const auto& object = document->get_object();
  if (const auto* detail = json::find(object, "errorDetail"); detail && detail->is_object()) {
    failure_ = json::string_or(detail->get_object(), "message", failure_);
  }
  if (failure_.empty()) failure_ = json::string_or(object, "error");
  const std::string id(json::string_or(object, "id"));
  if (id.empty()) return;
  static const json::object kNone;
  const auto* detail = json::find(object, "progressDetail");
  take_layer(id, json::string_or(object, "status"), detail && detail->is_object() ? detail->get_object() : kNone);
  estimate();
}

void PullProgress::take_layer(const std::string& id, std::string_view status, const json::object& detail) {
  const auto known = layers_.find(id);
  if (known == layers_.end()) {
    // "Pulling from library/x" has the tag for an id.
    if (status.starts_with("Pulling from") || layers_.size() == kMostLayers) return;
  }
  Layer& layer = known == layers_.end() ? layers_[id] : known->second;
  const double total = json::number_or(detail, "total");
  const double part = total > 0 ? std::clamp(json::number_or(detail, "current") / total, 0.0, 1.0) : 0;
  double done = 0;
  if (status == "Downloading") {
    if (total > 0) layer.size = static_cast<std::uint64_t>(std::min(total, 1e15));
    done = kDownloadShare * part;
  } else if (status == "Download complete" || status == "Verifying Checksum") {
    done = kDownloadShare;
  } else if (status == "Extracting") {
    done = kDownloadShare + (1 - kDownloadShare) * part;
  } else if (status == "Pull complete" || status == "Already exists") {
    done = 1;
  }
  layer.done = std::max(layer.done, done);
}

void PullProgress::estimate() {
  double known = 0;
  std::size_t count = 0;
  for (const auto& [id, layer] : layers_) {
    known += static_cast<double>(layer.size);
    count += layer.size > 0 ? 1 : 0;
  }
  const double mean = count > 0 ? known / static_cast<double>(count) : 1;
  double all = 0;
  double done = 0;
  for (const auto& [id, layer] : layers_) {
    const double size = layer.size > 0 ? static_cast<double>(layer.size) : mean;
    all += size;
    done += size * layer.done;
  }
  if (all > 0) fraction_ = std::max(fraction_, std::min(1.0, done / all));
}

}  // namespace llm::containers
