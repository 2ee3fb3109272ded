#include "tools/model_watcher.h"

#include <fmt/format.h>
#include <memory>
#include <set>
#include <utility>

#include "async/watch.h"
#include "tools/model_names.h"
#include "tools/results.h"

namespace llm::tools {
namespace {

// The keys whose values differ, or that only one of them has.
std::set<std::string> differing(const std::map<std::string, std::string>& a,
                                const std::map<std::string, std::string>& b) {
  std::set<std::string> keys;
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    if (other == b.end() || other->second != value) keys.insert(key);
  }
  for (const auto& [key, value] : b) {
    if (!a.contains(key)) keys.insert(key);
  }
  return keys;
}

bool same_keys(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b) {
  return std::ranges::equal(
      a, b, {}, [](const auto& one) { return one.first; }, [](const auto& one) { return one.first; });
}

// What is worth a message; idle time and memory move all the time.
std::string worth_telling(const EngineEntry& engine) {
  return fmt::format("{}|{}|{:.1f}|{}|{}|{}", engine.state, engine.phase.value_or(""), engine.progress.value_or(0),
                     engine.in_flight.value_or(0), engine.restarts.value_or(0), engine.error.value_or(""));
}

}  // namespace

ModelWatcher::ModelWatcher(const mcp::Server& server, ModelApiSource source, Loop& loop,
                           std::chrono::milliseconds interval)
    : changes_(server.changes()), source_(std::move(source)), loop_(loop), interval_(interval) {}

Task<void> ModelWatcher::run(CancelToken stop) {
  Watch<bool> pause;       // never changes
  std::uint64_t told = 0;  // version of the watchers who have been told to look
  while (!stop.cancelled()) {
    const auto [watchers, version] = changes_.watchers().get();
    if (watchers <= 0) {
      forget();
      co_await changes_.watchers().changed(version, stop, std::nullopt);
      continue;
    }
    co_await look();
    if (seen_ && version != std::exchange(told, version)) announce_all(*seen_);
    co_await pause.changed(pause.get().version, stop, interval_);
  }
}

Task<void> ModelWatcher::look() {
  mcp::Context call;
  call.loop = &loop_;
  call.caller = std::make_shared<const mcp::Caller>();
  const auto api = source_(call);
  const auto models = co_await api->list_models();
  if (!models) co_return;
  const auto engines = co_await api->engines();
  if (!engines) co_return;
  View now = view(*models, *engines);
  if (seen_) announce(*seen_, now);
  seen_ = std::move(now);
}

ModelWatcher::View ModelWatcher::view(const json::object& models, const json::object& engines) {
  View view;
  for (const auto& model : read_model_list(models).models) view.models[model.name] = json::write(json::encode(model));
  for (const auto& engine : read_engines(engines).engines) view.engines[engine.model] = worth_telling(engine);
  return view;
}

void ModelWatcher::announce(const View& before, const View& now) const {
  const auto models = differing(before.models, now.models);
  const auto engines = differing(before.engines, now.engines);
  std::set<std::string> uris;
  for (const auto& name : models) uris.insert(model_uri(name));
  for (const auto& name : engines) uris.merge(std::set{model_uri(name), log_uri(name)});
  if (!models.empty()) uris.emplace(kModelsUri);
  if (!engines.empty()) uris.emplace(kEnginesUri);
  if (!uris.empty()) uris.emplace(kStatusUri);
  if (!same_keys(before.models, now.models)) changes_.announce({.kind = mcp::Change::Kind::kResources});
  tell(uris);
}

void ModelWatcher::announce_all(const View& now) const {
  std::set<std::string> uris{std::string(kModelsUri), std::string(kEnginesUri), std::string(kStatusUri)};
  for (const auto& [name, model] : now.models) uris.merge(std::set{model_uri(name), log_uri(name)});
  changes_.announce({.kind = mcp::Change::Kind::kResources});
  tell(uris);
}

void ModelWatcher::tell(const std::set<std::string>& uris) const {
  for (const auto& uri : uris) changes_.announce({.kind = mcp::Change::Kind::kResource, .subject = uri});
}

}  // namespace llm::tools
