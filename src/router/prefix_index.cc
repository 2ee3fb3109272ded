#include "router/prefix_index.h"

#include <algorithm>
#include <bit>

namespace llm::router {
namespace {

// 0 stands for an empty slot.
std::uint64_t key_of(std::uint64_t hash) {
  return hash == 0 ? 1 : hash;
}

}  // namespace

PrefixIndex::PrefixIndex(std::size_t blocks)
    : mask_(std::bit_ceil(std::max<std::size_t>(1, blocks / kWays)) - 1),
      buckets_(std::make_unique<Bucket[]>(mask_ + 1)) {}

PrefixIndex::Slot PrefixIndex::find(std::uint64_t key) const {
  Bucket& bucket = bucket_of(key);
  for (std::size_t way = 0; way < kWays; ++way) {
    if (bucket.keys[way].load(std::memory_order_relaxed) == key) return {&bucket, way};
  }
  return {};
}

std::uint32_t PrefixIndex::age(const Slot& slot) const {
  return clock_.load(std::memory_order_relaxed) - slot.bucket->used[slot.way].load(std::memory_order_relaxed);
}

// Found, or a slot that now stands for `key` and that nobody holds.
PrefixIndex::Slot PrefixIndex::find_or_take(std::uint64_t key) {
  if (const Slot found = find(key); found.bucket) return found;
  Slot oldest{&bucket_of(key), 0};
  for (std::size_t way = 0; way < kWays; ++way) {
    const Slot slot{oldest.bucket, way};
    if (slot.bucket->keys[way].load(std::memory_order_relaxed) == 0) {
      oldest = slot;
      break;
    }
    if (age(slot) > age(oldest)) oldest = slot;
  }
  oldest.bucket->keys[oldest.way].store(key, std::memory_order_relaxed);
  oldest.bucket->continued[oldest.way].store(0, std::memory_order_relaxed);
  count(oldest.bucket->holders[oldest.way].exchange(0, std::memory_order_relaxed), -1);
  clock_.fetch_add(1, std::memory_order_relaxed);
  return oldest;
}

void PrefixIndex::count(std::uint64_t holders, int change) {
  for (; holders != 0; holders &= holders - 1) {
    held_[std::countr_zero(holders)].fetch_add(change, std::memory_order_relaxed);
  }
}

// Who holds a block holds those before it, so that "held" is true up to some block and false from there.
PrefixIndex::Match PrefixIndex::longest(std::span<const std::uint64_t> blocks, std::uint64_t among) const {
  Match best;
  std::size_t low = 0;  // so many are held
  std::size_t high = blocks.size();
  while (low < high) {
    const std::size_t middle = low + (high - low + 1) / 2;
    const Slot slot = find(key_of(blocks[middle - 1]));
    const std::uint64_t holders =
        slot.bucket ? slot.bucket->holders[slot.way].load(std::memory_order_relaxed) & among : 0;
    if (holders == 0) {
      high = middle - 1;
      continue;
    }
    low = middle;
    best = {middle, holders, holders & ~slot.bucket->continued[slot.way].load(std::memory_order_relaxed)};
  }
  return best;
}

void PrefixIndex::learn(std::span<const std::uint64_t> blocks, unsigned replica, std::size_t held) {
  const std::uint64_t bit = std::uint64_t{1} << replica;
  // What is in use must not become the oldest; but to say so of each block on every turn of a long conversation is
  // needless as long as little came in since.
  std::size_t first = 0;
  if (held > 0) {
    const Slot last = find(key_of(blocks[held - 1]));
    if (last.bucket && age(last) < (mask_ + 1) * kWays / 16) {
      first = held;
      if (held < blocks.size()) last.bucket->continued[last.way].fetch_or(bit, std::memory_order_relaxed);
    }
  }
  for (std::size_t i = first; i < blocks.size(); ++i) {
    const Slot slot = find_or_take(key_of(blocks[i]));
    slot.bucket->used[slot.way].store(clock_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    auto& holders = slot.bucket->holders[slot.way];
    if ((holders.load(std::memory_order_relaxed) & bit) == 0) {
      count(bit & ~holders.fetch_or(bit, std::memory_order_relaxed), 1);
    }
    auto& continued = slot.bucket->continued[slot.way];
    if (i + 1 < blocks.size() && (continued.load(std::memory_order_relaxed) & bit) == 0) {
      continued.fetch_or(bit, std::memory_order_relaxed);
    }
  }
}

void PrefixIndex::forget(unsigned replica) {
  const std::uint64_t bit = std::uint64_t{1} << replica;
  for (std::size_t i = 0; i <= mask_; ++i) {
    for (std::size_t way = 0; way < kWays; ++way) {
      count(bit & buckets_[i].holders[way].fetch_and(~bit, std::memory_order_relaxed), -1);
      buckets_[i].continued[way].fetch_and(~bit, std::memory_order_relaxed);
    }
  }
}

}  // namespace llm::router
