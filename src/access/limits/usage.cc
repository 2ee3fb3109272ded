#include "access/limits/usage.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "access/limits/period.h"
#include "async/watch.h"
#include "base/random.h"
#include "base/strings.h"
#include "store/usage_tables.h"

namespace llm::access {
namespace {

constexpr std::size_t kShards = 16;
constexpr std::int64_t kBatchMemoryMs = 24LL * 3'600'000;  // how long the database knows batches by their ids
constexpr std::int64_t kForgetEveryMs = 3'600'000;

// What a row is for. Texts are views where a row is only looked up.
template <class Text>
struct UsageKey {
  std::int64_t day = 0;
  Text project;
  Text key;
  Text model;
};
using Key = UsageKey<std::string>;
using KeyView = UsageKey<std::string_view>;

struct KeyHash {
  using is_transparent = void;
  std::size_t operator()(const auto& key) const {
    const std::hash<std::string_view> hash;
    std::size_t all = static_cast<std::size_t>(key.day);
    for (const std::string_view text :
         {std::string_view(key.project), std::string_view(key.key), std::string_view(key.model)}) {
      all = (all ^ hash(text)) * 0x9e3779b97f4a7c15U;
    }
    return all ^ (all >> 32);
  }
};
struct KeyEqual {
  using is_transparent = void;
  bool operator()(const auto& a, const auto& b) const {
    return a.day == b.day && a.key == b.key && a.model == b.model && a.project == b.project;
  }
};
using Sums = std::unordered_map<Key, UsageCounts, KeyHash, KeyEqual>;

// Counts never go down and never overflow: what comes from an engine is not to be trusted that far.
void add_to(std::int64_t& sum, std::int64_t more) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  more = std::max<std::int64_t>(0, more);
  sum = sum > kMost - more ? kMost : sum + more;
}

void add_to(UsageCounts& sums, const UsageCounts& more) {
  add_to(sums.requests, more.requests);
  add_to(sums.failed, more.failed);
  add_to(sums.input_tokens, more.input_tokens);
  add_to(sums.cached_tokens, more.cached_tokens);
  add_to(sums.output_tokens, more.output_tokens);
}

// The subject of a foreign token may be any text, and one that the database does not take must not hold up the rest.
std::string storable(const std::string& text) {
  if (text.find('\0') == std::string::npos && valid_utf8(text)) return text;
  std::string out = text;
  for (char& c : out) {
    if (c == '\0' || static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return out;
}

struct Batch {
  std::string id;
  std::vector<store::UsageRow> rows;
  std::int64_t requests = 0;
};

// Flushes by number. One is over when its number is not above `written`, or not above `failed`.
struct Progress {
  std::uint64_t written = 0;
  std::uint64_t failed = 0;
  Error error;
};

}  // namespace

struct UsageBook::State {
  State(store::Database* its_database, UsageDurability its_durability, std::function<std::int64_t()> its_clock)
      : database(its_database), durability(its_durability), now_ms(std::move(its_clock)) {}

  struct Shard {
    std::mutex mutex;
    Sums sums;
  };

  std::optional<Batch> take_batch();
  Result<void> write(const Batch& batch);
  Result<void> flush();
  void forget_old_batches();
  void run();

  store::Database* const database;
  const UsageDurability durability;
  const std::function<std::int64_t()> now_ms;
  std::array<Shard, kShards> shards;
  std::atomic<std::int64_t> pending{0};

  std::mutex flushing;          // one flush at a time
  std::optional<Batch> unsure;  // could not be written, or perhaps was: again, under the same id, before anything else
  std::int64_t forgot_at = 0;

  std::mutex mutex;  // for what follows
  std::condition_variable wake;
  std::uint64_t started = 0;  // flushes that have begun to collect
  std::uint64_t wanted = 0;
  bool stopping = false;
  Watch<Progress> progress;
  std::thread thread;  // with kStrict: writes as soon as somebody waits
};

std::optional<Batch> UsageBook::State::take_batch() {
  Batch batch;
  for (Shard& shard : shards) {
    Sums sums;
    {
      const std::lock_guard lock(shard.mutex);
      sums.swap(shard.sums);
    }
    for (const auto& [key, counts] : sums) {
      batch.rows.push_back({.day = key.day,
                            .project = storable(key.project),
                            .key = storable(key.key),
                            .model = storable(key.model),
                            .requests = counts.requests,
                            .failed = counts.failed,
                            .input_tokens = counts.input_tokens,
                            .cached_tokens = counts.cached_tokens,
                            .output_tokens = counts.output_tokens});
      add_to(batch.requests, counts.requests);
    }
  }
  if (batch.rows.empty()) return std::nullopt;
  // Gateways that write the same rows lock them in the same order.
  std::ranges::sort(batch.rows, {},
                    [](const store::UsageRow& row) { return std::tie(row.day, row.project, row.key, row.model); });
  batch.id = random_id();
  return batch;
}

Result<void> UsageBook::State::write(const Batch& batch) {
  auto done = database->write(
      [&](store::Session& session) -> Result<void> { return store::add_usage(session, batch.id, batch.rows); });
  if (done) pending -= batch.requests;
  return done;
}

Result<void> UsageBook::State::flush() {
  const std::lock_guard one_at_a_time(flushing);
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex);
    number = ++started;  // what was added before now is in this one
  }
  Result<void> done;
  if (database == nullptr) {
    if (const auto batch = take_batch()) pending -= batch->requests;
  } else {
    if (unsure) done = write(*unsure);
    if (done) {
      unsure = take_batch();
      if (unsure) done = write(*unsure);
      if (done) unsure.reset();
    }
    if (done) forget_old_batches();
  }
  progress.update([&](Progress& now) {
    if (done) {
      now.written = number;
    } else {
      now.failed = number;
      now.error = done.error();
    }
  });
  return done;
}

