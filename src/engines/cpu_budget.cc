#include "engines/cpu_budget.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "base/strings.h"

namespace llm::engines {
namespace {

namespace fs = std::filesystem;

constexpr int kMostThreads = 512;         // llama.cpp's own limit (GGML_MAX_N_THREADS)
constexpr int kMostCpus = 8192;           // Linux's largest NR_CPUS; a list beyond it is nonsense
constexpr double kTolerableShare = 0.36;  // a core counts as free while others use less of it than this
constexpr double kStalledPercent = 25;    // pressure above which the load average is taken to lag behind

std::optional<std::string> read_text(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::optional<double> to_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data() || !std::isfinite(value) || value < 0) return std::nullopt;
  return value;
}

// "0-3,8" → {0,1,2,3,8}: the kernel's list format (cpuset(7)).
std::vector<int> parse_cpu_list(std::string_view list) {
  std::vector<int> cpus;
  for (const auto part : split(trim(list), ',')) {
    const auto dash = part.find('-');
    const auto first = parse_number<int>(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number<int>(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last >= kMostCpus) continue;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

// CPUs that name the same siblings are one core; without topology each is its own.
int count_cores(const fs::path& cpu_dir, const std::vector<int>& cpus) {
  std::set<std::string> cores;
  for (const int cpu : cpus) {
    const auto topology = cpu_dir / fmt::format("cpu{}", cpu) / "topology";
    auto siblings = read_text(topology / "core_cpus_list");
    if (!siblings) siblings = read_text(topology / "thread_siblings_list");
    cores.insert(siblings ? first_line(*siblings) : std::to_string(cpu));
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

// "Cpus_allowed_list:\t0-1" of /proc/self/status: the same set as sched_getaffinity(2), without its size limit.
std::vector<int> allowed_cpus(const fs::path& root) {
  constexpr std::string_view kKey = "Cpus_allowed_list:";
  const auto status = read_text(root / "proc/self/status");
  if (!status) return {};
  const auto at = status->find(kKey);
  if (at == std::string::npos) return {};
  return parse_cpu_list(first_line(status->substr(at + kKey.size())));
}

// cpu.max: "200000 100000" or "max 100000", microseconds per period (kernel docs, cgroup-v2).
std::optional<double> quota_v2(const fs::path& group) {
  const auto text = read_text(group / "cpu.max");
  if (!text) return std::nullopt;
  const auto line = first_line(*text);
  const auto space = line.find(' ');
  if (space == std::string::npos) return std::nullopt;
  const auto quota = to_double(std::string_view(line).substr(0, space));
  const auto period = to_double(std::string_view(line).substr(space + 1));
  if (!quota || !period || *period <= 0 || *quota <= 0) return std::nullopt;
  return *quota / *period;
}

// cpu.cfs_quota_us is -1 without a limit.
std::optional<double> quota_v1(const fs::path& group) {
  const auto quota = read_text(group / "cpu.cfs_quota_us");
  const auto period = read_text(group / "cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  const auto quota_us = to_double(first_line(*quota));
  const auto period_us = to_double(first_line(*period));
  if (!quota_us || !period_us || *period_us <= 0 || *quota_us <= 0) return std::nullopt;
  return *quota_us / *period_us;
}

// The smallest quota of the group and all above it. In a container without a cgroup namespace the path is the host's
// and its lower levels are not there; the mount's top is then the container's own group.
void tighten(std::optional<double>& tightest, const fs::path& mount, std::string_view group,
             std::optional<double> (*quota_of)(const fs::path&)) {
  fs::path level = mount;
  const auto consider = [&] {
    if (const auto quota = quota_of(level)) tightest = std::min(tightest.value_or(*quota), *quota);
  };
  consider();
  for (const auto part : split(group, '/')) {
    if (part.empty() || part == "..") continue;
    level /= part;
    consider();
  }
}

std::optional<double> cgroup_quota(const fs::path& root) {
  const auto groups = read_text(root / "proc/self/cgroup");
  if (!groups) return std::nullopt;
  const fs::path mount = root / "sys/fs/cgroup";
  std::optional<double> tightest;
  for (const auto line : split(*groups, '\n')) {  // hierarchy:controllers:path, cgroups(7)
    const auto first = line.find(':');
    const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const auto group = line.substr(second + 1);
    if (controllers.empty()) {
      tighten(tightest, mount, group, quota_v2);
      tighten(tightest, mount / "unified", group, quota_v2);
    } else if (const auto names = split(controllers, ','); std::ranges::find(names, "cpu") != names.end()) {
      tighten(tightest, mount / controllers, group, quota_v1);
      if (controllers != "cpu") tighten(tightest, mount / "cpu", group, quota_v1);
    }
  }
  return tightest;
}

std::optional<double> load_average(const fs::path& root) {
  const auto text = read_text(root / "proc/loadavg");
  return text ? to_double(*text) : std::nullopt;
}

// "some avg10=1.23 avg60=..." (kernel docs, accounting/psi)
std::optional<double> pressure(const fs::path& root) {
  constexpr std::string_view kKey = "some avg10=";
  const auto text = read_text(root / "proc/pressure/cpu");
  if (!text || !text->starts_with(kKey)) return std::nullopt;
  return to_double(std::string_view(*text).substr(kKey.size()));
}

int at_least_one(double cores) {
  return std::clamp(static_cast<int>(cores), 1, kMostThreads);
}

}  // namespace

CpuFacts read_cpu_facts(const fs::path& root) {
  CpuFacts facts;
  const fs::path cpu_dir = root / "sys/devices/system/cpu";
  std::vector<int> online;
  if (const auto list = read_text(cpu_dir / "online")) online = parse_cpu_list(first_line(*list));
  std::vector<int> usable = allowed_cpus(root);
  if (online.empty()) online = usable;
  if (usable.empty()) usable = online;
  if (usable.empty()) {
    facts.online_cores = facts.usable_cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  } else {
    facts.online_cores = count_cores(cpu_dir, online);
    facts.usable_cores = count_cores(cpu_dir, usable);
  }
  facts.quota_cores = cgroup_quota(root);
  facts.load = load_average(root);
  facts.stalled = pressure(root);
  return facts;
}

CpuBudget cpu_budget(const CpuFacts& facts, double own_load) {
  const double allowed = std::min<double>(facts.usable_cores, facts.quota_cores.value_or(facts.usable_cores));
  // Load beyond what the rest of the machine can carry falls on our cores.
  const double others = std::max(0.0, facts.load.value_or(0) - std::max(0.0, own_load));
  double free = std::min(allowed, facts.online_cores - others);
  const bool lagging = facts.stalled.value_or(0) >= kStalledPercent && free > allowed - 1 && own_load <= 0;
  if (lagging) free = allowed - 1;

  CpuBudget budget;
  budget.threads = at_least_one(free + kTolerableShare);
  budget.threads_batch = std::max(budget.threads, at_least_one(std::round(allowed)));
  budget.reason = fmt::format("{} of {} cores", budget.threads, facts.online_cores);
  if (facts.usable_cores < facts.online_cores) {
    budget.reason += fmt::format(", {} allowed by the affinity mask", facts.usable_cores);
  }
  if (facts.quota_cores && *facts.quota_cores < facts.usable_cores) {
    budget.reason += fmt::format(", cgroup quota {:.1f}", *facts.quota_cores);
  }
  if (budget.threads < at_least_one(allowed + kTolerableShare)) {
    budget.reason += lagging ? fmt::format(", others wait for a CPU {:.0f} % of the time", facts.stalled.value_or(0))
                             : fmt::format(", others use {:.1f}", others);
  }
  if (budget.threads_batch != budget.threads) budget.reason += fmt::format("; {} for prompts", budget.threads_batch);
  return budget;
}

}  // namespace llm::engines
