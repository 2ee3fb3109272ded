#include "engines/cpu_budget.h"

#include <fstream>
#include <gtest/gtest.h>

namespace llm::engines {
namespace {

namespace fs = std::filesystem;

// A made-up /proc and /sys.
class Machine {
 public:
  Machine() {
    std::string name = (fs::temp_directory_path() / "cpu_budget_test.XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~Machine() { fs::remove_all(root_); }
  Machine& file(const fs::path& path, std::string_view content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content;
    return *this;
  }
  Machine& cpus(int count, int threads_per_core = 1) {
    const std::string all = count == 1 ? "0\n" : "0-" + std::to_string(count - 1) + "\n";
    file("sys/devices/system/cpu/online", all);
    for (int cpu = 0; cpu < count; ++cpu) {
      const int cores = count / threads_per_core;
      file("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_cpus_list",
           threads_per_core == 1 ? std::to_string(cpu)
                                 : std::to_string(cpu % cores) + "," + std::to_string(cpu % cores + cores));
    }
    return affinity(all);
  }
  Machine& affinity(const std::string& list) {
    return file("proc/self/status",
                "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t" + list + "\nMems_allowed:\t1\n");
  }
  CpuFacts facts() const { return read_cpu_facts(root_); }

 private:
  fs::path root_;
};

TEST(CpuFacts, CountsCoresNotHyperThreads) {
  Machine machine;
  const auto facts = machine.cpus(16, 2).facts();
  EXPECT_EQ(facts.online_cores, 8);
  EXPECT_EQ(facts.usable_cores, 8);
  EXPECT_FALSE(facts.quota_cores);
  EXPECT_FALSE(facts.load);
  EXPECT_FALSE(facts.stalled);
}

TEST(CpuFacts, FollowsTheAffinityMask) {
  Machine machine;
  EXPECT_EQ(machine.cpus(16, 2).affinity("0-1,8,9").facts().usable_cores, 2);  // both threads of two cores
  EXPECT_EQ(machine.affinity("0-3").facts().usable_cores, 4);
  EXPECT_EQ(machine.affinity("5").facts().usable_cores, 1);
  EXPECT_EQ(machine.facts().online_cores, 8);
}

TEST(CpuFacts, TakesTheTightestQuotaOfCgroupV2) {
  Machine machine;
  machine.cpus(8).file("proc/self/cgroup", "0::/a/b\n");
  EXPECT_FALSE(machine.facts().quota_cores);
  machine.file("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_FALSE(machine.facts().quota_cores);
  machine.file("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(machine.facts().quota_cores, 2.5);
  machine.file("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
  EXPECT_EQ(machine.facts().quota_cores, 2.5);
  machine.file("sys/fs/cgroup/cpu.max", "50000 50000\n");
  EXPECT_EQ(machine.facts().quota_cores, 1);
}

TEST(CpuFacts, ReadsCgroupV1AlsoWhenThePathIsTheHosts) {
  Machine machine;
  machine.cpus(8)
      .file("proc/self/cgroup", "9:memory:/m\n4:cpu,cpuacct:/docker/0123\n3:cpuset:/\n0::/\n")
      .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n")
      .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(machine.facts().quota_cores, 1.5);
  machine.file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_FALSE(machine.facts().quota_cores);
}

TEST(CpuFacts, ReadsLoadAndPressure) {
  Machine machine;
  machine.cpus(2)
      .file("proc/loadavg", "1.25 0.80 0.40 3/120 999\n")
      .file("proc/pressure/cpu", "some avg10=12.50 avg60=0.43 avg300=0.31 total=9\nfull avg10=0.00 avg60=0 total=0\n");
  EXPECT_EQ(machine.facts().load, 1.25);
  EXPECT_EQ(machine.facts().stalled, 12.5);
}

TEST(CpuFacts, SurvivesNonsense) {
  Machine machine;
  machine.file("sys/devices/system/cpu/online", "5-2,x,-,99999999999,0-999999,,\n")
      .affinity("garbage")
      .file("proc/self/cgroup", "0\n::\n0::/../../x\n1:cpu:\n")
      .file("sys/fs/cgroup/cpu.max", "100000\n")
      .file("sys/fs/cgroup/x/cpu.max", "100000 0\n")
      .file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "nan\n")
      .file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "\n")
      .file("proc/loadavg", "-1")
      .file("proc/pressure/cpu", "some avg10=inf");
  const auto facts = machine.facts();
  EXPECT_GE(facts.usable_cores, 1);
  EXPECT_FALSE(facts.quota_cores);
  EXPECT_FALSE(facts.load);
  EXPECT_FALSE(facts.stalled);
  EXPECT_GE(Machine().facts().usable_cores, 1);  // nothing there at all
}

TEST(CpuFacts, ReadsThisMachine) {
  const auto facts = read_cpu_facts();
  EXPECT_GE(facts.usable_cores, 1);
  EXPECT_LE(facts.usable_cores, facts.online_cores);
  EXPECT_GE(cpu_budget(facts).threads, 1);
}

struct Row {
  const char* what;
  CpuFacts facts;
  double own_load;
  int threads, threads_batch;
  const char* reason;
};

TEST(CpuBudget, FollowsTheRule) {
  const Row rows[] = {
      {"quiet", {2, 2, {}, 0.2, 0.0}, 0, 2, 2, "2 of 2 cores"},
      {"no load known", {8, 8, {}, {}, {}}, 0, 8, 8, "8 of 8 cores"},
      {"one core taken", {2, 2, {}, 1.0, {}}, 0, 1, 2, "1 of 2 cores, others use 1.0; 2 for prompts"},
      {"just tolerable", {2, 2, {}, 0.35, {}}, 0, 2, 2, "2 of 2 cores"},
      {"just not", {2, 2, {}, 0.37, {}}, 0, 1, 2, "1 of 2 cores, others use 0.4; 2 for prompts"},
      {"swamped", {4, 4, {}, 40.0, 90.0}, 0, 1, 4, "1 of 4 cores, others use 40.0; 4 for prompts"},
      {"the load is our own", {4, 4, {}, 3.9, 50.0}, 4, 4, 4, "4 of 4 cores"},
      {"half quota", {8, 8, 0.5, 0.0, {}}, 0, 1, 1, "1 of 8 cores, cgroup quota 0.5"},
      {"quota and a half", {8, 8, 1.5, 0.0, {}}, 0, 1, 2, "1 of 8 cores, cgroup quota 1.5; 2 for prompts"},
      {"quota above the cores", {2, 2, 4.0, 0.0, {}}, 0, 2, 2, "2 of 2 cores"},
      {"others fit beside our quota", {64, 64, 4.0, 50.0, {}}, 0, 4, 4, "4 of 64 cores, cgroup quota 4.0"},
      {"mask", {8, 3, {}, 2.0, {}}, 0, 3, 3, "3 of 8 cores, 3 allowed by the affinity mask"},
      {"load lags",
       {4, 4, {}, 0.1, 60.0},
       0,
       3,
       4,
       "3 of 4 cores, others wait for a CPU 60 % of the time; 4 for prompts"},
      {"single core", {1, 1, {}, 5.0, 99.0}, 0, 1, 1, "1 of 1 cores"},
      {"huge", {4096, 4096, {}, 0.0, {}}, 0, 512, 512, "512 of 4096 cores"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.what);
    const auto budget = cpu_budget(row.facts, row.own_load);
    EXPECT_EQ(budget.threads, row.threads);
    EXPECT_EQ(budget.threads_batch, row.threads_batch);
    EXPECT_EQ(budget.reason, row.reason);
  }
}

}  // namespace
}  // namespace llm::engines
