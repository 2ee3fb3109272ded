#include "json/schema_program.h"

namespace llm::json::rules {

void PropertyTable::build(std::vector<Entry> entries) {
  entries_ = std::move(entries);
  buckets_.clear();
  if (entries_.size() > kFew) {
    std::ranges::sort(entries_, {}, &Entry::name);
    return;
  }
  buckets_.assign(kBuckets, kFree);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t at = bucket(entries_[i].name);
    while (buckets_[at % kBuckets] != kFree) ++at;
    buckets_[at % kBuckets] = static_cast<std::uint8_t>(i);
  }
}

const PropertyTable::Entry* PropertyTable::search(std::string_view name) const {
  const auto found =
      std::ranges::lower_bound(entries_, name, {}, [](const Entry& entry) -> std::string_view { return entry.name; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

}  // namespace llm::json::rules
