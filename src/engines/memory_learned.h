#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engines/engine.h"
#include "engines/memory_demand.h"

namespace llm::engines {

// What loads really took, for the next load of the same model with the same settings: estimates become measurements.
// Remembers the last 500 models with settings, and on which GPUs each engine ran. Not thread-safe: control loop only.
class LearnedMemory {
 public:
  // `file`: where it is kept (JSON); empty: nowhere. What cannot be read counts as nothing learned.
  explicit LearnedMemory(std::filesystem::path file);

  // The plan with its lines (but for the host's prompt cache, which fills as it likes) scaled to what was measured.
  MemoryPlan corrected(const EngineSpec& spec, MemoryPlan plan) const;
  // `plan`: as estimated, before any correction. `peak`: the most that was measured; places that are not measured are
  // left out (0, absent). `served`: it has answered requests, so that it may also count as less than estimated.
  void learn(const EngineSpec& spec, const MemoryPlan& plan, const MemoryDemand& peak, bool served);

  void placed(const std::string& key, const std::vector<std::uint32_t>& gpus);
  std::vector<std::uint32_t> last_placement(const std::string& key) const;

  // Writes the file if something changed, atomically; blocking. What goes wrong is no reason to stop: false.
  bool save();

 private:
  struct Factors {
    double host = 1;
    double device = 1;
    std::uint64_t used_at = 0;  // orders entries by age
  };
  void load();
  static std::string fingerprint(const EngineSpec& spec);

  std::filesystem::path file_;
  std::map<std::string, Factors> factors_;
  std::map<std::string, std::vector<std::uint32_t>> placements_;
  std::uint64_t clock_ = 0;
  bool changed_ = false;
};

}  // namespace llm::engines
