#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engines/gpu/gpu_inventory.h"

namespace llm::engines {

// NVIDIA's management library, opened at run time. The seven functions and their types are declared here, since its
// header may not be on the machine that compiles; names, numbers and layouts are those of the NVML API Reference, which
// keeps them stable ("_v2" names stand for one layout for ever).
class NvmlLibrary {
 public:
  // nullptr: no such library, it lacks a function, or it does not start (no driver, no permission).
  static std::unique_ptr<NvmlLibrary> open(const std::string& library);
  ~NvmlLibrary();
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;

  // The GPUs as they are now; one that cannot be asked (lost, no permission) is left out. Thread-safe, as NVML is.
  std::vector<Gpu> read() const;

 private:
  using Device = struct nvmlDevice_st*;
  struct Memory {  // nvmlMemory_t
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
  };
  struct Utilization {  // nvmlUtilization_t, percent
    unsigned int gpu;
    unsigned int memory;
  };

  NvmlLibrary() = default;
  bool bind();
  bool read_one(unsigned int index, Gpu& out) const;

  void* handle_ = nullptr;
  bool started_ = false;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  int (*count_)(unsigned int* count) = nullptr;
  int (*by_index_)(unsigned int index, Device* device) = nullptr;
  int (*uuid_)(Device device, char* text, unsigned int length) = nullptr;
  int (*name_)(Device device, char* text, unsigned int length) = nullptr;
  int (*memory_)(Device device, Memory* memory) = nullptr;
  int (*utilization_)(Device device, Utilization* utilization) = nullptr;
  int (*temperature_)(Device device, int sensor, unsigned int* degrees) = nullptr;
};

}  // namespace llm::engines
