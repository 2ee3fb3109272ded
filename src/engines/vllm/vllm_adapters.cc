#include "engines/vllm/vllm_adapters.h"

#include <algorithm>

namespace llm::engines {
namespace {

constexpr std::size_t kMostName = 128;
constexpr std::size_t kMostPath = 4096;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool same(const LoraModule& one, const LoraModule& other) {
  return one.name == other.name && one.path == other.path;
}

}  // namespace

Result<void> check_adapter_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kMostName && name.front() != '.' && name.front() != '-' &&
                    std::ranges::all_of(name, is_name_char);
  if (good) return {};
  return fail(
      ErrorCode::kInvalidArgument,
      "expected an adapter's name of up to 128 letters, digits, \"-\", \"_\" and \".\", beginning with a letter, "
      "a digit or \"_\"",
      "/name");
}

Result<void> check_adapter_path(std::string_view path) {
  const bool good = !path.empty() && path.size() <= kMostPath && path.front() != '-' &&
                    std::ranges::none_of(path, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (good) return {};
  return fail(ErrorCode::kInvalidArgument,
              "expected the adapter's folder as the engine sees it, or a Hugging Face repository", "/path");
}

void VllmAdapters::reset(const std::string& engine, const std::vector<LoraModule>& configured) {
  set(engine, configured);
}

void VllmAdapters::set(const std::string& engine, std::vector<LoraModule> adapters) {
  const std::scoped_lock lock(mutex_);
  auto& known = engines_[engine];
  if (std::ranges::equal(known, adapters, same)) return;
  known = std::move(adapters);
  ++version_;
}

void VllmAdapters::add(const std::string& engine, LoraModule adapter) {
  const std::scoped_lock lock(mutex_);
  auto& known = engines_[engine];
  std::erase_if(known, [&adapter](const LoraModule& one) { return one.name == adapter.name; });
  known.push_back(std::move(adapter));
  ++version_;
}

void VllmAdapters::remove(const std::string& engine, std::string_view name) {
  const std::scoped_lock lock(mutex_);
  const auto known = engines_.find(engine);
  if (known == engines_.end()) return;
  const auto gone = std::erase_if(known->second, [name](const LoraModule& one) { return one.name == name; });
  if (gone > 0) ++version_;
}

std::vector<LoraModule> VllmAdapters::adapters_of(const std::string& engine) const {
  const std::scoped_lock lock(mutex_);
  const auto known = engines_.find(engine);
  return known == engines_.end() ? std::vector<LoraModule>() : known->second;
}

bool VllmAdapters::has(const std::string& engine, std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  const auto known = engines_.find(engine);
  return known != engines_.end() &&
         std::ranges::any_of(known->second, [name](const LoraModule& one) { return one.name == name; });
}

std::uint64_t VllmAdapters::version() const {
  const std::scoped_lock lock(mutex_);
  return version_;
}

}  // namespace llm::engines
