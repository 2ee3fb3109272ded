#include "inference/answer_cache.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <thread>

namespace llm::inference {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct AnswerCacheTest : testing::Test {
  AnswerCacheSettings settings{.generation = true};
  observe::GatewayMetrics metrics{"test"};
  AnswerCache::Clock::time_point now{};

  std::unique_ptr<AnswerCache> cache() {
    return std::make_unique<AnswerCache>(settings, metrics, [this] { return now; });
  }
  static json::object body(std::string_view text) { return json::parse(text)->get_object(); }
  static CachedAnswer answer(std::string text, std::string version = "v") {
    return {.model = "m", .version = std::move(version), .body = std::move(text)};
  }
};

const json::object kGreedy{{"temperature", 0}, {"prompt", "p"}};
const json::object kRandom{{"temperature", 1}, {"prompt", "p"}};

TEST_F(AnswerCacheTest, KeyIsOfTenantVersionOperationAndRequest) {
  const auto cache = this->cache();
  const auto key = cache->key("t", "v", "chat", kGreedy, false);
  EXPECT_EQ(key.size(), 64u);
  EXPECT_EQ(key, cache->key("t", "v", "chat", kGreedy, true));
  EXPECT_EQ(key, cache->key("t", "v", "chat", body(R"({"prompt":"p","temperature":0.0,"stream":true})"), false));
  EXPECT_NE(key, cache->key("u", "v", "chat", kGreedy, false));
  EXPECT_NE(key, cache->key("t", "w", "chat", kGreedy, false));
  EXPECT_NE(key, cache->key("t", "v", "completion", kGreedy, false));
  EXPECT_NE(key, cache->key("t", "v", "chat", body(R"({"prompt":"q","temperature":0})"), false));
  EXPECT_NE(cache->key("ab", "c", "chat", kGreedy, false), cache->key("a", "bc", "chat", kGreedy, false));
}

TEST_F(AnswerCacheTest, WhichRequestsMayBeKept) {
  const struct {
    bool enabled, generation, embeddings;
    std::string_view operation;
    const json::object& request;
    bool asked, kept;
  } cases[] = {
      {true, true, true, "chat", kGreedy, false, true},        {true, true, true, "completion", kGreedy, false, true},
      {true, true, true, "chat", kRandom, false, false},       {true, true, true, "chat", kRandom, true, true},
      {true, false, true, "chat", kGreedy, false, false},      {true, false, true, "chat", kGreedy, true, true},
      {true, false, true, "embedding", kRandom, false, true},  {true, false, true, "rerank", kRandom, false, true},
      {true, false, true, "tokenize", kRandom, false, true},   {true, true, false, "embedding", kRandom, false, false},
      {true, true, false, "embedding", kRandom, true, true},   {false, true, true, "chat", kGreedy, true, false},
      {false, true, true, "embedding", kGreedy, false, false},
  };
  for (const auto& c : cases) {
    settings = {.enabled = c.enabled, .generation = c.generation, .embeddings = c.embeddings};
    EXPECT_EQ(!cache()->key("t", "v", c.operation, c.request, c.asked).empty(), c.kept)
        << c.operation << c.enabled << c.generation << c.embeddings << c.asked;
  }
  settings = {.ttl = {0}};
  EXPECT_EQ(cache()->key("t", "v", "embedding", kGreedy, true), "");
}

TEST_F(AnswerCacheTest, FindsWhatWasPut) {
  const auto cache = this->cache();
  EXPECT_EQ(cache->find("k"), nullptr);
  cache->put("k", answer("one"));
  ASSERT_NE(cache->find("k"), nullptr);
  EXPECT_EQ(cache->find("k")->body, "one");
  cache->put("k", answer("two"));
  EXPECT_EQ(cache->find("k")->body, "two");
  EXPECT_EQ(cache->report().entries, 1u);
  EXPECT_EQ(cache->report().hits, 3u);
  EXPECT_EQ(cache->report().misses, 1u);
}

TEST_F(AnswerCacheTest, AnEmptyKeyIsNothing) {
  const auto cache = this->cache();
  cache->put("", answer("one"));
  EXPECT_EQ(cache->find(""), nullptr);
  EXPECT_EQ(cache->report().entries, 0u);
  EXPECT_EQ(cache->report().misses, 0u);
}

TEST_F(AnswerCacheTest, TimeToLive) {
  settings.ttl = {2000};
  auto cache = this->cache();
  cache->put("k", answer("one"));
  now += milliseconds(1999);
  const auto held = cache->find("k");
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(cache->age(*held), seconds(1));
  now += milliseconds(1);
  EXPECT_EQ(cache->find("k"), nullptr) << "a hit does not make it younger";
  EXPECT_EQ(cache->report().entries, 0u);
  EXPECT_EQ(cache->report().bytes, 0u);
  EXPECT_EQ(cache->report().evictions, 0u);
  EXPECT_EQ(held->body, "one") << "who has it keeps it";

  settings.ttl = {json::Duration::kNever};
  cache = this->cache();
  cache->put("k", answer("one"));
  now += std::chrono::hours(24 * 365);
  EXPECT_NE(cache->find("k"), nullptr);
}

TEST_F(AnswerCacheTest, TheLeastRecentlyUsedGoes) {
  const auto one = [&] {
    const auto probe = cache();
    probe->put("k0", answer(std::string(1000, 'x')));
    return probe->report().bytes;
  }();
  settings.max_bytes = {3 * one};
  settings.max_entry_bytes = {3 * one};  // one shard
  const auto cache = this->cache();
  for (const auto* key : {"k0", "k1", "k2"}) cache->put(key, answer(std::string(1000, 'x')));
  EXPECT_EQ(cache->report().evictions, 0u);
  EXPECT_NE(cache->find("k0"), nullptr);
  cache->put("k3", answer(std::string(1000, 'x')));
  EXPECT_NE(cache->find("k0"), nullptr);
  EXPECT_EQ(cache->find("k1"), nullptr);
  EXPECT_NE(cache->find("k2"), nullptr);
  EXPECT_NE(cache->find("k3"), nullptr);
  EXPECT_EQ(cache->report().evictions, 1u);
  EXPECT_EQ(cache->report().bytes, 3 * one);
  cache->put("k4", answer(std::string(2500, 'x')));  // makes room for itself alone
  EXPECT_NE(cache->find("k4"), nullptr);
  EXPECT_LE(cache->report().bytes, 3 * one);
}

TEST_F(AnswerCacheTest, TooLargeIsNotKept) {
  const auto size = [&](std::size_t bytes) {
    const auto probe = cache();
    probe->put("k", answer(std::string(bytes, 'x')));
    return probe->report().bytes;
  };
  settings.max_entry_bytes = {size(1000)};
  EXPECT_GT(size(1000), 0u);
  EXPECT_EQ(size(1032), 0u);
}

TEST_F(AnswerCacheTest, NeverMoreThanItsBytes) {
  settings.max_bytes = {1 << 20};
  settings.max_entry_bytes = {16 << 10};
  const auto cache = this->cache();
  for (std::size_t i = 0; i < 5000; ++i) {
    cache->put("key" + std::to_string(i * 7919), answer(std::string(i % 9000, 'x')));
    ASSERT_LE(cache->report().bytes, settings.max_bytes.bytes);
  }
  EXPECT_GT(cache->report().bytes, settings.max_bytes.bytes * 8 / 10) << "the room is used";
  EXPECT_GT(cache->report().evictions, 1000u);
}

TEST_F(AnswerCacheTest, BytesAreWhatTheAllocatorGave) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "another allocator";
#else
  settings.max_entry_bytes = {1 << 20};
  const auto cache = this->cache();
  const auto before = mallinfo2();
  for (int i = 0; i < 20000; ++i) {  // many: what the allocator keeps at hand counts as taken
    CachedAnswer entry = answer(std::string(i % 50 * 20, 'x'), "some-model:8b@sha256:0123456789");
    for (int p = 0; p < i % 40; ++p) entry.payloads.push_back(std::string(100 + p, 'y'));
    entry.usage =
        body(R"({"prompt_tokens":1,"completion_tokens":2,"details":{"cached_tokens":0,"a":"a longer text"}})");
    cache->put(std::string(60, 'k') + std::to_string(100000 + i), std::move(entry));
  }
  const auto after = mallinfo2();
  const auto taken = static_cast<double>(after.uordblks - before.uordblks);
  const auto counted = static_cast<double>(cache->report().bytes);
  EXPECT_GT(counted / taken, 0.95) << counted << " counted, " << taken << " taken";
  EXPECT_LT(counted / taken, 1.05) << counted << " counted, " << taken << " taken";
#endif
}