void UsageBook::State::forget_old_batches() {
  const std::int64_t now = now_ms();
  if (now - forgot_at < kForgetEveryMs) return;
  auto done = database->write(
      [&](store::Session& session) { return store::forget_usage_batches(session, now - kBatchMemoryMs); });
  if (done) forgot_at = now;
}

void UsageBook::State::run() {
  std::unique_lock lock(mutex);
  while (true) {
    wake.wait(lock, [this] { return stopping || wanted > started; });
    if (stopping) return;
    lock.unlock();
    (void)flush();  // who waits is told
    lock.lock();
  }
}

UsageBook::UsageBook(store::Database* database, UsageDurability durability, std::function<std::int64_t()> now_ms)
    : state_(std::make_shared<State>(database, durability, std::move(now_ms))) {
  if (durability == UsageDurability::kStrict && database != nullptr) {
    state_->thread = std::thread([state = state_.get()] { state->run(); });
  }
}

UsageBook::~UsageBook() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
  state_->progress.update([](Progress& now) {
    now.failed = std::numeric_limits<std::uint64_t>::max();
    now.error = {ErrorCode::kUnavailable, "the gateway is stopping; the usage of this request may be lost", {}, {}, 0};
  });
}

void UsageBook::add(const Principal& principal, std::string_view model, const UsageCounts& counts) {
  const KeyView key{period_of(Period::kDay, state_->now_ms()), principal.project(), principal.key_id(), model};
  const std::size_t hash = KeyHash()(key);
  State::Shard& shard = state_->shards[(hash >> 24) % kShards];
  state_->pending += std::max<std::int64_t>(0, counts.requests);
  const std::lock_guard lock(shard.mutex);
  auto row = shard.sums.find(key);
  if (row == shard.sums.end()) {
    row = shard.sums
              .emplace(Key{key.day, std::string(key.project), std::string(key.key), std::string(key.model)},
                       UsageCounts{.requests = 0})
              .first;
  }
  add_to(row->second, counts);
}

Task<Result<void>> UsageBook::settled(Loop& /*loop*/) {
  const auto state = state_;
  if (state->durability != UsageDurability::kStrict || state->database == nullptr) co_return Result<void>();
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(state->mutex);
    number = state->started + 1;
    state->wanted = std::max(state->wanted, number);
  }
  state->wake.notify_one();
  while (true) {
    auto [progress, version] = state->progress.get();
    if (progress.written >= number) co_return Result<void>();
    if (progress.failed >= number) co_return fail(std::move(progress.error));
    co_await state->progress.changed(version, {}, std::nullopt);
  }
}

Result<void> UsageBook::flush() {
  return state_->flush();
}

std::int64_t UsageBook::pending_requests() const {
  return state_->pending.load();
}

UsageDurability UsageBook::durability() const {
  return state_->durability;
}

}  // namespace llm::access
