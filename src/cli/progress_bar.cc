#include "cli/progress_bar.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <vector>

#include "base/strings.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kPlainLine{5};
constexpr std::uint64_t kWhole = 1000;  // parts of a fraction
constexpr std::size_t kMinBar = 10;
constexpr std::size_t kMaxBar = 40;

double fraction_of(const ProgressView& view) {
  if (view.total == 0) return 0;
  return std::min(1.0, static_cast<double>(view.done) / static_cast<double>(view.total));
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::min(seconds, 359'999.0));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string draw_bar(double fraction, std::size_t width, bool utf8) {
  const auto full = static_cast<std::size_t>(std::floor(fraction * static_cast<double>(width)));
  std::string bar = "[";
  for (std::size_t at = 0; at < width; ++at) {
    if (utf8) {
      bar += at < full ? "█" : "░";
    } else {
      bar += at < full ? '#' : '-';
    }
  }
  return bar + "]";
}

// The parts after the bar, most important first.
std::vector<std::string> figures(const ProgressView& view) {
  std::vector<std::string> out;
  if (view.total > 0) out.push_back(fmt::format("{:3.0f}%", std::floor(fraction_of(view) * 100)));
  if (!view.bytes || (view.done == 0 && view.total == 0)) return out;
  std::string amount = format_bytes(view.done);
  if (view.total > 0) amount += " / " + format_bytes(view.total);
  out.push_back(std::move(amount));
  if (view.bytes_per_second < 1) return out;
  out.push_back(format_bytes(static_cast<std::uint64_t>(view.bytes_per_second)) + "/s");
  if (view.total > view.done) {
    out.push_back(clock_text(static_cast<double>(view.total - view.done) / view.bytes_per_second) + " left");
  }
  return out;
}

}  // namespace

std::string render_progress(const ProgressView& view, std::size_t width, bool utf8) {
  std::string head = view.label;
  if (!view.phase.empty()) head += "  " + view.phase;
  std::string tail;
  std::size_t used = display_width(head);
  for (const std::string& figure : figures(view)) {
    if (used + display_width(tail) + 2 + display_width(figure) > width) break;
    tail += "  " + figure;
  }
  used += display_width(tail);
  if (view.total > 0 && used + 4 + kMinBar <= width) {
    head += "  " + draw_bar(fraction_of(view), std::min(kMaxBar, width - used - 4), utf8);
  }
  return clip(head + tail, width, utf8);
}

ProgressBar::ProgressBar(Terminal& terminal, std::string label, Clock clock)
    : terminal_(terminal), clock_(std::move(clock)) {
  view_.label = std::move(label);
}

void ProgressBar::bytes(std::string_view phase, std::uint64_t done, std::uint64_t total) {
  view_.bytes = true;
  if (phase != view_.phase) phase_start_.reset();
  view_.done = done;
  view_.total = total;
  show(phase);
}

void ProgressBar::fraction(std::string_view phase, double fraction) {
  view_.bytes = false;
  view_.total = kWhole;
  const double bounded = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  view_.done = static_cast<std::uint64_t>(bounded * static_cast<double>(kWhole));
  show(phase);
}

void ProgressBar::event(const json::object& event) {
  const std::string_view status = json::string_or(event, "status");
  const std::string_view phase = json::string_or(event, "phase", status);
  if (json::find(event, "progress")) {
    fraction(phase, json::number_or(event, "progress"));
  } else if (json::find(event, "bytes_done")) {
    const auto count = [&](std::string_view key) {
      return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(event, key)));
    };
    bytes(phase, count("bytes_done"), count("bytes_total"));
  }
}

void ProgressBar::clear() {
  if (!line_on_screen_) return;
  terminal_.err("\r\x1b[K");
  line_on_screen_ = false;
  last_shown_.reset();
}

// The mean of this phase: smooth, and a resumed download does not count what was there before.
void ProgressBar::measure(std::chrono::steady_clock::time_point now) {
  if (!phase_start_ || view_.done < phase_start_bytes_) {
    phase_start_ = now;
    phase_start_bytes_ = view_.done;
    view_.bytes_per_second = 0;
    return;
  }
  const double seconds = std::chrono::duration<double>(now - *phase_start_).count();
  if (seconds >= 0.5) view_.bytes_per_second = static_cast<double>(view_.done - phase_start_bytes_) / seconds;
}

void ProgressBar::show(std::string_view phase) {
  if (terminal_.quiet()) return;
  const auto now = clock_();
  const bool new_phase = phase != view_.phase;
  view_.phase = phase;
  if (view_.bytes) measure(now);
  const bool live = terminal_.settings().can_redraw;
  if (last_shown_ && now - *last_shown_ < (live ? kRedraw : kPlainLine) && !(live && new_phase)) return;
  last_shown_ = now;
  if (live) {
    // One column stays free: a full last column makes some terminals go to the next line.
    const std::size_t width = std::max<std::size_t>(20, terminal_.settings().width - 1);
    terminal_.err("\r" + render_progress(view_, width, terminal_.settings().utf8) + "\x1b[K");
    line_on_screen_ = true;
  } else {
    const std::vector<std::string> parts = figures(view_);
    std::string line = fmt::format("{}: {}", view_.label, view_.phase);
    for (const std::string& part : parts) line += fmt::format(" {}", trim(part));
    terminal_.err(line + "\n");
  }
}

}  // namespace llm::cli
