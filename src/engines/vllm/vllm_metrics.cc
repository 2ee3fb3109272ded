#include "engines/vllm/vllm_metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"

namespace llm::engines {
namespace {

using Member = std::optional<double> VllmFigures::*;

// Names of vLLM, old and new, without "vllm:" and the "_total" that counters carry or not. Of two names for one figure
// the first that is there counts.
struct Source {
  std::string_view name;
  Member member;
  bool mean = false;
  int rank = 0;
};
constexpr auto kSources = std::to_array<Source>({
    {"num_requests_running", &VllmFigures::running},
    {"num_requests_waiting", &VllmFigures::waiting},
    {"kv_cache_usage_perc", &VllmFigures::kv_cache_usage, true},
    {"gpu_cache_usage_perc", &VllmFigures::kv_cache_usage, true, 1},
    {"prefix_cache_queries", &VllmFigures::prefix_cache_queries},
    {"gpu_prefix_cache_queries", &VllmFigures::prefix_cache_queries, false, 1},
    {"prefix_cache_hits", &VllmFigures::prefix_cache_hits},
    {"gpu_prefix_cache_hits", &VllmFigures::prefix_cache_hits, false, 1},
    {"prompt_tokens", &VllmFigures::prompt_tokens},
    {"generation_tokens", &VllmFigures::generation_tokens},
    {"num_preemptions", &VllmFigures::preemptions},
    {"request_success", &VllmFigures::finished},
    {"time_to_first_token_seconds_sum", &VllmFigures::time_to_first_token_sum},
    {"time_to_first_token_seconds_count", &VllmFigures::time_to_first_token_count},
    {"inter_token_latency_seconds_sum", &VllmFigures::inter_token_latency_sum},
    {"inter_token_latency_seconds_count", &VllmFigures::inter_token_latency_count},
    {"time_per_output_token_seconds_sum", &VllmFigures::inter_token_latency_sum, false, 1},
    {"time_per_output_token_seconds_count", &VllmFigures::inter_token_latency_count, false, 1},
    {"e2e_request_latency_seconds_sum", &VllmFigures::request_latency_sum},
    {"e2e_request_latency_seconds_count", &VllmFigures::request_latency_count},
    {"engine_healthy", &VllmFigures::healthy, true},
});

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

// The text of a quoted label value at the front of `text`, which loses it. nullopt: none, or without an end.
std::optional<std::string> take_quoted(std::string_view& text) {
  if (!text.starts_with('"')) return std::nullopt;
  std::string out;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return out;
    }
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      out += text[i] == 'n' ? '\n' : text[i];
    } else {
      out += text[i];
    }
  }
  return std::nullopt;
}

std::string_view take_name(std::string_view& text) {
  const auto end = std::ranges::find_if_not(text, is_name_char);
  const auto name = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(name.size());
  return name;
}

void skip_spaces(std::string_view& text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
}

// {a="b",c="d",} at the front of `text`, which loses them. False: malformed.
bool take_labels(std::string_view& text, MetricLine& line) {
  if (!text.starts_with('{')) return true;
  text.remove_prefix(1);
  while (true) {
    skip_spaces(text);
    if (text.starts_with('}')) {
      text.remove_prefix(1);
      return true;
    }
    const auto name = take_name(text);
    skip_spaces(text);
    if (name.empty() || !text.starts_with('=')) return false;
    text.remove_prefix(1);
    skip_spaces(text);
    auto value = take_quoted(text);
    if (!value) return false;
    line.labels.emplace_back(name, std::move(*value));
    skip_spaces(text);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
}

std::optional<double> number_of(std::string_view text) {
  if (text == "+Inf" || text == "Inf") return INFINITY;
  if (text == "-Inf") return -INFINITY;
  if (text == "NaN") return NAN;
  if (text.starts_with('+')) text.remove_prefix(1);
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return out;
}

bool take_line(std::string_view text, MetricLine& line) {
  skip_spaces(text);
  line.name = take_name(text);
  if (line.name.empty()) return false;
  skip_spaces(text);
  if (!take_labels(text, line)) return false;
  skip_spaces(text);
  const auto value = number_of(text.substr(0, text.find_first_of(" \t")));  // a time may follow
  if (!value) return false;
  line.value = *value;
  return true;
}

void take_names(std::string_view list, std::set<std::string>& out) {
  for (const auto name : split(list, ',')) {
    if (!trim(name).empty()) out.emplace(trim(name));
  }
}

struct Gathered {
  double sum = 0;
  int count = 0;
};

}  // namespace

