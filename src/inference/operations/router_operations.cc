// What operators see and do of routing: replicas and the cache of answers.
#include <array>
#include <chrono>
#include <fmt/format.h>

#include "base/strings.h"
#include "inference/operations/operation.h"

namespace llm {
namespace inference {

struct ReplicaRequest {
  std::string name;
};
struct CacheClearRequest {
  std::string version;
};

}  // namespace inference

template <>
struct json::Fields<inference::ReplicaRequest> {
  static const Table<inference::ReplicaRequest>& table() {
    using R = inference::ReplicaRequest;
    static const Table<R> t{"replica request",
                            {field("name", &R::name,
                                   {.description = "Key of the replica, as router.replicas lists it.",
                                    .required = true,
                                    .min_length = 1,
                                    .max_length = 1024})}};
    return t;
  }
};

template <>
struct json::Fields<inference::CacheClearRequest> {
  static const Table<inference::CacheClearRequest>& table() {
    using R = inference::CacheClearRequest;
    static const Table<R> t{
        "cache request",
        {field("version", &R::version,
               {.description = "Only answers of this model version, as answers name it. Empty: all.",
                .max_length = 1024})}};
    return t;
  }
};

namespace inference {
namespace {

json::object described(const router::Replica& replica, std::chrono::steady_clock::time_point now) {
  const auto report = replica.report(now);
  json::object out{{"key", report.key},
                   {"available", replica.available(now)},
                   {"breaker", router::to_string(report.breaker)},
                   {"well", report.well},
                   {"draining", report.draining},
                   {"ejected", report.ejected},
                   {"readiness", report.readiness},
                   {"requests_in_flight", report.requests},
                   {"tokens_in_flight", report.tokens},
                   {"successes", report.successes},
                   {"failures", report.failures}};
  if (report.first_token_seconds > 0) out["time_to_first_token_s"] = report.first_token_seconds;
  if (!report.ill_because.empty()) out["reason"] = report.ill_because;
  if (report.retry_at) {
    out["retry_in_ms"] = std::chrono::ceil<std::chrono::milliseconds>(*report.retry_at - now).count();
  }
  return out;
}

Task<Result<json::object>> list_replicas(OperationContext context, json::object) {
  json::array replicas;
  if (const auto* router = context.backend.router) {
    for (const auto& replica : router->replicas()) replicas.push_back(described(*replica, router->now()));
  }
  co_return json::object{{"replicas", std::move(replicas)}};
}

Result<json::object> set_draining(const OperationContext& context, const json::object& arguments, bool draining) {
  const auto request = json::decode<ReplicaRequest>(arguments);
  if (!request) return fail(request.error());
  const auto* router = context.backend.router;
  const auto replica = router ? router->find(request->name) : nullptr;
  if (!replica) {
    std::vector<std::string> known;
    if (router) {
      for (const auto& other : router->replicas()) known.push_back(other->key());
    }
    std::string message = fmt::format("no replica \"{}\" has been asked for since the gateway started", request->name);
    const auto near = nearest(request->name, known);
    for (std::size_t i = 0; i < near.size(); ++i)
      message += fmt::format("{}{}", i == 0 ? "; did you mean " : " or ", near[i]);
    return fail(ErrorCode::kNotFound, std::move(message), "/name");
  }
  replica->set_draining(draining);
  context.backend.log.info(draining ? "replica is drained" : "replica takes requests again",
                           {{"engine", replica->key()}, {"request_id", context.request_id}});
  return described(*replica, router->now());
}

Task<Result<json::object>> drain(OperationContext context, json::object arguments) {
  co_return set_draining(context, arguments, true);
}

Task<Result<json::object>> undrain(OperationContext context, json::object arguments) {
  co_return set_draining(context, arguments, false);
}

Task<Result<json::object>> cache_status(OperationContext context, json::object) {
  const auto* cache = context.backend.cache;
  if (!cache) co_return json::object{{"enabled", false}};
  const auto report = cache->report();
  const auto& settings = cache->settings();
  const double asked = static_cast<double>(report.hits + report.misses);
  co_return json::object{{"enabled", settings.enabled},
                         {"entries", report.entries},
                         {"bytes", report.bytes},
                         {"max_bytes", settings.max_bytes.bytes},
                         {"hits", report.hits},
                         {"misses", report.misses},
                         {"hit_share", asked > 0 ? static_cast<double>(report.hits) / asked : 0.0},
                         {"evictions", report.evictions},
                         {"ttl_ms", settings.ttl.ms}};
}

Task<Result<json::object>> clear_cache(OperationContext context, json::object arguments) {
  const auto request = json::decode<CacheClearRequest>(arguments);
  if (!request) co_return fail(request.error());
  const std::size_t removed = context.backend.cache ? context.backend.cache->clear(request->version) : 0;
  context.backend.log.info("answers removed from the cache",
                           {{"entries", removed}, {"request_id", context.request_id}});
  co_return json::object{{"removed", removed}};
}

}  // namespace

std::span<const OperationRow> router_operations() {
  using enum access::Permission;
  static constexpr auto kRows = std::to_array<OperationRow>({
      {"router.replicas", "GET", "/api/v1/router/replicas", kEnginesRead, false,
       "every replica that was asked for: its circuit breaker, load, speed and health", list_replicas},
      {"router.drain", "POST", "/api/v1/router/replicas/{name}/drain", kAdmin, false,
       "give a replica no more requests; those it has go on", drain},
      {"router.undrain", "POST", "/api/v1/router/replicas/{name}/undrain", kAdmin, false,
       "give a drained replica requests again", undrain},
      {"cache.status", "GET", "/api/v1/cache", kEnginesRead, false, "the cache of exact answers: size, hits and misses",
       cache_status},
      {"cache.clear", "DELETE", "/api/v1/cache", kAdmin, false, "forget cached answers, of one model version or all",
       clear_cache},
  });
  return kRows;
}

}  // namespace inference
}  // namespace llm
