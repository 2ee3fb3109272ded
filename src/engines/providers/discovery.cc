#include "engines/providers/discovery.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>

#include "async/task_group.h"
#include "engines/providers/call_deadline.h"
#include "engines/providers/fingerprint.h"

namespace llm::engines {
namespace {

using dialects::preset_of;
using dialects::ProviderKind;

constexpr std::size_t kMostBytes = 4 * 1024 * 1024;
constexpr std::chrono::milliseconds kConnect{500};
constexpr std::chrono::milliseconds kHead{1'000};

struct Answer {
  int status = 0;
  std::string body;
};

// One port's conversation; lives in the frame that waits for all of them.
struct Visit {
  PortGuess guess;
  std::optional<Discovered> found;
};

Task<Result<Answer>> get(net::HttpClient& client, std::uint16_t port, std::string target, CancelToken cancel) {
  const net::Endpoint endpoint{.host = "127.0.0.1", .port = port};
  auto response =
      co_await client.send(endpoint, {.target = target, .head_timeout = kHead, .stall_timeout = kHead}, cancel);
  if (!response) co_return fail(std::move(response.error()));
  Answer answer{response->status(), {}};
  auto body = co_await response->read_all(kMostBytes);
  if (body) answer.body = std::move(*body);
  co_return answer;
}

bool expected(const PortGuess& guess, ProviderKind kind) {
  return guess.kinds.empty() || std::ranges::find(guess.kinds, kind) != guess.kinds.end();
}

// Questions in the order that finds what is likely there first; what proves little stays last.
std::vector<FingerprintQuestion> ordered(const PortGuess& guess) {
  std::vector<FingerprintQuestion> questions;
  for (const bool likely : {true, false}) {
    for (const FingerprintQuestion& question : fingerprint_questions()) {
      const bool fits = !guess.kinds.empty() && expected(guess, question.kind);
      if (fits == likely) questions.push_back(question);
    }
  }
  return questions;
}

std::string said(const Discovered& found, const PortGuess& guess) {
  std::string what = !found.known ? "a server that is none we know" : std::string(preset_of(found.kind).title);
  if (!found.version.empty()) what += " " + found.version;
  if (!found.wrong) return fmt::format("port {}: {}", found.port, what);
  std::vector<std::string_view> usual;
  for (const ProviderKind kind : guess.kinds) usual.push_back(preset_of(kind).title);
  return fmt::format("port {} answers, but as {}, not {}", found.port, what, fmt::join(usual, " or "));
}

Task<void> list_models(net::HttpClient& client, Discovered& found, CancelToken cancel) {
  const auto listed = co_await get(client, found.port, "/v1/models", std::move(cancel));
  if (!listed) co_return;
  found.wants_key = listed->status == 401 || listed->status == 403;
  if (auto models = read_models(listed->body)) {
    found.models = std::move(models->ids);
    // A version alone is said by others, too.
    const bool foreign = !models->owner.empty() && models->owner != "vllm";
    if (found.kind == ProviderKind::kVllm && foreign) found.kind = ProviderKind::kOpenAiCompatible;
    if (found.models.size() > kMostModels) found.models.resize(kMostModels);
  }
}

Task<void> visit(Loop& loop, net::HttpClient& client, Visit& visit, std::chrono::milliseconds most,
                 CancelToken cancel) {
  const CallDeadline deadline(loop, cancel, most);
  Discovered found;
  found.port = visit.guess.port;
  bool answers = false;
  for (const FingerprintQuestion& question : ordered(visit.guess)) {
    const auto answer = co_await get(client, visit.guess.port, std::string(question.target), deadline.token());
    // Nothing listens, or it is no HTTP: the next question would hear the same.
    if (!answer) break;
    answers = true;
    const auto fingerprint = read_fingerprint(question, answer->status, answer->body);
    if (!fingerprint) continue;
    found.known = true;
    found.kind = fingerprint->kind;
    found.version = fingerprint->version;
    break;
  }
  if (!answers) co_return;
  if (found.known) co_await list_models(client, found, deadline.token());
  found.wrong = !visit.guess.kinds.empty() && !(found.known && expected(visit.guess, found.kind));
  found.message = said(found, visit.guess);
  visit.found = std::move(found);
}

}  // namespace

std::vector<PortGuess> known_ports() {
  using enum ProviderKind;
  return {{8000, {kVllm}},    {11434, {kOllama}}, {1234, {kLmStudio}}, {8080, {kLlamaServer, kTgi}},
          {30000, {kSglang}}, {3000, {kTgi}}};
}

Task<std::vector<Discovered>> discover(Loop& loop, DiscoverySettings settings, CancelToken cancel) {
  net::HttpClient client(loop, {.connect_timeout = kConnect, .idle_per_endpoint = 1});
  std::vector<Visit> visits;
  for (PortGuess& guess : settings.ports) visits.push_back({std::move(guess), std::nullopt});
  TaskGroup tasks(loop.executor());
  for (Visit& one : visits) tasks.spawn(visit(loop, client, one, settings.most, cancel));
  co_await tasks.join();
  std::vector<Discovered> found;
  for (Visit& one : visits) {
    if (one.found) found.push_back(std::move(*one.found));
  }
  co_return found;
}

std::string base_url_of(const Discovered& found) {
  return fmt::format("http://127.0.0.1:{}/v1", found.port);
}

std::string configuration_of(const Discovered& found, const std::string& name) {
  std::string out = fmt::format("providers:\n  {}:\n    preset: {}\n", name, to_string(found.kind));
  const std::string url = base_url_of(found);
  if (url != preset_of(found.kind).base_url) out += fmt::format("    base_url: {}\n", url);
  if (found.wants_key) out += "    api_key_env: NAME_OF_THE_VARIABLE\n";
  if (found.models.empty()) return out;
  // A JSON text is one of YAML, too, whatever a model is called.
  out += "    models:\n";
  for (const std::string& model : found.models) {
    out += "      - ";
    json::append_quoted(out, model);
    out += "\n";
  }
  return out;
}

}  // namespace llm::engines
