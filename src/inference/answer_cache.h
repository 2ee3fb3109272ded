#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/fields.h"
#include "json/json.h"
#include "observe/gateway_metrics.h"

namespace llm::inference {

// `cache` in the configuration.
struct AnswerCacheSettings {
  bool enabled = true;
  json::ByteSize max_bytes{64ULL << 20};
  json::ByteSize max_entry_bytes{1ULL << 20};
  json::Duration ttl{3'600'000};
  bool generation = false;  // answers with temperature 0 without being asked for
  bool embeddings = true;
};

// One whole answer as the engine gave it in the OpenAI API's words.
struct CachedAnswer {
  std::string model{};
  std::string version{};
  std::string body{};                   // the answer that was not streamed; empty if only its events are known
  std::vector<std::string> payloads{};  // the events of a stream, without usage and [DONE]
  std::string packed{};                 // the same in few bytes: put() makes it of them (inference/packed_events.h)
  json::object usage{};                 // of the first time
  std::string finish_reason{};
  std::chrono::steady_clock::time_point stored{};  // put() sets it: the answer's age is the cache's now() less this

  // The events of the stream, packed or not; empty if only the whole answer is known.
  std::vector<std::string> events() const;
  std::size_t bytes() const;  // of memory, with what the allocator adds
};

// Answers to requests that were asked before, word for word. Bounded in bytes of memory, least recently used out first;
// what is older than `ttl` is not found any more. A tenant never sees another's. Thread-safe: shards with a short lock
// each. Counts llm_mcp_cache_{hits,misses,evictions}_total and llm_mcp_cache_{bytes,entries}.
class AnswerCache {
 public:
  using Clock = std::chrono::steady_clock;
  AnswerCache(AnswerCacheSettings settings, observe::GatewayMetrics& metrics,
              std::function<Clock::time_point()> now = Clock::now);
  ~AnswerCache();
  AnswerCache(const AnswerCache&) = delete;
  AnswerCache& operator=(const AnswerCache&) = delete;

  const AnswerCacheSettings& settings() const { return settings_; }

  // The key of a request: SHA-256 over tenant, version, operation (inference::to_string's word) and the request in its
  // canonical form (inference/canonical_request.h). Empty: this request's answer may not be kept, because the cache is
  // off, or for generation because it was not `asked` for and either `settings().generation` is off or the request
  // draws at random (may_repeat()); for the other operations because `settings().embeddings` is off and it was not
  // `asked` for. 5 us for 1 KB at most.
  std::string key(std::string_view tenant, std::string_view version, std::string_view operation,
                  const json::object& body, bool asked) const;

  // nullptr: a miss. Shared: it may be evicted while it is sent. An empty key is never found and not counted.
  std::shared_ptr<const CachedAnswer> find(const std::string& key);
  // Replaces what was there. Does nothing for an empty key, and for an answer above `max_entry_bytes`.
  void put(const std::string& key, CachedAnswer answer);
  std::size_t clear(std::string_view version = {});  // of one version or all; how many went
  // How long ago it was put, in whole seconds (the Age header, RFC 9111 section 5.1).
  std::chrono::seconds age(const CachedAnswer& answer) const;

  struct Report {
    std::size_t entries = 0;
    std::size_t bytes = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t evictions = 0;  // for want of room
  };
  Report report() const;

 private:
  struct Shard;
  struct State;
  Shard& shard_of(const std::string& key);

  AnswerCacheSettings settings_;
  std::function<Clock::time_point()> now_;
  std::unique_ptr<State> state_;
};

}  // namespace llm::inference

template <>
struct llm::json::Fields<llm::inference::AnswerCacheSettings> {
  static const Table<inference::AnswerCacheSettings>& table();
};
