#include "engines/gpu/gpu_inventory.h"

#include <dlfcn.h>
#include <filesystem>
#include <gmock/gmock.h>

namespace llm::engines {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kGiB = 1ULL << 30;

// The stand-in lies beside the test program.
std::string stand_in() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libnvml_stand_in.so";
}

class NvmlStandIn : public testing::Test {
 protected:
  NvmlStandIn() : handle_(dlopen(stand_in().c_str(), RTLD_NOW)) {
    EXPECT_NE(handle_, nullptr) << dlerror();
    set(2, 0, -1);
  }
  ~NvmlStandIn() override { dlclose(handle_); }

  void set(unsigned int count, int init, int lost) {
    reinterpret_cast<void (*)(unsigned int, int, int)>(dlsym(handle_, "stand_in_set"))(count, init, lost);
  }
  int running() { return reinterpret_cast<int (*)()>(dlsym(handle_, "stand_in_running"))(); }

 private:
  void* handle_;
};

std::map<std::string, GpuSettings> configured(const std::vector<std::pair<std::string, std::uint64_t>>& gpus) {
  std::map<std::string, GpuSettings> out;
  for (const auto& [key, gib] : gpus) out[key] = {"card " + key, {gib * kGiB}};
  return out;
}

TEST_F(NvmlStandIn, IsAskedForEverything) {
  const GpuInventory inventory({}, stand_in());
  EXPECT_TRUE(inventory.measures());
  const auto gpus = inventory.read();
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_EQ(gpus[0], (Gpu{.index = 0,
                          .uuid = "GPU-00000000-0000-0000-0000-000000000000",
                          .name = std::string(96, 'N'),
                          .memory_total = 80 * kGiB,
                          .memory_used = 1 * kGiB,
                          .utilization = 37,
                          .temperature = 54,
                          .measured = true}));
  EXPECT_EQ(gpus[1].index, 1U);
  EXPECT_EQ(gpus[1].memory_used, 2 * kGiB);
  EXPECT_EQ(gpus[1].utilization, -1) << "this board does not tell";
}

TEST_F(NvmlStandIn, IsShutDownOnceForEachStart) {
  EXPECT_EQ(running(), 0);
  {
    const GpuInventory inventory({}, stand_in());
    EXPECT_EQ(running(), 1);
    EXPECT_THAT(inventory.read(), SizeIs(2));
    EXPECT_EQ(running(), 1);
  }
  EXPECT_EQ(running(), 0);
}

TEST_F(NvmlStandIn, ALostGpuIsLeftOutAndTheOthersKeepTheirIndexes) {
  set(3, 0, 1);
  const auto gpus = GpuInventory({}, stand_in()).read();
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_EQ(gpus[0].index, 0U);
  EXPECT_EQ(gpus[1].index, 2U);
}

TEST_F(NvmlStandIn, NamesOfTheConfigurationHoldButNotItsMemory) {
  const auto gpus =
      GpuInventory(configured({{"1", 3}, {"GPU-00000000-0000-0000-0000-000000000000", 4}}), stand_in()).read();
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_EQ(gpus[0].name, "card GPU-00000000-0000-0000-0000-000000000000");
  EXPECT_EQ(gpus[1].name, "card 1");
  EXPECT_EQ(gpus[1].memory_total, 80 * kGiB);
}

TEST_F(NvmlStandIn, WithoutADriverTheConfigurationSpeaks) {
  set(2, 9, -1);
  const GpuInventory inventory(configured({{"1", 24}, {"0", 48}}), stand_in());
  EXPECT_FALSE(inventory.measures());
  const auto gpus = inventory.read();
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_EQ(gpus[0], (Gpu{.index = 0, .name = "card 0", .memory_total = 48 * kGiB}));
  EXPECT_EQ(gpus[1].memory_total, 24 * kGiB);
  EXPECT_EQ(running(), 0);
}

TEST(GpuInventory, WithoutTheLibraryTheConfigurationSpeaks) {
  EXPECT_FALSE(GpuInventory({}, "/nonexistent/libnvidia-ml.so.1").measures());
  EXPECT_THAT(GpuInventory({}, "/nonexistent/libnvidia-ml.so.1").read(), IsEmpty());
  // A library that lacks the functions is none.
  EXPECT_FALSE(GpuInventory({}, "libm.so.6").measures());
}

TEST(GpuInventory, EntriesWithUuidsTakeTheIndexesThatAreLeft) {
  const auto gpus = GpuInventory(configured({{"1", 1}, {"GPU-b", 3}, {"GPU-a", 2}}), "/nonexistent").read();
  ASSERT_THAT(gpus, SizeIs(3));
  EXPECT_EQ(gpus[0].uuid, "GPU-a");
  EXPECT_EQ(gpus[0].index, 0U);
  EXPECT_EQ(gpus[1].uuid, "");
  EXPECT_EQ(gpus[2].uuid, "GPU-b");
  EXPECT_EQ(gpus[2].index, 2U);
}

TEST(GpuSettings, NeedTheirMemory) {
  const auto bad = json::decode<GpuSettings>(*json::parse(R"({"name":"A100"})"));
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, testing::HasSubstr("memory"));
  EXPECT_EQ(json::decode<GpuSettings>(*json::parse(R"({"memory":"80GiB"})"))->memory.bytes, 80 * kGiB);
}

}  // namespace
}  // namespace llm::engines
