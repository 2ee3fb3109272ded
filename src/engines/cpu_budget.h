#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace llm::engines {

// What the machine offers this process, in cores. A core is a physical one: two hyper-threads of a core share the
// units that matrix multiplication keeps busy.
struct CpuFacts {
  int online_cores = 1;               // of the whole machine
  int usable_cores = 1;               // those that the affinity mask (taskset, cpuset) allows
  std::optional<double> quota_cores;  // the tightest cgroup v1 or v2 CPU quota from our group up to the root
  std::optional<double> load;         // the machine's load average over one minute
  std::optional<double> stalled;      // pressure stall information: percent of the last 10 s somebody waited for a CPU
  friend bool operator==(const CpuFacts&, const CpuFacts&) = default;
};

// Reads /proc and /sys below `root`; what is missing keeps its default, so it never fails. A few hundred microseconds
// of file reads: any thread, but not per request. Other systems than Linux get the hardware's thread count.
CpuFacts read_cpu_facts(const std::filesystem::path& root = "/");

struct CpuBudget {
  int threads = 1;        // for decoding (--threads)
  int threads_batch = 1;  // for prompts (--threads-batch)
  std::string reason;     // for logs and `doctor`: "2 of 2 cores"
};

// How many threads a CPU engine should use now. `own_load`: cores that this gateway's engines keep busy at the moment,
// which must not count as other people's work.
//
// The rule follows measurements (bench/engine_threads holds the table). Decoding one token crosses a barrier per
// layer operation, so one thread without a core stops all of them: with one other busy process on two cores, two
// threads decode at 0.4 times the speed of one, against 1.3 to 1.5 times when both cores are free. Hence as many decode
// threads as there are cores nobody else uses, where a core counts once others take less than about a third of it.
// Prompts have long stretches between barriers: two threads bring 1.9 times the speed when quiet and lose a tenth to a
// fifth when contended, so they get every core we may use, whatever the load of the moment is.
//
// The environment of the engine should hold no OMP_* or KMP_* variable: passive waiting decodes no faster under
// contention and a tenth slower in quiet, KMP_BLOCKTIME=0 costs 90 % of the decode speed.
CpuBudget cpu_budget(const CpuFacts& facts, double own_load = 0);

}  // namespace llm::engines
