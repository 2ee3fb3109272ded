#include "engines/memory_ledger.h"

#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace llm::engines {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t kMiB = 1 << 20;

class MachineTest : public ::testing::Test {
 protected:
  MachineTest() {
    std::string pattern = (fs::temp_directory_path() / "llm-ledger-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    write("proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 100 kB\nMemAvailable:   4194304 kB\n");
  }
  ~MachineTest() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::pair<std::uint64_t, std::uint64_t> read() const {
    const auto memory = read_system_memory(root_);
    return {memory.total / kMiB, memory.available / kMiB};
  }
  fs::path root_;
};

TEST_F(MachineTest, WithoutContainer) {
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(8192, 4096)));
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(8192, 4096)));
}

TEST_F(MachineTest, TheTightestGroupCountsAndCachedFilesAreFree) {
  write("proc/self/cgroup", "0::/pod/container\n");
  write("sys/fs/cgroup/pod/memory.max", std::to_string(4096 * kMiB));
  write("sys/fs/cgroup/pod/memory.current", std::to_string(100 * kMiB));
  write("sys/fs/cgroup/pod/container/memory.max", std::to_string(2048 * kMiB));
  write("sys/fs/cgroup/pod/container/memory.current", std::to_string(2040 * kMiB));
  write("sys/fs/cgroup/pod/container/memory.stat", "anon 1\nfile 5\ninactive_file " + std::to_string(1000 * kMiB) +
                                                       "\nactive_file " + std::to_string(500 * kMiB) + "\n");
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(2048, 2048 - 540)));
  write("sys/fs/cgroup/pod/container/memory.max", "max\n");
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(4096, 3996)));
}

TEST_F(MachineTest, InsideAContainerTheMountIsItsOwnGroup) {
  write("proc/self/cgroup", "0::/../../somewhere/else\n");
  write("sys/fs/cgroup/memory.max", std::to_string(1024 * kMiB));
  write("sys/fs/cgroup/memory.current", std::to_string(24 * kMiB));
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(1024, 1000)));
}

TEST_F(MachineTest, OlderHostsHaveVersionOne) {
  write("proc/self/cgroup", "9:name=systemd:/x\n8:memory:/box\n4:cpu,cpuacct:/y\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", std::to_string(512 * kMiB));
  write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", std::to_string(300 * kMiB));
  write("sys/fs/cgroup/memory/box/memory.stat", "total_inactive_file " + std::to_string(100 * kMiB) + "\n");
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(512, 312)));
}

TEST_F(MachineTest, NonsenseLimitsNothing) {
  write("proc/self/cgroup", "garbage\n0:\n\n0::relative\n");
  EXPECT_EQ(read(), (std::pair<std::uint64_t, std::uint64_t>(8192, 4096)));
}

std::uint64_t missing_host(const MemoryLedger& ledger, std::uint64_t wanted, const SystemMemory& memory,
                           std::span<const std::string> gone = {}) {
  return ledger.missing({.host = wanted}, {.host = memory}, gone).host;
}

TEST(MemoryLedger, ALimitIsSharedByReservations) {
  MemoryLedger ledger(1000);
  const SystemMemory memory{100, 0};  // the limit alone counts
  EXPECT_EQ(missing_host(ledger, 1000, memory), 0U);
  EXPECT_EQ(missing_host(ledger, 1001, memory), 1U);
  ledger.reserve("a", {.host = 600});
  EXPECT_EQ(missing_host(ledger, 500, memory), 100U);
  ledger.measured("a", 800);  // it took more than it said
  EXPECT_EQ(missing_host(ledger, 500, memory), 300U);
  ledger.measured("a", 10);
  EXPECT_EQ(missing_host(ledger, 500, memory), 100U);
  EXPECT_EQ(ledger.reserved("a").host, 600U);
  EXPECT_EQ(ledger.reserved_total().host, 600U);
  const std::string gone[] = {"a"};
  EXPECT_EQ(missing_host(ledger, 500, memory, gone), 0U);
  ledger.release("a");
  EXPECT_EQ(missing_host(ledger, 1000, memory), 0U);
  EXPECT_TRUE(ledger.reserved("a").empty());
}

