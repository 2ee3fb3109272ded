#include "observe/process_metrics.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

#include "base/strings.h"

namespace llm::observe {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Fields of /proc/<pid>/stat by their number in proc(5). The second is the program's name in parentheses, which may
// itself hold spaces and parentheses, so counting starts behind the last one.
class StatFields {
 public:
  explicit StatFields(std::string_view text) {
    const auto name_end = text.rfind(')');
    if (name_end != std::string_view::npos && name_end + 2 < text.size())
      fields_ = split(text.substr(name_end + 2), ' ');
  }
  std::optional<double> get(std::size_t number) const {
    constexpr std::size_t kFirst = 3;
    if (number - kFirst >= fields_.size()) return std::nullopt;
    const auto value = parse_number<std::uint64_t>(trim(fields_[number - kFirst]));
    if (!value) return std::nullopt;
    return static_cast<double>(*value);
  }

 private:
  std::vector<std::string_view> fields_;
};

// Seconds since 1970 at which the machine started.
std::optional<double> boot_time(const std::string& proc) {
  const std::string text = read_file(proc + "/stat");
  for (const auto line : split(text, '\n')) {
    if (!line.starts_with("btime ")) continue;
    if (const auto seconds = parse_number<std::uint64_t>(line.substr(6))) return static_cast<double>(*seconds);
  }
  return std::nullopt;
}

std::optional<double> count_open_fds(const std::string& proc) {
  std::error_code error;
  std::filesystem::directory_iterator entry(proc + "/self/fd", error);
  double count = 0;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  if (error || count == 0) return std::nullopt;
  return count - 1;  // without the one that reads the folder
}

}  // namespace

std::vector<MetricSample> process_metrics(const std::string& proc) {
  std::vector<MetricSample> samples;
  const auto add = [&samples](std::string name, std::string help, std::optional<double> value,
                              bool is_counter = false) {
    if (value) samples.push_back({std::move(name), std::move(help), is_counter, *value});
  };
  const std::string stat_text = read_file(proc + "/self/stat");
  const StatFields stat(stat_text);
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page_bytes = static_cast<double>(sysconf(_SC_PAGESIZE));

  const auto user = stat.get(14);
  const auto system = stat.get(15);
  if (user && system) {
    add("process_cpu_seconds_total", "User and system CPU time of the gateway process, without engines, in seconds.",
        (*user + *system) / ticks_per_second, true);
  }
  if (const auto pages = stat.get(24)) {
    add("process_resident_memory_bytes", "Resident memory of the gateway process, without engines.",
        *pages * page_bytes);
  }
  add("process_virtual_memory_bytes", "Virtual memory of the gateway process.", stat.get(23));
  add("process_threads", "Threads of the gateway process.", stat.get(20));
  const auto started_ticks = stat.get(22);
  const auto booted = boot_time(proc);
  if (started_ticks && booted) {
    add("process_start_time_seconds", "Start time of the process in seconds since 1970.",
        *booted + *started_ticks / ticks_per_second);
  }
  add("process_open_fds", "Open file descriptors.", count_open_fds(proc));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add("process_max_fds", "Most file descriptors the process may open.", static_cast<double>(limit.rlim_cur));
  }
  return samples;
}

}  // namespace llm::observe
