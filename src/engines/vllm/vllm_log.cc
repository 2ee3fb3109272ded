#include "engines/vllm/vllm_log.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "engines/vllm/vllm_causes.h"

namespace llm::engines {
namespace {

using Seconds = std::chrono::seconds;
using std::chrono::milliseconds;

constexpr std::size_t kNoCause = ~std::size_t{0};
constexpr std::size_t kTail = 5;         // lines of the log in an error
constexpr std::size_t kQuote = 400;      // bytes of a quoted line
constexpr std::size_t kMostLine = 4096;  // bytes of a kept line

// What each phase is called, and its share of a start that nothing is known of.
struct Phase {
  std::string_view name;
  double share;
};
constexpr std::array<Phase, kStartPhases> kPhases{{
    {"starting", 0.08},
    {"downloading weights", 0.17},
    {"loading weights", 0.25},
    {"compiling", 0.25},
    {"allocating the KV cache", 0.05},
    {"capturing CUDA graphs", 0.15},
    {"starting to serve", 0.05},
}};

struct Mark {
  std::string_view text;  // found in a log line
  StartPhase phase;
};
constexpr auto kMarks = std::to_array<Mark>({
    {"Using model weights format", StartPhase::kDownloading},  // only of models that are no folder
    {"Time spent downloading weights", StartPhase::kLoading},
    {"checkpoint shards:", StartPhase::kLoading},
    {"Loading weights took", StartPhase::kLoading},
    {"Model loading took", StartPhase::kCompiling},
    {"torch_compile_cache", StartPhase::kCompiling},
    {"Dynamo bytecode transform time", StartPhase::kCompiling},
    {"Compiling a graph for", StartPhase::kCompiling},
    {"torch.compile takes", StartPhase::kAllocating},
    {"torch.compile took", StartPhase::kAllocating},
    {"Available KV cache memory", StartPhase::kAllocating},
    {"GPU KV cache size", StartPhase::kAllocating},
    {"CPU KV cache size", StartPhase::kAllocating},
    {"Capturing CUDA graph", StartPhase::kCapturing},
    {"Graph capturing finished", StartPhase::kServing},
    {"init engine (profile", StartPhase::kServing},
    {"Starting vLLM API server", StartPhase::kServing},
    {"Starting vLLM server", StartPhase::kServing},
    {"Application startup complete", StartPhase::kServing},
});

// The "7/67" that follows the bar of a progress line: "…:  10%|█  | 7/67 [00:00<00:03, 18.5it/s]".
struct Count {
  std::uint64_t done = 0;
  std::uint64_t all = 0;
};
std::optional<Count> count_in(std::string_view line) {
  const auto bracket = line.find(" [");
  const auto bar = line.rfind('|', bracket);
  if (bracket == std::string_view::npos || bar == std::string_view::npos || bar > bracket) return std::nullopt;
  const auto parts = split(trim(line.substr(bar + 1, bracket - bar - 1)), '/');
  if (parts.size() != 2) return std::nullopt;
  const auto done = parse_number<std::uint64_t>(parts[0]);
  const auto all = parse_number<std::uint64_t>(parts[1]);
  if (!done || !all || *all == 0 || *done > *all) return std::nullopt;
  return Count{*done, *all};
}

// The percentage of a bar that counts bytes: "model-00001-of-00002.safetensors:  42%|████ | 2.1G/4.9G [".
std::optional<double> percent_in(std::string_view line) {
  const auto sign = line.find("%|");
  if (sign == std::string_view::npos) return std::nullopt;
  auto begin = sign;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  const auto number = parse_number<std::uint32_t>(line.substr(begin, sign - begin));
  if (!number || *number > 100) return std::nullopt;
  return *number / 100.0;
}

// Of a level below that of an error?
bool is_report(std::string_view line) {
  if (line.starts_with('(')) {
    const auto end = line.find(") ");
    if (end != std::string_view::npos) line.remove_prefix(end + 2);
  }
  return line.starts_with("INFO ") || line.starts_with("WARNING ") || line.starts_with("DEBUG ");
}

std::string how_it_ended(std::optional<LaunchExit> exit) {
  if (!exit) return "did not become ready";
  if (exit->status) return fmt::format("exited with code {}", *exit->status);
#ifdef __GLIBC__
  if (const char* name = ::sigabbrev_np(exit->signal))
    return fmt::format("was ended by signal {} ({})", exit->signal, name);
#endif
  return fmt::format("was ended by signal {}", exit->signal);
}

// What may be shown to people: no control characters, no half of a UTF-8 sequence.
std::string shown(std::string_view line) {
  std::string out(without_log_prefix(line).substr(0, kQuote));
  out.resize(utf8_complete_prefix(out));
  if (!valid_utf8(out)) std::erase_if(out, [](char c) { return (static_cast<unsigned char>(c) & 0x80U) != 0; });
  std::erase_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; });
  return out;
}

}  // namespace

std::string text_of_wait(Seconds left) {
  if (left.count() < 90) return fmt::format("about {} s left", std::max<std::int64_t>(1, left.count()));
  return fmt::format("about {} min left", (left.count() + 30) / 60);
}

VllmLog::VllmLog(std::optional<PhaseTimes> last, Clock clock) : last_(last), clock_(std::move(clock)) {
  entered_[0] = clock_();
}

