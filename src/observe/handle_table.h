#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace llm::observe {

// Objects of type T by name, at most `kMost` of them, none ever removed; names beyond that share one object "other".
// Finding takes no lock: the slots only ever go from empty to filled. There are more than twice as many slots as
// entries, so probing always meets an empty one. `make(std::string name)` returns a unique_ptr<T>.
template <class T, std::size_t kMost>
class HandleTable {
 public:
  // Null when nobody added that name.
  T* find(std::string_view name) const {
    for (std::size_t slot = hash(name);; ++slot) {
      const Entry* entry = slots_[slot % kSlots].load(std::memory_order_acquire);
      if (entry == nullptr) return nullptr;
      if (entry->name == name) return entry->value.get();
    }
  }

  // The object of that name, made when there is none; other() when the table is full.
  template <class Make>
  T& find_or_add(std::string_view name, Make make) {
    if (T* found = find(name)) return *found;
    {
      const std::lock_guard lock(mutex_);
      if (T* found = find(name)) return *found;
      if (size_ < kMost) {
        entries_[size_] = std::make_unique<Entry>(Entry{std::string(name), make(std::string(name))});
        std::size_t slot = hash(name);
        while (slots_[slot % kSlots].load(std::memory_order_relaxed) != nullptr) ++slot;
        slots_[slot % kSlots].store(entries_[size_].get(), std::memory_order_release);
        return *entries_[size_++]->value;
      }
    }
    return other(make);
  }

  // The one that stands for all names without an object of their own; made when first asked for.
  template <class Make>
  T& other(Make make) {
    if (T* found = other_.load(std::memory_order_acquire)) return *found;
    const std::lock_guard lock(mutex_);
    if (!owned_other_) owned_other_ = make(std::string("other"));
    other_.store(owned_other_.get(), std::memory_order_release);
    return *owned_other_;
  }

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<T> value;
  };
  static constexpr std::size_t kSlots = 2 * kMost + 1;
  static std::size_t hash(std::string_view name) { return std::hash<std::string_view>{}(name) % kSlots; }

  std::array<std::atomic<const Entry*>, kSlots> slots_{};
  std::atomic<T*> other_{nullptr};
  std::mutex mutex_;  // guards what follows, and writing to the slots
  std::array<std::unique_ptr<Entry>, kMost> entries_;
  std::size_t size_ = 0;
  std::unique_ptr<T> owned_other_;
};

}  // namespace llm::observe