TEST_F(AnswerCacheTest, EventsAreKeptInFewBytes) {
  const auto cache = this->cache();
  CachedAnswer entry = answer("");
  for (int i = 0; i < 100; ++i) entry.payloads.push_back(std::string(200, 'x') + std::to_string(i));
  const auto events = entry.payloads;
  cache->put("k", std::move(entry));
  EXPECT_EQ(cache->find("k")->events(), events);
  EXPECT_LT(cache->report().bytes, 2500u) << "of 20 KB";
}

TEST_F(AnswerCacheTest, Clear) {
  const auto cache = this->cache();
  for (const auto* key : {"a", "b", "c"}) cache->put(key, answer("1", "v1"));
  cache->put("d", answer("2", "v2"));
  EXPECT_EQ(cache->clear("v1"), 3u);
  EXPECT_EQ(cache->find("a"), nullptr);
  EXPECT_NE(cache->find("d"), nullptr);
  EXPECT_EQ(cache->clear("v1"), 0u);
  EXPECT_EQ(cache->clear(), 1u);
  EXPECT_EQ(cache->report().bytes, 0u);
}

TEST_F(AnswerCacheTest, Metrics) {
  settings.max_bytes = {4096};
  settings.max_entry_bytes = {4096};
  const auto cache = this->cache();
  cache->find("a");
  cache->put("a", answer(std::string(3000, 'x')));
  cache->find("a");
  cache->put("b", answer(std::string(3000, 'x')));
  const auto text = metrics.render();
  const auto bytes = std::to_string(cache->report().bytes);
  for (const auto& line : {std::string("llm_mcp_cache_hits_total 1\n"), std::string("llm_mcp_cache_misses_total 1\n"),
                           std::string("llm_mcp_cache_evictions_total 1\n"), std::string("llm_mcp_cache_entries 1\n"),
                           "llm_mcp_cache_bytes " + bytes + "\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST_F(AnswerCacheTest, ManyThreads) {
  settings.max_bytes = {64 << 10};
  settings.max_entry_bytes = {4 << 10};
  const auto cache = this->cache();
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> found = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const auto name = "key" + std::to_string((i * 31 + t * 7) % 97);
        if (const auto held = cache->find(name)) {
          ++found;
          ASSERT_EQ(held->body, name + std::string(500, 'x')) << "another key's answer";
        } else {
          cache->put(name, answer(name + std::string(500, 'x'), i % 2 == 0 ? "even" : "odd"));
        }
        if (i % 500 == 499) cache->clear("even");
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto report = cache->report();
  EXPECT_EQ(report.hits, found.load());
  EXPECT_EQ(report.hits + report.misses, std::uint64_t{kThreads} * kRounds);
  EXPECT_LE(report.bytes, settings.max_bytes.bytes);
}

TEST_F(AnswerCacheTest, Settings) {
  const auto decoded = json::decode<AnswerCacheSettings>(
      json::parse(R"({"max_bytes":"1MiB","ttl":"5m","generation":true,"enabled":true})").value());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->max_bytes.bytes, 1u << 20);
  EXPECT_EQ(decoded->ttl.ms, 300'000);
  EXPECT_TRUE(decoded->generation);
  EXPECT_FALSE(json::decode<AnswerCacheSettings>(json::parse(R"({"ttl":-2})").value()));
}

}  // namespace
}  // namespace llm::inference
