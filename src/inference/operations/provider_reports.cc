// provider.list, provider.health, provider.discover.
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "async/task_group.h"
#include "engines/providers/discovery.h"
#include "engines/providers/provider_client.h"
#include "inference/operations/provider_calls.h"

namespace llm::inference {
namespace {

using dialects::preset_of;
using engines::ProviderSettings;

constexpr std::chrono::milliseconds kCheck{3'000};

// One provider's report while it is made; lives in the frame that waits for all of them.
struct Report {
  std::string name;
  ProviderSettings settings;
  bool check = false;
  json::object out;
};

// What the router thinks of the provider's models that were asked for: the worst counts.
void add_routing(const Backend& backend, const std::string& name, json::object& out) {
  if (backend.router == nullptr) return;
  json::array replicas;
  auto worst = router::BreakerState::kClosed;
  const auto now = backend.router->now();
  for (const auto& replica : backend.router->replicas()) {
    if (!replica->key().starts_with(name + "/")) continue;
    const auto report = replica->report(now);
    if (report.breaker == router::BreakerState::kOpen || worst == router::BreakerState::kClosed) worst = report.breaker;
    replicas.push_back(json::object{{"model", report.key.substr(name.size() + 1)},
                                    {"breaker", to_string(report.breaker)},
                                    {"in_flight", report.requests},
                                    {"failures", report.failures},
                                    {"successes", report.successes}});
  }
  out["breaker"] = to_string(worst);
  out["replicas"] = std::move(replicas);
}

json::object described(const Report& report) {
  const ProviderSettings& settings = report.settings;
  const auto& preset = preset_of(settings.preset);
  const auto endpoint = net::parse_endpoint(engines::base_url_of(settings));
  json::array models;
  for (const auto& model : settings.models) models.emplace_back(model);
  return {{"name", report.name},
          {"preset", preset.name},
          {"title", preset.title},
          {"address", endpoint ? endpoint->text() : std::string()},
          {"locality", engines::leaves_machine(settings) ? "remote" : "local"},
          {"cloud", preset.cloud},
          {"key", api_key_of(settings) ? "ready" : "missing"},
          {"models", std::move(models)}};
}

Task<void> ask(Loop& loop, net::HttpClient& client, Report& report, CancelToken cancel) {
  const auto begin = std::chrono::steady_clock::now();
  const auto provider = engines::ProviderClient::make(loop, client, report.settings);
  Result<json::value> answer = provider ? co_await provider->ask({.target = engines::health_path_of(report.settings),
                                                                  .at_root = false,
                                                                  .head_timeout = kCheck,
                                                                  .most = kCheck},
                                                                 cancel)
                                        : Result<json::value>(fail(provider.error()));
  const auto took = std::chrono::steady_clock::now() - begin;
  report.out["reachable"] = answer.has_value();
  report.out["seconds"] = std::chrono::duration<double>(took).count();
  if (!answer) report.out["error"] = answer.error().message;
}

// `which` empty: all. `remote`: also those that are not on this machine.
Task<Result<json::object>> reports(OperationContext context, std::string which, bool check, bool remote) {
  std::vector<Report> all;
  if (which.empty()) {
    for (const auto& [name, settings] : context.backend.catalogue.settings().external) {
      all.push_back({name, settings, check, {}});
    }
  } else {
    auto found = find_provider(context.backend, which);
    if (!found) co_return fail(std::move(found.error()));
    all.push_back({found->name, found->settings, check, {}});
  }
  net::HttpClient client(context.loop, {.connect_timeout = kCheck});
  TaskGroup tasks(context.loop.executor());
  for (Report& report : all) {
    report.out = described(report);
    add_routing(context.backend, report.name, report.out);
    if (!report.check || (!remote && engines::leaves_machine(report.settings))) continue;
    tasks.spawn(ask(context.loop, client, report, context.cancel));
  }
  co_await tasks.join();
  json::array providers;
  for (Report& report : all) providers.push_back(std::move(report.out));
  co_return json::object{{"providers", std::move(providers)}};
}

}  // namespace

Result<NamedProvider> find_provider(const Backend& backend, std::string_view name, std::string pointer) {
  const auto& all = backend.catalogue.settings().external;
  if (const auto found = all.find(std::string(name)); found != all.end()) {
    return NamedProvider{found->first, found->second};
  }
  std::vector<std::string_view> names;
  std::vector<NamedProvider> of_kind;
  for (const auto& [one, settings] : all) {
    names.push_back(one);
    if (to_string(settings.preset) == name) of_kind.push_back({one, settings});
  }
  if (of_kind.size() == 1) return of_kind.front();
  if (names.empty()) {
    return fail(ErrorCode::kNotFound,
                "no provider is configured; \"llm-mcp providers discover\" shows what runs here and how to name it",
                std::move(pointer));
  }
  return fail(ErrorCode::kNotFound,
              fmt::format("there is no provider \"{}\"; there are {}", name, fmt::join(names, ", ")),
              std::move(pointer));
}

Task<Result<json::object>> list_providers(OperationContext context, json::object arguments) {
  const auto query = json::decode<ProviderListQuery>(arguments);
  if (!query) co_return fail(query.error());
  co_return co_await reports(std::move(context), "", query->check, false);
}

Task<Result<json::object>> check_providers(OperationContext context, json::object arguments) {
  const auto query = json::decode<ProviderHealthQuery>(arguments);
  if (!query) co_return fail(query.error());
  co_return co_await reports(std::move(context), query->name, true, true);
}

Task<Result<json::object>> discover(Loop& loop, DiscoverRequest request,
                                    std::map<std::string, ProviderSettings> configured, CancelToken cancel) {
  engines::DiscoverySettings settings{.ports = {}, .most = std::chrono::milliseconds(request.timeout.ms)};
  if (request.known) settings.ports = engines::known_ports();
  for (const std::uint16_t port : request.ports) {
    if (std::ranges::find(settings.ports, port, &engines::PortGuess::port) == settings.ports.end()) {
      settings.ports.push_back({port, {}});
    }
  }
  json::array ports;
  for (const auto& guess : settings.ports) ports.emplace_back(guess.port);
  json::array list;
  for (const auto& found : co_await engines::discover(loop, std::move(settings), std::move(cancel))) {
    std::string name(to_string(found.kind));
    std::string already;
    for (const auto& [one, provider] : configured) {
      const auto endpoint = net::parse_endpoint(engines::base_url_of(provider));
      if (endpoint && net::is_loopback(endpoint->host) && endpoint->port == found.port) already = one;
    }
    if (already.empty() && configured.contains(name)) name += fmt::format("-{}", found.port);
    json::array models;
    for (const auto& model : found.models) models.emplace_back(model);
    json::object one{{"port", found.port},
                     {"known", found.known},
                     {"kind", found.known ? json::value(to_string(found.kind)) : json::value()},
                     {"title", found.known ? json::value(preset_of(found.kind).title) : json::value()},
                     {"version", found.version},
                     {"wrong", found.wrong},
                     {"wants_key", found.wants_key},
                     {"base_url", engines::base_url_of(found)},
                     {"models", std::move(models)},
                     {"message", found.message}};
    if (!already.empty()) one["configured_as"] = already;
    if (found.known) one["configuration"] = engines::configuration_of(found, already.empty() ? name : already);
    list.push_back(std::move(one));
  }
  co_return json::object{{"found", std::move(list)}, {"ports", std::move(ports)}};
}

Task<Result<json::object>> discover_providers(OperationContext context, json::object arguments) {
  auto request = json::decode<DiscoverRequest>(arguments);
  if (!request) co_return fail(request.error());
  co_return co_await discover(context.loop, std::move(*request), context.backend.catalogue.settings().external,
                              context.cancel);
}

}  // namespace llm::inference