std::string_view MetricLine::label(std::string_view wanted) const {
  for (const auto& [name, value] : labels) {
    if (name == wanted) return value;
  }
  return {};
}

void read_metric_lines(std::string_view text, const std::function<void(const MetricLine&)>& on_line) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    MetricLine read;
    if (take_line(line, read)) on_line(read);
  }
}

VllmFigures vllm_figures(std::string_view metrics_text) {
  VllmFigures out;
  std::array<Gathered, kSources.size()> gathered{};
  double newest_lora = -1;
  read_metric_lines(metrics_text, [&](const MetricLine& line) {
    std::string_view name = line.name;
    if (!name.starts_with("vllm:")) return;
    name.remove_prefix(5);
    if (name.ends_with("_total")) name.remove_suffix(6);
    if (name == "engine_sleep_state" && line.value > 0) out.sleep_state = line.label("sleep_state");
    // Of the series that were ever made the value, a time, tells the present one.
    if (name == "lora_requests_info" && line.value >= newest_lora) {
      newest_lora = line.value;
      out.running_adapters.clear();
      out.waiting_adapters.clear();
      take_names(line.label("running_lora_adapters"), out.running_adapters);
      take_names(line.label("waiting_lora_adapters"), out.waiting_adapters);
    }
    if (!std::isfinite(line.value)) return;
    for (std::size_t i = 0; i < kSources.size(); ++i) {
      if (kSources[i].name != name) continue;
      gathered[i].sum += line.value;
      ++gathered[i].count;
    }
  });
  for (const int rank : {1, 0}) {
    for (std::size_t i = 0; i < kSources.size(); ++i) {
      if (kSources[i].rank != rank || gathered[i].count == 0) continue;
      const double value = kSources[i].mean ? gathered[i].sum / gathered[i].count : gathered[i].sum;
      if (std::isfinite(value)) out.*kSources[i].member = value;
    }
  }
  return out;
}

const std::vector<VllmFigure>& vllm_figure_table() {
  static const std::vector<VllmFigure> table{
      {"requests_running", "Requests that the engine works on.", false, &VllmFigures::running},
      {"requests_waiting", "Requests that wait inside the engine.", false, &VllmFigures::waiting},
      {"kv_cache_usage_ratio", "Share of the KV cache in use.", false, &VllmFigures::kv_cache_usage},
      {"prefix_cache_queries", "Tokens looked up in the engine's prefix cache.", true,
       &VllmFigures::prefix_cache_queries},
      {"prefix_cache_hits", "Tokens found in the engine's prefix cache.", true, &VllmFigures::prefix_cache_hits},
      {"prompt_tokens", "Prompt tokens that the engine has seen.", true, &VllmFigures::prompt_tokens},
      {"generation_tokens", "Tokens that the engine has generated.", true, &VllmFigures::generation_tokens},
      {"preemptions", "Requests that the engine put back for want of KV cache.", true, &VllmFigures::preemptions},
      {"requests_finished", "Requests that the engine has answered.", true, &VllmFigures::finished},
      {"time_to_first_token_seconds_sum", "Time to the first token, inside the engine.", true,
       &VllmFigures::time_to_first_token_sum},
      {"time_to_first_token_seconds_count", "Requests that had a first token.", true,
       &VllmFigures::time_to_first_token_count},
      {"inter_token_latency_seconds_sum", "Time between two tokens, inside the engine.", true,
       &VllmFigures::inter_token_latency_sum},
      {"inter_token_latency_seconds_count", "Tokens after the first one.", true,
       &VllmFigures::inter_token_latency_count},
      {"request_latency_seconds_sum", "Time from arrival to end, inside the engine.", true,
       &VllmFigures::request_latency_sum},
      {"request_latency_seconds_count", "Requests that ended.", true, &VllmFigures::request_latency_count},
      {"healthy", "1: the engine calls itself healthy.", false, &VllmFigures::healthy},
  };
  return table;
}

json::object to_json(const VllmFigures& figures) {
  json::object out;
  for (const auto& figure : vllm_figure_table()) {
    if (const auto value = figures.*figure.member) out[figure.name] = *value;
  }
  if (!figures.sleep_state.empty()) out["sleep_state"] = figures.sleep_state;
  const auto names = [](const std::set<std::string>& set) { return json::array(set.begin(), set.end()); };
  out["adapters_running"] = names(figures.running_adapters);
  out["adapters_waiting"] = names(figures.waiting_adapters);
  return out;
}

}  // namespace llm::engines
