#pragma once

#include <string>
#include <vector>

#include "observe/metrics.h"

namespace llm::observe {

// What the kernel knows of this process, under the names that all Prometheus clients use: process_cpu_seconds_total,
// process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds, process_max_fds,
// process_start_time_seconds, process_threads. Read from `proc` at each call; what cannot be read is left out (all but
// max_fds on systems without /proc).
std::vector<MetricSample> process_metrics(const std::string& proc = "/proc");

}  // namespace llm::observe
