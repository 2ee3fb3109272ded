#include "inference/answer_cache.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "inference/canonical_request.h"
#include "inference/packed_events.h"
#include "models/digest.h"

namespace llm {

const json::Table<inference::AnswerCacheSettings>& json::Fields<inference::AnswerCacheSettings>::table() {
  using S = inference::AnswerCacheSettings;
  static const Table<S> table{
      "answer cache",
      {
          field("enabled", &S::enabled, {.description = "Keep answers for requests that come again word for word."}),
          field("max_bytes", &S::max_bytes, {.description = "Memory for all of them; the least recently used go."}),
          field("max_entry_bytes", &S::max_entry_bytes, {.description = "Larger answers are not kept."}),
          field("ttl", &S::ttl,
                {.description = "How long an answer is good for; -1: for ever, 0: nothing is kept.", .minimum = -1}),
          field("generation", &S::generation,
                {.description = "Keep chats and completions with temperature 0 that do not ask for it. Those with "
                                "`\"cache\": true` are kept in any case."}),
          field("embeddings", &S::embeddings, {.description = "Keep embeddings, rankings and tokenizations."}),
      }};
  return table;
}

}  // namespace llm

namespace llm::inference {
namespace {

// What the allocator takes for `size` bytes (glibc: 8 of its own, in steps of 16, 32 at least).
constexpr std::size_t heap(std::size_t size) {
  return size == 0 ? 0 : std::max<std::size_t>(32, (size + 8 + 15) / 16 * 16);
}

std::size_t heap(const std::string& text) {
  static const std::size_t kInside = std::string().capacity();
  return text.capacity() <= kInside ? 0 : heap(text.capacity() + 1);
}

std::size_t heap(const json::value& value);

std::size_t heap(const json::object& object) {
  if (object.capacity() == 0) return 0;
  constexpr std::size_t kIndexed = 18;  // Boost.JSON: from here on a table of buckets beside the members
  const auto member = sizeof(boost::json::key_value_pair) + (object.capacity() > kIndexed ? 4 : 0);
  std::size_t total = heap(16 + object.capacity() * member);
  for (const auto& entry : object) total += heap(entry.key().size() + 1) + heap(entry.value());
  return total;
}

std::size_t heap(const json::value& value) {
  constexpr std::size_t kInside = 14;
  if (value.is_string() && value.get_string().capacity() > kInside) return heap(value.get_string().capacity() + 9);
  if (value.is_object()) return heap(value.get_object());
  if (!value.is_array() || value.get_array().capacity() == 0) return 0;
  std::size_t total = heap(16 + value.get_array().capacity() * sizeof(json::value));
  for (const auto& item : value.get_array()) total += heap(item);
  return total;
}

constexpr std::size_t kMostShards = 16;

// A shard holds at least four of the largest answers, so that one of them does not empty it.
std::size_t shards_for(const AnswerCacheSettings& settings) {
  const std::uint64_t large = 4 * std::max<std::uint64_t>(1, settings.max_entry_bytes.bytes);
  std::size_t shards = 1;
  while (shards < kMostShards && settings.max_bytes.bytes / (2 * shards) >= large) shards *= 2;
  return shards;
}

struct Entry {
  std::string key;
  std::shared_ptr<const CachedAnswer> answer;
  std::size_t bytes;
};
using Entries = std::list<Entry>;
using Index = std::unordered_map<std::string_view, Entries::iterator>;  // views of the entries' keys

// An entry apart from its answer: the nodes of list and index, a bucket, the key, the answer's control block.
std::size_t node_bytes(const std::string& key) {
  return heap(sizeof(Entry) + 2 * sizeof(void*)) + heap(sizeof(Index::value_type) + 2 * sizeof(void*)) +
         2 * sizeof(void*) + heap(key) + 16;
}

}  // namespace

std::vector<std::string> CachedAnswer::events() const {
  return packed.empty() ? payloads : unpack_events(packed);
}

std::size_t CachedAnswer::bytes() const {
  std::size_t total = heap(sizeof(CachedAnswer)) + heap(model) + heap(version) + heap(body) + heap(packed) +
                      heap(finish_reason) + heap(usage) + heap(payloads.capacity() * sizeof(std::string));
  for (const auto& payload : payloads) total += heap(payload);
  return total;
}

struct AnswerCache::Shard {
  std::mutex mutex;
  Entries entries;  // most recently used first
  Index index;
  std::size_t bytes = 0;

  // Takes an entry out; what it held dies where the caller lets `out` go, which is after the lock.
  void take(Entries::iterator entry, Entries& out) {
    bytes -= entry->bytes;
    index.erase(entry->key);
    out.splice(out.end(), entries, entry);
  }
};

struct AnswerCache::State {
  State(observe::Metrics& metrics, std::size_t count, std::size_t bytes)
      : shards(count),
        shard_bytes(bytes / count),
        hits(metrics.counter("llm_mcp_cache_hits_total", "Answers that came from the cache.")),
        misses(
            metrics.counter("llm_mcp_cache_misses_total", "Requests that the cache could have answered and did not.")),
        evictions(metrics.counter("llm_mcp_cache_evictions_total", "Answers that left the cache for want of room.")),
        bytes(metrics.gauge("llm_mcp_cache_bytes", "Memory that the cached answers take.")),
        entries(metrics.gauge("llm_mcp_cache_entries", "Cached answers.")) {}

