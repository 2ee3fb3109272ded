#include "engines/gpu/gpu_inventory.h"

#include <algorithm>

#include "base/strings.h"
#include "engines/gpu/nvml.h"

namespace llm {

const json::Table<engines::GpuSettings>& json::Fields<engines::GpuSettings>::table() {
  using S = engines::GpuSettings;
  static const Table<S> table{
      "GPU",
      {
          field("name", &S::name, {.description = "What it is called, for people.", .max_length = 128}),
          field("memory", &S::memory,
                {.description = "Its memory. Counts only where the driver's library does not say.", .required = true}),
      }};
  return table;
}

namespace engines {

struct GpuInventory::Nvml {
  std::unique_ptr<NvmlLibrary> library;
};

GpuInventory::GpuInventory(std::map<std::string, GpuSettings> configured, std::string library)
    : configured_(std::move(configured)) {
  auto opened = NvmlLibrary::open(library.empty() ? "libnvidia-ml.so.1" : library);
  if (opened) nvml_ = new Nvml{std::move(opened)};
}

GpuInventory::~GpuInventory() {
  delete nvml_;
}

bool GpuInventory::measures() const {
  return nvml_ != nullptr;
}

std::vector<Gpu> GpuInventory::read() const {
  if (nvml_) {
    // What the configuration calls them holds here too.
    auto gpus = nvml_->library->read();
    for (auto& gpu : gpus) {
      auto given = configured_.find(gpu.uuid);
      if (given == configured_.end()) given = configured_.find(std::to_string(gpu.index));
      if (given != configured_.end() && !given->second.name.empty()) gpu.name = given->second.name;
    }
    return gpus;
  }
  // Entries with an index keep it; those with a UUID take the numbers that are left, in the order of their names.
  std::vector<Gpu> out;
  std::vector<Gpu> without_index;
  for (const auto& [key, settings] : configured_) {
    Gpu gpu{.name = settings.name, .memory_total = settings.memory.bytes};
    if (const auto index = parse_number<std::uint32_t>(key)) {
      gpu.index = *index;
      out.push_back(std::move(gpu));
    } else {
      gpu.uuid = key;
      without_index.push_back(std::move(gpu));
    }
  }
  std::uint32_t next = 0;
  for (auto& gpu : without_index) {
    while (std::ranges::any_of(out, [next](const Gpu& other) { return other.index == next; })) ++next;
    gpu.index = next;
    out.push_back(std::move(gpu));
  }
  std::ranges::sort(out, {}, &Gpu::index);
  return out;
}

}  // namespace engines
}  // namespace llm
