// What the catalogue makes of the model store and the configuration.
#include <fmt/format.h>

#include "router/catalogue.h"

namespace llm::router {
namespace {

// What clients see: the version only where it is not the default one.
std::string shown_name(const models::ModelName& name) {
  return name.version == models::kDefaultVersion ? name.name : models::to_string(name);
}

// The entry that several equal engines serve: the first has the model's own key, the n-th one that ends in "#n".
std::shared_ptr<CatalogueEntry> make_entry(engines::EngineSpec spec, std::uint32_t replicas) {
  auto entry = std::make_shared<CatalogueEntry>();
  const std::string key = spec.key;
  entry->name = key;
  entry->version = key;
  for (std::uint32_t i = 0; i < replicas; ++i) {
    auto one = std::make_shared<engines::EngineSpec>(spec);
    one->replica = i;
    if (i > 0) one->key = fmt::format("{}#{}", key, i);
    entry->replicas.push_back(std::move(one));
  }
  entry->spec = entry->replicas.front();
  return entry;
}

engines::EngineSpec provider_spec(const std::string& provider, const std::string& model,
                                  const engines::ProviderSettings& settings) {
  engines::EngineSpec spec;
  spec.key = provider + "/" + model;
  spec.model = model;
  spec.name = provider;
  spec.external = settings;
  return spec;
}

void add(CatalogueSnapshot& snapshot, std::shared_ptr<CatalogueEntry> entry, std::initializer_list<std::string> names) {
  snapshot.entries.push_back(entry);
  for (const auto& name : names) snapshot.by_name.emplace(name, entry);
}

}  // namespace

const engines::ModelSettings* Catalogue::settings_for(const models::ModelName& name) const {
  for (const auto& key : {models::to_string(name), name.name}) {
    if (const auto found = settings_.models.find(key); found != settings_.models.end()) return &found->second;
  }
  return nullptr;
}

// Notes and licences change a version, but not what an engine makes of it.
std::string Catalogue::engine_key(const models::Manifest& manifest) const {
  std::string served = manifest.digest.hex();
  if (manifest.settings) served += json::write(*manifest.settings);
  const std::lock_guard lock(mutex_);
  const auto [first, added] = first_seen_.try_emplace(manifest.name, served);
  const std::string tag = models::to_string(manifest.name);
  if (first->second == served) return tag;
  return fmt::format("{}@sha256:{}", tag, manifest.version().hex().substr(0, models::kFewestDigits));
}

std::shared_ptr<CatalogueEntry> Catalogue::entry_of(models::Manifest manifest) const {
  engines::EngineSpec spec;
  spec.key = engine_key(manifest);
  spec.model = shown_name(manifest.name);
  spec.facts = manifest.facts;
  if (const auto* settings = settings_for(manifest.name)) {
    spec.settings = *settings;
  } else if (manifest.settings) {
    if (auto own = json::decode<engines::ModelSettings>(*manifest.settings)) spec.settings = std::move(*own);
  }
  const std::string engine = spec.settings.engine;
  std::uint32_t replicas = spec.settings.replicas;
  if (const auto provider = settings_.external.find(engine); provider != settings_.external.end()) {
    spec.external = provider->second;
    spec.name = engine;
    replicas = 1;
  } else if (const auto vllm = settings_.vllm.find(engine); vllm != settings_.vllm.end()) {
    spec.vllm = vllm->second;
    spec.name = engine;
    replicas = vllm->second.replicas;
  }
  if (manifest.kind == models::ModelKind::kRepository) {
    if (spec.vllm) {
      if (auto folder = store_.repository_path(manifest)) spec.file = std::move(*folder);
    }
  } else if (!spec.external) {
    if (auto path = store_.blob_path(manifest.digest)) spec.file = std::move(*path);
  }
  auto entry = make_entry(std::move(spec), replicas);
  entry->name = models::to_string(manifest.name);
  entry->external = engine;
  entry->version = manifest.version_text();
  entry->manifest = std::move(manifest);
  return entry;
}

std::optional<models::Manifest> Catalogue::served_by_vllm(const std::string& engine, std::string_view stored) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = served_by_vllm_.find(engine); known != served_by_vllm_.end()) return known->second;
  }
  auto manifest = store_.find(stored);
  if (!manifest) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return served_by_vllm_.try_emplace(engine, std::move(*manifest)).first->second;
}

