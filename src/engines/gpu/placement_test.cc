#include <algorithm>
#include <gmock/gmock.h>

#include "engines/gpu/gpu_inventory.h"

namespace llm::engines {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kGiB = 1ULL << 30;

Gpu gpu(std::uint32_t index, std::uint64_t total, std::uint64_t used = 0, std::string name = "A") {
  return {.index = index,
          .uuid = "GPU-" + std::to_string(index),
          .name = std::move(name),
          .memory_total = total * kGiB,
          .memory_used = used * kGiB};
}

using Indexes = std::vector<std::uint32_t>;

TEST(Place, TakesTheFullestThatStillHasRoom) {
  const std::vector<Gpu> gpus{gpu(0, 80), gpu(1, 80, 30), gpu(2, 80, 60)};
  EXPECT_EQ(place(gpus, {}, {.bytes_each = 40 * kGiB}), Indexes{1});
  EXPECT_EQ(place(gpus, {}, {.bytes_each = 20 * kGiB}), Indexes{2});
  EXPECT_EQ(place(gpus, {}, {.bytes_each = 51 * kGiB}), Indexes{0});
  EXPECT_EQ(place(gpus, {}, {.bytes_each = 50 * kGiB}), Indexes{1}) << "exactly enough is enough";
}

TEST(Place, AShareIsOfTheWholeCard) {
  const std::vector<Gpu> gpus{gpu(0, 24), gpu(1, 80, 16)};
  EXPECT_EQ(place(gpus, {}, {.share = 0.9}), Indexes{0}) << "64 of 80 are not nine tenths";
  EXPECT_EQ(place(gpus, {}, {.share = 0.8}), Indexes{0});
  EXPECT_EQ(place(gpus, {{0, 10 * kGiB}}, {.share = 0.8}), Indexes{1});
}

TEST(Place, PromisesCountWhereTheyAreMoreThanWhatIsUsed) {
  const std::vector<Gpu> gpus{gpu(0, 80, 10), gpu(1, 80)};
  // The engine on 0 was promised 60 and has loaded 10 of them.
  EXPECT_EQ(place(gpus, {{0, 60 * kGiB}}, {.bytes_each = 20 * kGiB}), Indexes{0});
  EXPECT_EQ(place(gpus, {{0, 60 * kGiB}}, {.bytes_each = 21 * kGiB}), Indexes{1});
  EXPECT_EQ(place(gpus, {{1, 500 * kGiB}}, {.bytes_each = 60 * kGiB}), Indexes{0}) << "more than there is leaves none";
}

TEST(Place, SeveralAreOfOneKind) {
  const std::vector<Gpu> gpus{gpu(0, 24, 0, "B"), gpu(1, 80), gpu(2, 24, 0, "B"), gpu(3, 80)};
  EXPECT_EQ(place(gpus, {}, {.count = 2, .bytes_each = 20 * kGiB}), (Indexes{0, 2}));
  EXPECT_EQ(place(gpus, {}, {.count = 2, .bytes_each = 30 * kGiB}), (Indexes{1, 3}));
  const auto mixed = place(gpus, {}, {.count = 3, .bytes_each = 20 * kGiB});
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(mixed.error().message, HasSubstr("not of one kind"));
}

TEST(Place, OneNameWithTwoSizesIsTwoKinds) {
  const std::vector<Gpu> gpus{gpu(0, 40), gpu(1, 80), gpu(2, 80)};
  EXPECT_EQ(place(gpus, {}, {.count = 2, .bytes_each = 30 * kGiB}), (Indexes{1, 2}));
}

TEST(Place, TheFullestPairOfAKind) {
  const std::vector<Gpu> gpus{gpu(0, 80), gpu(1, 80, 20), gpu(2, 80, 5), gpu(3, 80, 40)};
  EXPECT_EQ(place(gpus, {}, {.count = 2, .bytes_each = 30 * kGiB}), (Indexes{1, 3}));
  EXPECT_EQ(place(gpus, {}, {.count = 2, .bytes_each = 45 * kGiB}), (Indexes{1, 2}));
  EXPECT_EQ(place(gpus, {}, {.count = 4, .bytes_each = 40 * kGiB}), (Indexes{0, 1, 2, 3}));
}

TEST(Place, TooLittleRoomSaysWhatThereIs) {
  const std::vector<Gpu> gpus{gpu(0, 80, 30), gpu(1, 80, 70)};
  const auto none = place(gpus, {}, {.count = 2, .bytes_each = 45 * kGiB});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(none.error().message, HasSubstr("2 GPUs wanted, 1 of 2 have room"));
  EXPECT_THAT(none.error().message, HasSubstr("GPU 0 (A): 50.0 GiB free of 80.0 GiB, 45.0 GiB needed"));
  EXPECT_THAT(none.error().message, HasSubstr("GPU 1 (A): 10.0 GiB free"));
  const auto empty = place({}, {}, {});
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("There is no GPU"));
}