  std::vector<Shard> shards;
  const std::size_t shard_bytes;
  std::atomic<std::uint64_t> hit_count = 0;
  std::atomic<std::uint64_t> miss_count = 0;
  std::atomic<std::uint64_t> eviction_count = 0;
  observe::Counter& hits;
  observe::Counter& misses;
  observe::Counter& evictions;
  observe::Gauge& bytes;
  observe::Gauge& entries;

  void hit() {
    hit_count.fetch_add(1, std::memory_order_relaxed);
    hits.add();
  }
  void miss() {
    miss_count.fetch_add(1, std::memory_order_relaxed);
    misses.add();
  }
  void left(const Entries& gone) {
    if (gone.empty()) return;
    std::size_t sum = 0;
    for (const auto& entry : gone) sum += entry.bytes;
    bytes.sub(static_cast<double>(sum));
    entries.sub(static_cast<double>(gone.size()));
  }
};

AnswerCache::AnswerCache(AnswerCacheSettings settings, observe::GatewayMetrics& metrics,
                         std::function<Clock::time_point()> now)
    : settings_(settings),
      now_(std::move(now)),
      state_(std::make_unique<State>(metrics.registry(), shards_for(settings_), settings_.max_bytes.bytes)) {}

AnswerCache::~AnswerCache() = default;

AnswerCache::Shard& AnswerCache::shard_of(const std::string& key) {
  return state_->shards[std::hash<std::string_view>()(key) % state_->shards.size()];
}

std::string AnswerCache::key(std::string_view tenant, std::string_view version, std::string_view operation,
                             const json::object& body, bool asked) const {
  if (!settings_.enabled || settings_.ttl.ms == 0) return {};
  const bool generation = operation == "chat" || operation == "completion";
  const bool kept = generation ? settings_.generation && may_repeat(body) : settings_.embeddings;
  if (!asked && !kept) return {};
  std::string text;
  text.reserve(1024);
  for (const auto part : {tenant, version, operation}) append_canonical(text, part);
  append_canonical(text, body);
  return models::sha256_of(text).hex();
}

std::shared_ptr<const CachedAnswer> AnswerCache::find(const std::string& key) {
  if (key.empty()) return nullptr;
  const auto now = now_();
  std::shared_ptr<const CachedAnswer> answer;
  Entries expired;
  auto& shard = shard_of(key);
  {
    std::lock_guard lock(shard.mutex);
    if (const auto found = shard.index.find(key); found != shard.index.end()) {
      const auto entry = found->second;
      if (!settings_.ttl.never() && now - entry->answer->stored >= std::chrono::milliseconds(settings_.ttl.ms)) {
        shard.take(entry, expired);
      } else {
        shard.entries.splice(shard.entries.begin(), shard.entries, entry);
        answer = entry->answer;
      }
    }
  }
  state_->left(expired);
  answer ? state_->hit() : state_->miss();
  return answer;
}

void AnswerCache::put(const std::string& key, CachedAnswer answer) {
  if (key.empty()) return;
  answer.stored = now_();
  answer.body.shrink_to_fit();
  if (answer.packed.empty()) answer.packed = pack_events(answer.payloads);
  std::vector<std::string>().swap(answer.payloads);  // and its memory
  Entries fresh;
  fresh.push_back({key, nullptr, answer.bytes() + node_bytes(key)});
  const auto bytes = fresh.front().bytes;
  if (bytes > settings_.max_entry_bytes.bytes || bytes > state_->shard_bytes) return;
  fresh.front().answer = std::make_shared<const CachedAnswer>(std::move(answer));

  Entries gone;
  std::uint64_t evicted = 0;
  auto& shard = shard_of(key);
  {
    std::lock_guard lock(shard.mutex);
    if (const auto old = shard.index.find(key); old != shard.index.end()) shard.take(old->second, gone);
    for (; shard.bytes + bytes > state_->shard_bytes; ++evicted) shard.take(std::prev(shard.entries.end()), gone);
    shard.entries.splice(shard.entries.begin(), fresh);
    shard.index.emplace(shard.entries.front().key, shard.entries.begin());
    shard.bytes += bytes;
  }
  state_->bytes.add(static_cast<double>(bytes));
  state_->entries.add();
  state_->left(gone);
  if (evicted == 0) return;
  state_->eviction_count.fetch_add(evicted, std::memory_order_relaxed);
  state_->evictions.add(static_cast<double>(evicted));
}

std::size_t AnswerCache::clear(std::string_view version) {
  Entries gone;
  for (auto& shard : state_->shards) {
    std::lock_guard lock(shard.mutex);
    for (auto entry = shard.entries.begin(); entry != shard.entries.end();) {
      const auto next = std::next(entry);
      if (version.empty() || entry->answer->version == version) shard.take(entry, gone);
      entry = next;
    }
  }
  state_->left(gone);
  return gone.size();
}

std::chrono::seconds AnswerCache::age(const CachedAnswer& answer) const {
  return std::chrono::floor<std::chrono::seconds>(std::max(Clock::duration::zero(), now_() - answer.stored));
}

AnswerCache::Report AnswerCache::report() const {
  Report report{.hits = state_->hit_count.load(),
                .misses = state_->miss_count.load(),
                .evictions = state_->eviction_count.load()};
  for (auto& shard : state_->shards) {
    std::lock_guard lock(shard.mutex);
    report.entries += shard.entries.size();
    report.bytes += shard.bytes;
  }
  return report;
}

}  // namespace llm::inference