TEST(MemoryLedger, WithoutLimitWhatIsFreeAndNotPromisedCounts) {
  MemoryLedger ledger(0);
  const SystemMemory memory{4096 * kMiB, 1256 * kMiB};  // 256 MiB stay with the rest of the machine
  EXPECT_EQ(missing_host(ledger, 1000 * kMiB, memory), 0U);
  EXPECT_EQ(missing_host(ledger, 1001 * kMiB, memory), kMiB);
  ledger.reserve("a", {.host = 600 * kMiB});  // nothing of it is used yet
  EXPECT_EQ(missing_host(ledger, 1000 * kMiB, memory), 600 * kMiB);
  ledger.measured("a", 400 * kMiB);  // which the system no longer counts as free
  EXPECT_EQ(missing_host(ledger, 1000 * kMiB, memory), 200 * kMiB);
  const std::string gone[] = {"a"};
  EXPECT_EQ(missing_host(ledger, 1400 * kMiB, memory, gone), 0U);
  EXPECT_EQ(missing_host(ledger, 1401 * kMiB, memory, gone), kMiB);
  EXPECT_EQ(missing_host(ledger, 10, SystemMemory{}), 10U);
}

MachineMemory two_gpus(std::uint64_t used_0, std::uint64_t used_1) {
  return {.gpus = {{.index = 0, .memory_total = 1000, .memory_used = used_0, .measured = true},
                   {.index = 1, .memory_total = 1000, .memory_used = used_1, .measured = true}}};
}
MemoryDemand on(std::uint32_t device, std::uint64_t bytes) {
  return {.devices = {{device, bytes}}};
}

TEST(MemoryLedger, EachGpuHasItsOwnAccount) {
  MemoryLedger ledger(1);
  auto machine = two_gpus(100, 0);  // somebody else's
  ledger.observe(machine);
  EXPECT_TRUE(ledger.missing(on(0, 900), machine).empty());
  EXPECT_EQ(ledger.missing(on(0, 901), machine), on(0, 1));
  ledger.reserve("a", on(0, 500));
  EXPECT_EQ(ledger.missing(on(0, 500), machine), on(0, 100));
  EXPECT_TRUE(ledger.missing(on(1, 1000), machine).empty());
  machine = two_gpus(600, 0);  // it has loaded: the same bytes, seen by the driver
  ledger.observe(machine);
  EXPECT_TRUE(ledger.missing(on(0, 400), machine).empty());
  EXPECT_EQ(ledger.device_use("a", machine), (std::map<std::uint32_t, std::uint64_t>{{0, 500}}));
  machine = two_gpus(700, 0);  // more than it said, or the others grew: not free in any case
  EXPECT_EQ(ledger.missing(on(0, 400), machine), on(0, 100));
  const std::string gone[] = {"a"};
  EXPECT_TRUE(ledger.missing(on(0, 800), machine, gone).empty());
  EXPECT_EQ(ledger.missing(on(0, 801), machine, gone), on(0, 1));
  EXPECT_EQ(ledger.gpus(machine, gone)[0].memory_used, 200U);
  EXPECT_EQ(ledger.missing(on(7, 1), machine), on(7, 1));  // there is none
}

TEST(MemoryLedger, OfTwoOnOneGpuNobodyCanTellWhoUsesWhat) {
  MemoryLedger ledger(1);
  const auto machine = two_gpus(800, 0);
  ledger.reserve("a", on(0, 300));
  ledger.reserve("b", on(0, 300));
  EXPECT_TRUE(ledger.device_use("a", machine).empty());
}

TEST(MemoryLedger, WhatAnAdoptedEngineUsesIsNotTakenTwice) {
  MemoryLedger ledger(1);
  const auto machine = two_gpus(900, 0);  // 850 of it are an engine's that an earlier gateway left
  ledger.observe(machine);
  ledger.adopt("a", on(0, 850));
  ledger.observe(machine);
  EXPECT_TRUE(ledger.missing(on(0, 100), machine).empty());
  const std::string gone[] = {"a"};
  EXPECT_TRUE(ledger.missing(on(0, 950), machine, gone).empty());
}

}  // namespace
}  // namespace llm::engines