TEST(Place, NoneWantedIsNoneGiven) {
  EXPECT_THAT(place({}, {}, {.count = 0}).value(), IsEmpty());
}

TEST(Place, NamedOnesInTheirOrder) {
  const std::vector<Gpu> gpus{gpu(0, 24, 0, "B"), gpu(1, 80), gpu(3, 80)};
  EXPECT_EQ(place(gpus, {}, {.count = 2, .bytes_each = kGiB, .named = {"3", "0"}}), (Indexes{3, 0}));
  EXPECT_EQ(place(gpus, {}, {.count = 1, .bytes_each = kGiB, .named = {"GPU-1"}}), Indexes{1});
}

TEST(Place, NamedOnesThatCannotBe) {
  const std::vector<Gpu> gpus{gpu(0, 80, 79), gpu(1, 80)};
  EXPECT_EQ(place(gpus, {}, {.named = {"7"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(place(gpus, {}, {.named = {"GPU-none"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(place(gpus, {}, {.count = 2, .named = {"1"}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(place(gpus, {}, {.count = 2, .named = {"1", "GPU-1"}}).error().code, ErrorCode::kInvalidArgument);
  const auto full = place(gpus, {}, {.bytes_each = 2 * kGiB, .named = {"0"}});
  EXPECT_EQ(full.error().code, ErrorCode::kInsufficientMemory);
  EXPECT_THAT(full.error().message, HasSubstr("1.0 GiB free"));
}

// Every combination of four cards of two kinds with 0, 1 or 2 units taken: what comes out is right by definition, and
// nothing comes out only if there is nothing.
TEST(Place, EveryCombinationOfFourCards) {
  for (int kinds = 0; kinds < 16; ++kinds) {
    for (int taken = 0; taken < 81; ++taken) {
      std::vector<Gpu> gpus;
      for (int i = 0, rest = taken; i < 4; ++i, rest /= 3) {
        gpus.push_back(gpu(i, 3, rest % 3, (kinds >> i) & 1 ? "A" : "B"));
      }
      for (std::uint32_t count = 1; count <= 4; ++count) {
        for (std::uint64_t need = 1; need <= 3; ++need) {
          const auto fits = [&](const Gpu& one) { return one.memory_total - one.memory_used >= need * kGiB; };
          std::map<std::string, std::uint32_t> room;
          for (const auto& one : gpus) room[one.name] += fits(one) ? 1 : 0;
          const bool possible = std::ranges::any_of(room, [count](const auto& kind) { return kind.second >= count; });
          const auto placed = place(gpus, {}, {.count = count, .bytes_each = need * kGiB});
          ASSERT_EQ(placed.has_value(), possible);
          if (!placed) continue;
          ASSERT_EQ(placed->size(), count);
          ASSERT_TRUE(std::ranges::is_sorted(*placed));
          ASSERT_EQ(std::ranges::adjacent_find(*placed), placed->end());
          for (const auto index : *placed) {
            ASSERT_TRUE(fits(gpus[index]));
            ASSERT_EQ(gpus[index].name, gpus[placed->front()].name);
          }
          // No exchange of one chosen card for another of its kind leaves emptier cards untouched.
          for (const auto index : *placed) {
            for (const auto& other : gpus) {
              const bool chosen = std::ranges::find(*placed, other.index) != placed->end();
              if (chosen || !fits(other) || other.name != gpus[index].name) continue;
              ASSERT_GE(other.memory_total - other.memory_used, gpus[index].memory_total - gpus[index].memory_used);
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace llm::engines