void VllmLog::add(std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('\r');
    if (const auto line = text.substr(0, end); !line.empty()) add_line(line);
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

void VllmLog::add_line(std::string_view line) {
  const bool request = line.find(" - \"") != std::string_view::npos && line.find(" HTTP/") != std::string_view::npos;
  // Our own looks at it would fill the log.
  if (request && line.find("\"GET /") != std::string_view::npos && line.find("\" 200") != std::string_view::npos)
    return;
  lines_.emplace_back(line.substr(0, kMostLine));
  if (lines_.size() > kKeep) lines_.pop_front();
  if (request) return;  // neither a phase nor a cause
  // A warning says what vLLM could do without.
  if (const auto cause = is_report(line) ? std::nullopt : cause_of(line); cause && *cause < cause_) {
    cause_ = *cause;
    cause_line_ = line.substr(0, kMostLine);
  }
  for (const auto& mark : kMarks) {
    if (line.find(mark.text) != std::string_view::npos) enter(mark.phase);
  }
  if (line.find("checkpoint shards") != std::string_view::npos) count(StartPhase::kLoading, line, " shards");
  if (line.find("Capturing CUDA graph") != std::string_view::npos) count(StartPhase::kCapturing, line, "");
  if (phase_ > StartPhase::kDownloading) return;
  if (line.starts_with("Fetching ")) {
    enter(StartPhase::kDownloading);
    count(StartPhase::kDownloading, line, " files");
  } else if (line.find(".safetensors:") != std::string_view::npos || line.find(".bin:") != std::string_view::npos) {
    enter(StartPhase::kDownloading);
    if (const auto done = percent_in(line); done && counted_.empty()) done_ = std::max(done_, *done);
  }
}

void VllmLog::ready() {
  cause_ = kNoCause;
  cause_line_.clear();
}

void VllmLog::enter(StartPhase phase) {
  if (phase <= phase_) return;  // several processes write; the furthest counts
  best_ = fraction();
  phase_ = phase;
  entered_[static_cast<std::size_t>(phase)] = clock_();
  done_ = 0;
  counted_.clear();
}

void VllmLog::count(StartPhase phase, std::string_view line, std::string_view unit) {
  if (phase != phase_) return;
  const auto found = count_in(line);
  if (!found) return;
  best_ = fraction();
  done_ = static_cast<double>(found->done) / static_cast<double>(found->all);
  counted_ = fmt::format("{}/{}{}", found->done, found->all, unit);
}

double VllmLog::fraction() const {
  const auto now = static_cast<std::size_t>(phase_);
  double before = 0;
  double all = 0;
  for (std::size_t i = 0; i < kStartPhases; ++i) {
    const double share = last_ ? static_cast<double>((*last_)[i].count()) : kPhases[i].share;
    all += share;
    if (i < now) before += share;
    if (i == now) before += share * done_;
  }
  return std::clamp(all > 0 ? before / all : 0.0, std::max(best_, 0.01), 0.99);
}

std::optional<Seconds> VllmLog::left() const {
  if (!last_) return std::nullopt;
  const auto now = static_cast<std::size_t>(phase_);
  const auto spent = std::chrono::duration_cast<milliseconds>(clock_() - *entered_[now]);
  const auto of_this = (*last_)[now];
  const auto by_count = milliseconds(static_cast<std::int64_t>(static_cast<double>(of_this.count()) * (1 - done_)));
  milliseconds out = done_ > 0 ? by_count : std::max(milliseconds(0), of_this - spent);
  for (std::size_t i = now + 1; i < kStartPhases; ++i) out += (*last_)[i];
  return std::chrono::ceil<Seconds>(out);
}

LoadProgress VllmLog::progress() const {
  LoadProgress out{std::string(kPhases[static_cast<std::size_t>(phase_)].name), fraction()};
  if (!counted_.empty()) out.phase += " " + counted_;
  if (const auto wait = left()) out.phase += fmt::format(" ({})", text_of_wait(*wait));
  return out;
}

PhaseTimes VllmLog::times() const {
  PhaseTimes out{};
  auto end = clock_();
  for (std::size_t i = kStartPhases; i-- > 0;) {
    if (!entered_[i]) continue;
    out[i] = std::chrono::duration_cast<milliseconds>(end - *entered_[i]);
    end = *entered_[i];
  }
  return out;
}

Error VllmLog::explain(std::string_view engine, std::optional<LaunchExit> exit, bool out_of_memory) const {
  std::string message = fmt::format("the engine \"{}\" {}", engine, how_it_ended(exit));
  ErrorCode code = ErrorCode::kEngineFailed;
  const bool killed = exit && !exit->status && exit->signal == SIGKILL;
  const bool system_memory = out_of_memory || (exit && exit->out_of_memory);
  if (cause_ != kNoCause) {
    const VllmCause& cause = vllm_cause(cause_);
    code = cause.code;
    message += fmt::format(": {}", cause.meaning);
    if (cause.quote) message += fmt::format(" (vLLM: {})", shown(cause_line_));
  } else if (system_memory) {
    code = ErrorCode::kInsufficientMemory;
    message +=
        ": the system's memory ran out (out-of-memory kill); loading needs the weights' size in host memory, "
        "less with swap_space 0 and without cpu_offload";
  } else if (killed) {
    message += ": somebody killed it, or the system's memory ran out";
  } else if (exit && !exit->status && exit->signal == SIGBUS) {
    message += ": shared memory is too small; raise container.shared_memory (a process: the size of /dev/shm)";
  }
  // A server that closed its connections and not for want of anything says nothing by its last lines.
  std::vector<std::string> tail;
  for (auto line = lines_.rbegin(); line != lines_.rend() && tail.size() < kTail; ++line) {
    if (auto text = shown(*line); !text.empty()) tail.insert(tail.begin(), std::move(text));
  }
  if (!tail.empty()) message += fmt::format(". Its last lines: {}", fmt::join(tail, " | "));
  return {code, std::move(message), {}, {}, 0};
}

}  // namespace llm::engines
