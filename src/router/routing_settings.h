#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "json/fields.h"

namespace llm::router {

// Which of a model's replicas gets a request.
enum class Policy : std::uint8_t {
  kLeastLoaded,  // the better of two random ones, by tokens in flight ("power of two choices")
  kPrefix,       // the one that has most of the prompt in its cache, unless it has too much to do
  kSession,      // the caller's session always to the same one, unless it has too much to do
  kRoundRobin,
  kWeighted,  // at random, by weight
  kLatency,   // the lowest smoothed time to the first token, times the load
  kCost,      // the cheapest that is available
  kPriority,  // the lowest `priority` that is available; the same priority: least loaded
};

// What becomes of a stream whose engine dies in the middle.
enum class BrokenStream : std::uint8_t {
  kError,     // an error event; what came until then stays with the client
  kContinue,  // another replica goes on where it stopped: the prompt and the text so far are its prefill
};

enum class LocalityRule : std::uint8_t { kAny, kLocalOnly };

// One place of a pool or split.
struct RouteTarget {
  std::string model;  // as clients would name it: installed model, alias, <provider>/<model>
  double weight = 1;
  std::int32_t priority = 0;
};

// `routing.models.<name>`: the name is an installed model's or a new one.
struct ModelRouting {
  std::vector<RouteTarget> targets;    // its pool, instead of the model itself
  std::vector<RouteTarget> split;      // versions by weight; a caller stays with one
  std::vector<RouteTarget> shadow;     // get copies of requests; weight: the share, 0..1. Their answers are dropped
  std::vector<std::string> fallbacks;  // asked in order when all of the above fail
  std::optional<Policy> policy;
  std::optional<LocalityRule> locality;
  std::optional<std::uint32_t> retries;
  std::optional<BrokenStream> broken_stream;
  std::optional<json::Duration> timeout;              // of a whole request
  std::optional<json::Duration> first_token_timeout;  // replaces the engine's
  std::optional<json::Duration> stall_timeout;        // replaces the engine's
  std::optional<json::Duration> hedge_after;          // embeddings and ranking: a second replica is asked after this
  std::optional<bool> cache;                          // exact answers; absent: as `cache` says
};

struct BreakerSettings {
  std::uint32_t failures = 3;       // in a row
  json::Duration open_for{60'000};  // then one probe
};

struct OutlierSettings {
  double error_rate = 0.5;  // of the last `window` requests
  std::uint32_t window = 20;
  json::Duration eject_for{30'000};  // doubles with each ejection in a row
  double most_ejected = 0.5;         // share of a pool
};

struct HealthSettings {
  json::Duration interval{10'000};  // 0: no active checks
  json::Duration timeout{3'000};
  json::Duration slow_start{30'000};  // a replica that came back gets its full share after this
};

struct RoutingSettings {
  Policy policy = Policy::kLeastLoaded;
  LocalityRule locality = LocalityRule::kAny;
  std::uint32_t retries = 2;
  double retry_budget = 0.2;  // retries for each request, over the last ten seconds; three are always allowed
  BrokenStream broken_stream = BrokenStream::kError;
  json::Duration timeout{0};  // of a whole request; 0 none
  json::Duration hedge_after{0};
  double bounded_load = 1.25;  // prefix and session: at most so many times the mean load
  BreakerSettings breaker;
  OutlierSettings outlier;
  HealthSettings health;
  std::map<std::string, ModelRouting> models;
};

// Names that do not resolve to each other in circles, shares within 0..1. Errors point into the section.
Result<void> check_routing(const RoutingSettings& settings);

}  // namespace llm::router

template <>
struct llm::json::EnumNames<llm::router::Policy> {
  static constexpr std::array<std::pair<router::Policy, std::string_view>, 8> values{{
      {router::Policy::kLeastLoaded, "least_loaded"},
      {router::Policy::kPrefix, "prefix"},
      {router::Policy::kSession, "session"},
      {router::Policy::kRoundRobin, "round_robin"},
      {router::Policy::kWeighted, "weighted"},
      {router::Policy::kLatency, "latency"},
      {router::Policy::kCost, "cost"},
      {router::Policy::kPriority, "priority"},
  }};
};
template <>
struct llm::json::EnumNames<llm::router::BrokenStream> {
  static constexpr std::array<std::pair<router::BrokenStream, std::string_view>, 2> values{{
      {router::BrokenStream::kError, "error"},
      {router::BrokenStream::kContinue, "continue"},
  }};
};
template <>
struct llm::json::EnumNames<llm::router::LocalityRule> {
  static constexpr std::array<std::pair<router::LocalityRule, std::string_view>, 2> values{{
      {router::LocalityRule::kAny, "any"},
      {router::LocalityRule::kLocalOnly, "local_only"},
  }};
};
template <>
struct llm::json::Fields<llm::router::RouteTarget> {
  static const Table<router::RouteTarget>& table();
};
template <>
struct llm::json::Fields<llm::router::ModelRouting> {
  static const Table<router::ModelRouting>& table();
};
template <>
struct llm::json::Fields<llm::router::BreakerSettings> {
  static const Table<router::BreakerSettings>& table();
};
template <>
struct llm::json::Fields<llm::router::OutlierSettings> {
  static const Table<router::OutlierSettings>& table();
};
template <>
struct llm::json::Fields<llm::router::HealthSettings> {
  static const Table<router::HealthSettings>& table();
};
template <>
struct llm::json::Fields<llm::router::RoutingSettings> {
  static const Table<router::RoutingSettings>& table();
};
