#include "router/health_checks.h"

#include <algorithm>
#include <fmt/format.h>
#include <random>

#include "base/strings.h"
#include "dialects/dialect.h"
#include "engines/providers/call_deadline.h"

namespace llm::router {
namespace {

constexpr std::size_t kMostAnswer = 4U << 20U;  // bytes; a list of models may be long

// 0.9 to 1.1 times the interval: many gateways do not ask one engine in step.
std::chrono::milliseconds with_jitter(std::chrono::milliseconds interval) {
  thread_local std::minstd_rand generator{std::random_device{}()};
  const double factor = std::uniform_real_distribution<double>(0.9, 1.1)(generator);
  return std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(interval.count()) * factor) + 1);
}

std::string name_of(const HealthQuestion& question) {
  return question.endpoint.text() + question.path;
}

}  // namespace

std::optional<Result<HealthQuestion>> health_question(const engines::EngineSpec& spec) {
  HealthQuestion question;
  std::string key;
  if (spec.external) {
    auto endpoint = net::parse_endpoint(engines::base_url_of(*spec.external));
    if (!endpoint) return fail(std::move(endpoint.error()));
    auto found = engines::api_key_of(*spec.external);
    if (!found) return fail(std::move(found.error()));
    question = {std::move(*endpoint), engines::health_path_of(*spec.external),
                dialects::credential_headers(spec.external->preset, *found)};
    return question;
  }
  if (!spec.vllm || spec.vllm->runtime != engines::VllmRuntime::kRemote) return std::nullopt;
  auto endpoint = net::parse_endpoint(spec.vllm->base_url);
  if (!endpoint) return fail(std::move(endpoint.error()));
  // vLLM's health stands beside its API, not under it, and wants no key.
  if (endpoint->base_path.ends_with("/v1")) endpoint->base_path.resize(endpoint->base_path.size() - 3);
  question = {std::move(*endpoint), "/health", {}};
  return question;
}

HealthChecks::HealthChecks(HealthSettings settings, Loop& loop, net::HttpClient& client, observe::Log& log, Known known)
    : settings_(settings),
      loop_(loop),
      client_(client),
      log_(log),
      known_(std::move(known)),
      wake_(loop.executor()),
      tasks_(loop.executor()) {}

void HealthChecks::start() {
  if (settings_.interval.ms > 0) tasks_.spawn(run());
}

Task<void> HealthChecks::stop() {
  stopping_.cancel();
  wake_.notify();
  co_await tasks_.join();
}

Task<void> HealthChecks::run() {
  Deadline pause([this] { wake_.notify(); });
  while (!stopping_.cancelled()) {
    loop_.wheel().arm(pause, with_jitter(std::chrono::milliseconds(settings_.interval.ms)));
    while (pause.armed() && !stopping_.cancelled()) co_await wake_.wait();
    if (!stopping_.cancelled()) co_await check_all();
  }
}

Task<void> HealthChecks::check_all() {
  std::vector<std::unique_ptr<Asked>> round;
  for (auto& [replica, spec] : known_()) {
    auto question = health_question(*spec);
    if (!question) continue;
    const auto same = std::ranges::find_if(round, [&](const auto& asked) { return asked->question == *question; });
    if (same != round.end()) {
      (*same)->replicas.push_back(std::move(replica));
    } else {
      round.push_back(std::make_unique<Asked>(Asked{std::move(*question), {std::move(replica)}}));
    }
  }
  TaskGroup asking(loop_.executor());
  for (auto& asked : round) asking.spawn(ask(*asked));
  co_await asking.join();
  if (stopping_.cancelled()) co_return;
  std::map<std::string, bool, std::less<>> doubted;
  for (auto& asked : round) {
    const std::string name = asked->question ? name_of(*asked->question) : std::string();
    if (!asked->verdict.well && !asked->verdict.certain) {
      const bool again = doubted_.contains(name);
      doubted.emplace(name, true);
      if (!again) continue;
    }
    tell(*asked);
  }
  doubted_ = std::move(doubted);
}

Task<void> HealthChecks::ask(Asked& asked) {
  if (!asked.question) {
    asked.verdict = {.reason = asked.question.error().message};
    co_return;
  }
  asked.verdict = co_await answer_to(*asked.question);
}

Task<HealthChecks::Verdict> HealthChecks::answer_to(const HealthQuestion& question) {
  const std::chrono::milliseconds timeout(settings_.timeout.ms);
  const engines::CallDeadline deadline(loop_, stopping_.token(), timeout);
  net::ClientRequest request{.target = question.path};
  for (const auto& [name, value] : question.headers) request.headers.emplace_back(name, value);
  const auto failed = [&](const Error& error) -> Verdict {
    if (deadline.expired()) {
      return {.certain = false,
              .reason = fmt::format("{} gave no answer within {} ms", name_of(question), timeout.count())};
    }
    return {.certain = error.code == ErrorCode::kUnavailable, .reason = error.message};
  };
  auto response = co_await client_.send(question.endpoint, request, deadline.token());
  if (!response) co_return failed(response.error());
  const int status = response->status();
  const bool page = to_lower(response->headers().get("content-type").value_or("")).starts_with("text/html");
  // To its end, so that the connection can be used again.
  if (auto body = co_await response->read_all(kMostAnswer); !body) co_return failed(body.error());
  if (status == 401 || status == 403) {
    co_return Verdict{.reason =
                          fmt::format("{} answered with status {}: is the key right?", name_of(question), status)};
  }
  if (status < 200 || status > 299) {
    co_return Verdict{.reason = fmt::format("{} answered with status {}", name_of(question), status)};
  }
  if (page) {
    co_return Verdict{.reason = fmt::format("{} answered with a web page: another service?", name_of(question))};
  }
  co_return Verdict{.well = true};
}

void HealthChecks::tell(const Asked& asked) {
  for (const auto& replica : asked.replicas) {
    const auto now = replica->now();
    const bool was_well = replica->report(now).well;
    replica->health(asked.verdict.well, now, asked.verdict.reason);
    if (was_well && !asked.verdict.well) {
      log_.warn("engine is ill", {{"engine", replica->key()}, {"reason", asked.verdict.reason}});
    } else if (!was_well && asked.verdict.well) {
      log_.info("engine is well again", {{"engine", replica->key()}});
    }
  }
}

}  // namespace llm::router
