#include "tools/call_progress.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "base/strings.h"

namespace llm::tools {
namespace {

Task<Result<void>> heard() {
  co_return Result<void>();
}

}  // namespace

inference::EventSink CallProgress::sink() {
  if (!progress_.wanted() && !keep_partial_) return {};
  return [this](json::object event) {
    on_event(event);
    return heard();
  };
}

void CallProgress::on_event(const json::object& event) {
  if (const auto* text = json::find(event, "text"); text != nullptr && text->is_string()) {
    return on_text(event, text->get_string());
  }
  const auto status = json::string_or(event, "status");
  if (unit_ == Unit::kBytes) return on_transfer(event, status);
  if (status == "loading") on_loading(event);
  if (status == "tool") report(value_, {}, fmt::format("running {}", json::string_or(event, "tool")));
}

bool CallProgress::due() {
  const auto now = std::chrono::steady_clock::now();
  if (reported_ && now - *reported_ < interval_) return false;
  reported_ = now;
  return true;
}

// A phase may begin again at 0 or stand still while its name changes; the least step keeps such news from getting lost.
void CallProgress::report(double value, std::optional<double> total, std::string_view message) {
  constexpr double kLeastStep = 0.001;
  value_ = std::max(value, value_ + kLeastStep);
  if (total) total = std::max(*total, value_);
  progress_(value_, total, message);
}

void CallProgress::on_text(const json::object& event, std::string_view text) {
  tokens_ = std::max(tokens_ + 1, json::int_or(event, "tokens"));
  text_.append(text);
  if (!due()) return;
  if (keep_partial_) keep_partial_(text_);
  if (!progress_.wanted()) return;
  report(static_cast<double>(tokens_), expected_ ? std::optional(static_cast<double>(*expected_)) : std::nullopt,
         message());
}

void CallProgress::keep_all() const {
  if (keep_partial_ && !text_.empty()) keep_partial_(text_);
}

// All of the text so far, or its end where that is long, beginning with a whole character.
std::string CallProgress::message() const {
  if (text_.size() <= kMostMessageBytes) return text_;
  constexpr std::string_view kCut = "…";
  std::size_t start = text_.size() - kMostMessageBytes + kCut.size();
  while (start < text_.size() && (static_cast<unsigned char>(text_[start]) & 0xC0) == 0x80) ++start;
  return std::string(kCut) + text_.substr(start);
}

void CallProgress::on_loading(const json::object& event) {
  if (!due()) return;
  const double fraction = std::clamp(json::number_or(event, "progress"), 0.0, 1.0);
  const auto model = json::string_or(event, "model", "the model");
  const auto phase = json::string_or(event, "phase");
  const std::string message = phase.empty() ? fmt::format("loading {} {:.0f} %", model, 100 * fraction)
                                            : fmt::format("loading {} ({}) {:.0f} %", model, phase, 100 * fraction);
  if (unit_ == Unit::kPercent) return report(100 * fraction, 100, message);
  constexpr double kBelowOneToken = 0.9;  // leaves room for the least steps, so that the first token still counts as 1
  report(kBelowOneToken * fraction, {}, message);
}

void CallProgress::on_transfer(const json::object& event, std::string_view status) {
  if (!due()) return;
  const auto done = static_cast<std::uint64_t>(std::max<std::int64_t>(json::int_or(event, "bytes_done"), 0));
  const auto total = static_cast<std::uint64_t>(std::max<std::int64_t>(json::int_or(event, "bytes_total"), 0));
  const auto what = status.empty() ? std::string_view("downloading") : status;
  if (total == 0) return report(static_cast<double>(done), {}, fmt::format("{} {}", what, format_bytes(done)));
  report(static_cast<double>(done), static_cast<double>(total),
         fmt::format("{} {} of {} ({:.0f} %)", what, format_bytes(done), format_bytes(total),
                     100.0 * static_cast<double>(done) / static_cast<double>(total)));
}

}  // namespace llm::tools
