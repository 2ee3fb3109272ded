#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace llm::router {

// Which of up to 64 replicas has been given which blocks of prompts (prompt_blocks.h): a guess at what their prefix
// caches hold. Bounded: the block that was used longest ago among eight makes room. Thread-safe without locks: every
// word is atomic by itself, and a reader that meets a slot while it changes hands gets a wrong hint, which costs a
// prompt that is computed anew and nothing else.
class PrefixIndex {
 public:
  static constexpr std::size_t kBlocks = 1U << 17U;  // 32 bytes each; of 32 MiB of prompt text
  static constexpr unsigned kMostReplicas = 64;
  explicit PrefixIndex(std::size_t blocks = kBlocks);

  struct Match {
    std::size_t blocks = 0;     // how many of the first are held
    std::uint64_t holders = 0;  // by whom, one bit each; 0 if blocks is 0
    std::uint64_t ends = 0;     // those of them to whom no prompt came yet that goes on from there
  };
  // The longest beginning that one of `among` holds. Takes a logarithm of looks, and no memory.
  Match longest(std::span<const std::uint64_t> blocks, std::uint64_t among) const;

  // `replica` gets that prompt. `held`: how many of the first blocks it is known to hold.
  void learn(std::span<const std::uint64_t> blocks, unsigned replica, std::size_t held);
  // Its cache is gone. Looks at everything: for rare occasions.
  void forget(unsigned replica);
  std::int64_t held(unsigned replica) const { return held_[replica].load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kWays = 8;
  struct alignas(64) Bucket {
    std::atomic<std::uint64_t> keys[kWays];  // 0: empty
    std::atomic<std::uint64_t> holders[kWays];
    std::atomic<std::uint64_t> continued[kWays];  // those of the holders that hold a block after it
    std::atomic<std::uint32_t> used[kWays];       // clock_ at the last use
  };
  struct Slot {
    Bucket* bucket = nullptr;
    std::size_t way = 0;
  };

  Bucket& bucket_of(std::uint64_t key) const { return buckets_[(key >> 32U) & mask_]; }
  Slot find(std::uint64_t key) const;
  Slot find_or_take(std::uint64_t key);
  void count(std::uint64_t holders, int change);
  std::uint32_t age(const Slot& slot) const;

  std::size_t mask_;
  std::unique_ptr<Bucket[]> buckets_;
  std::atomic<std::uint32_t> clock_{0};  // blocks taken in so far
  std::atomic<std::int64_t> held_[kMostReplicas] = {};
};

}  // namespace llm::router