void Catalogue::add_configured(CatalogueSnapshot& snapshot) const {
  for (const auto& [name, settings] : settings_.vllm) {
    engines::EngineSpec spec;
    spec.key = settings.served_name.empty() ? name : settings.served_name;
    spec.model = spec.key;
    spec.name = name;
    spec.vllm = settings;
    std::string version;
    if (constexpr std::string_view kStored = "store:"; settings.model.starts_with(kStored)) {
      if (const auto manifest = served_by_vllm(name, std::string_view(settings.model).substr(kStored.size()))) {
        version = manifest->version_text();
        spec.facts = manifest->facts;
        auto files = manifest->kind == models::ModelKind::kRepository ? store_.repository_path(*manifest)
                                                                      : store_.blob_path(manifest->digest);
        if (files) spec.file = std::move(*files);
      }
    }
    auto entry = make_entry(spec, settings.replicas);
    entry->external = name;
    if (!version.empty()) entry->version = std::move(version);
    add(snapshot, entry, {spec.key, name, name + "/" + spec.key});
    if (!settings_.adapters) continue;
    for (const auto& adapter : settings_.adapters->adapters_of(name)) {
      auto own = std::make_shared<CatalogueEntry>(*entry);
      auto named = std::make_shared<engines::EngineSpec>(spec);
      named->key = named->model = spec.key + ":" + adapter.name;
      named->adapter = adapter.name;
      own->name = own->version = named->key;
      const std::string key = named->key;
      own->spec = std::move(named);
      add(snapshot, std::move(own), {key});
    }
  }
  for (const auto& [name, settings] : settings_.external) {
    for (const auto& model : settings.models) {
      auto entry = make_entry(provider_spec(name, model, settings), 1);
      entry->external = name;
      add(snapshot, std::move(entry), {name + "/" + model, model});
    }
  }
}

// Whatever an alias leads to has a name here, so that a request through it costs a look-up, too.
void Catalogue::add_aliases(CatalogueSnapshot& snapshot, std::map<std::string, models::Alias> records) const {
  const auto entry_for = [&](const std::string& target) -> std::shared_ptr<const CatalogueEntry> {
    if (const auto known = snapshot.by_name.find(target); known != snapshot.by_name.end()) return known->second;
    const auto version = models::parse_version_ref(target);
    if (!version || version->digits.empty()) return nullptr;
    auto manifest = store_.find(*version);
    if (!manifest) return nullptr;
    const auto current = snapshot.by_name.find(models::to_string(manifest->name));
    if (current != snapshot.by_name.end() && current->second->version == manifest->version_text()) {
      return current->second;
    }
    return entry_of(std::move(*manifest));
  };
  for (auto& [alias, record] : records) {
    for (const auto* list : {&record.targets, &record.shadow}) {
      for (const auto& target : *list) {
        if (auto entry = entry_for(target.model)) snapshot.by_name.emplace(target.model, std::move(entry));
      }
    }
    const auto first = record.targets.empty() ? snapshot.by_name.end() : snapshot.by_name.find(record.targets[0].model);
    if (first == snapshot.by_name.end()) continue;
    const auto entry = first->second;
    snapshot.aliases.emplace(alias, entry->name);
    snapshot.by_name.emplace(alias, entry);
    snapshot.alias_records.emplace(alias, std::move(record));
  }
}

Result<std::shared_ptr<const CatalogueSnapshot>> Catalogue::read(std::uint64_t changes) const {
  const auto begin = std::chrono::steady_clock::now();
  auto listing = store_.list();
  if (!listing) return fail(listing.error());
  auto aliases = store_.alias_records();
  if (!aliases) return fail(aliases.error());
  auto snapshot = std::make_shared<CatalogueSnapshot>();
  snapshot->read_at = begin;
  snapshot->changes = changes;
  if (settings_.adapters) snapshot->adapters = settings_.adapters->version();
  for (auto& manifest : listing->models) {
    auto entry = entry_of(std::move(manifest));
    const std::string name = entry->name;
    const std::string shown = entry->spec->model;
    const std::string key = entry->spec->key;
    add(*snapshot, std::move(entry), {name, shown, key});
  }
  add_configured(*snapshot);
  add_aliases(*snapshot, std::move(*aliases));
  return std::shared_ptr<const CatalogueSnapshot>(std::move(snapshot));
}

std::shared_ptr<const CatalogueEntry> Catalogue::dynamic_external(std::string_view name) const {
  const auto slash = name.find('/');
  if (slash == std::string_view::npos || slash + 1 == name.size()) return nullptr;
  const auto provider = settings_.external.find(std::string(name.substr(0, slash)));
  if (provider == settings_.external.end()) return nullptr;
  auto entry = make_entry(provider_spec(provider->first, std::string(name.substr(slash + 1)), provider->second), 1);
  entry->external = provider->first;
  return entry;
}

}  // namespace llm::router
