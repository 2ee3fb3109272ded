#include "engines/gpu/nvml.h"

#include <array>
#include <dlfcn.h>

namespace llm::engines {
namespace {

constexpr int kSuccess = 0;           // NVML_SUCCESS
constexpr int kTemperatureOfGpu = 0;  // NVML_TEMPERATURE_GPU

template <class Function>
bool look_up(void* handle, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(handle, name));  // NOLINT
  return out != nullptr;
}

}  // namespace

std::unique_ptr<NvmlLibrary> NvmlLibrary::open(const std::string& library) {
  std::unique_ptr<NvmlLibrary> out(new NvmlLibrary);
  out->handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!out->handle_ || !out->bind()) return nullptr;
  out->started_ = out->init_() == kSuccess;
  return out->started_ ? std::move(out) : nullptr;
}

NvmlLibrary::~NvmlLibrary() {
  if (started_) shutdown_();
  if (handle_) dlclose(handle_);
}

bool NvmlLibrary::bind() {
  return look_up(handle_, "nvmlInit_v2", init_) && look_up(handle_, "nvmlShutdown", shutdown_) &&
         look_up(handle_, "nvmlDeviceGetCount_v2", count_) &&
         look_up(handle_, "nvmlDeviceGetHandleByIndex_v2", by_index_) && look_up(handle_, "nvmlDeviceGetUUID", uuid_) &&
         look_up(handle_, "nvmlDeviceGetName", name_) && look_up(handle_, "nvmlDeviceGetMemoryInfo", memory_) &&
         look_up(handle_, "nvmlDeviceGetUtilizationRates", utilization_) &&
         look_up(handle_, "nvmlDeviceGetTemperature", temperature_);
}

std::vector<Gpu> NvmlLibrary::read() const {
  std::vector<Gpu> out;
  unsigned int count = 0;
  if (count_(&count) != kSuccess) return out;
  for (unsigned int index = 0; index < count; ++index) {
    if (Gpu gpu; read_one(index, gpu)) out.push_back(std::move(gpu));
  }
  return out;
}

bool NvmlLibrary::read_one(unsigned int index, Gpu& out) const {
  Device device = nullptr;
  Memory memory{};
  if (by_index_(index, &device) != kSuccess || memory_(device, &memory) != kSuccess) return false;
  out.index = index;
  out.memory_total = memory.total;
  out.memory_used = memory.used;
  out.measured = true;
  std::array<char, 97> text{};  // NVML_DEVICE_UUID_V2_BUFFER_SIZE and ..._NAME_V2_...: 96; the last byte stays 0
  if (uuid_(device, text.data(), text.size() - 1) == kSuccess) out.uuid = text.data();
  text.fill('\0');
  if (name_(device, text.data(), text.size() - 1) == kSuccess) out.name = text.data();
  // Not every board tells these.
  if (Utilization rates{}; utilization_(device, &rates) == kSuccess) {
    out.utilization = static_cast<std::int32_t>(rates.gpu);
  }
  unsigned int degrees = 0;
  if (temperature_(device, kTemperatureOfGpu, &degrees) == kSuccess) {
    out.temperature = static_cast<std::int32_t>(degrees);
  }
  return true;
}

}  // namespace llm::engines
