#include "inference/default_model.h"

#include <algorithm>
#include <utility>

namespace llm::inference {
namespace {

std::vector<std::string> loaded_models(const engines::Supervisor& supervisor) {
  auto reports = supervisor.report();
  std::erase_if(reports, [](const auto& report) { return report.status.state != engines::EngineState::kReady; });
  std::ranges::sort(reports, {}, [](const auto& report) { return std::pair(report.idle_ms, report.key); });
  std::vector<std::string> keys;
  for (auto& report : reports) keys.push_back(std::move(report.key));
  return keys;
}

}  // namespace

engines::EngineMode mode_of(Operation operation) {
  switch (operation) {
    case Operation::kEmbedding:
      return engines::EngineMode::kEmbedding;
    case Operation::kRerank:
      return engines::EngineMode::kRerank;
    default:
      return engines::EngineMode::kGeneration;
  }
}

router::DefaultChoice default_choice(const engines::Supervisor& supervisor, std::string_view name,
                                     engines::EngineMode mode) {
  router::DefaultChoice choice{.mode = mode};
  if (name.empty()) choice.loaded = loaded_models(supervisor);
  return choice;
}

Task<Result<std::shared_ptr<const router::CatalogueEntry>>> resolve_model(router::Catalogue& catalogue,
                                                                          const engines::Supervisor& supervisor,
                                                                          std::string name, engines::EngineMode mode) {
  auto choice = default_choice(supervisor, name, mode);
  co_return co_await catalogue.resolve(std::move(name), std::move(choice));
}

}  // namespace llm::inference
