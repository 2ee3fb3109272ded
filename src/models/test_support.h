#pragma once
// For the tests of this layer only: temporary folders, made-up GGUF files, a disk that fails on demand.

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

#include "models/file_system.h"

namespace llm::models::testing {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "llm-models-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::size_t count_files(const std::filesystem::path& folder) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) count += !entry.is_directory();
  return count;
}

inline const std::atomic<bool>& never() {
  static const std::atomic<bool> flag{false};
  return flag;
}

// Writes a GGUF header and zeroed data, field by field.
class GgufBuilder {
 public:
  explicit GgufBuilder(std::string_view architecture = "llama") { text("general.architecture", architecture); }

  GgufBuilder& text(std::string_view key, std::string_view value) {
    begin(key, 8);
    string(pairs_, value);
    return *this;
  }
  GgufBuilder& number(std::string_view key, std::uint32_t value) {
    begin(key, 4);
    put(pairs_, value, 4);
    return *this;
  }
  GgufBuilder& flag(std::string_view key, bool value) {
    begin(key, 7);
    put(pairs_, value ? 1 : 0, 1);
    return *this;
  }
  GgufBuilder& numbers(std::string_view key, const std::vector<std::uint32_t>& values) {
    begin(key, 9);
    put(pairs_, 4, 4);
    put(pairs_, values.size(), 8);
    for (const auto value : values) put(pairs_, value, 4);
    return *this;
  }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& values) {
    begin(key, 9);
    put(pairs_, 8, 4);
    put(pairs_, values.size(), 8);
    for (const auto& value : values) string(pairs_, value);
    return *this;
  }
  // A tensor of F32.
  GgufBuilder& tensor(std::string_view name, std::uint64_t elements) {
    string(tensors_, name);
    put(tensors_, 1, 4);
    put(tensors_, elements, 8);
    put(tensors_, 0, 4);
    put(tensors_, data_, 8);
    data_ += (elements * 4 + 31) / 32 * 32;
    ++tensor_count_;
    return *this;
  }
  std::string build(char filler = '\0') const {
    std::string out = "GGUF";
    put(out, 3, 4);
    put(out, tensor_count_, 8);
    put(out, pair_count_, 8);
    out += pairs_ + tensors_;
    out.append((32 - out.size() % 32) % 32, '\0');
    return out.append(data_, filler);
  }

 private:
  static void put(std::string& out, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  }
  static void string(std::string& out, std::string_view value) {
    put(out, value.size(), 8);
    out += value;
  }
  void begin(std::string_view key, std::uint64_t type) {
    string(pairs_, key);
    put(pairs_, type, 4);
    ++pair_count_;
  }
  std::string pairs_;
  std::string tensors_;
  std::uint64_t data_ = 0;
  std::uint64_t pair_count_ = 0;
  std::uint64_t tensor_count_ = 0;
};

// A sound little model; `filler` makes files differ, `elements` makes them larger (4 bytes each).
inline std::string small_model(char filler = 'a', std::uint64_t elements = 256) {
  return GgufBuilder()
      .text("general.license", "apache-2.0")
      .number("llama.context_length", 2048)
      .number("llama.block_count", 1)
      .tensor("blk.0.ffn_up.weight", elements)
      .build(filler);
}

// The n-th call that changes the disk fails with `error_number` (n from 1; 0: none does); free space can be made up.
class FailingFileSystem final : public FileSystem {
 public:
  int fail_at = 0;
  std::atomic<int> calls = 0;
  int error_number = ENOSPC;
  std::uint64_t fake_free = 0;  // 0: the real value
  bool links = true;

  ssize_t write(int fd, const void* data, std::size_t size) override {
    return fails() ? -1 : FileSystem::write(fd, data, size);
  }
  int fsync(int fd) override { return fails() ? -1 : FileSystem::fsync(fd); }
  int rename(const char* from, const char* to) override { return fails() ? -1 : FileSystem::rename(from, to); }
  int link(const char* from, const char* to) override {
    if (!links) errno = EPERM;
    return !links || fails() ? -1 : FileSystem::link(from, to);
  }
  int clone(int, int) override {
    errno = EOPNOTSUPP;
    return -1;
  }
  Result<std::uint64_t> free_bytes(const std::filesystem::path& directory) override {
    return fake_free != 0 ? Result<std::uint64_t>(fake_free) : FileSystem::free_bytes(directory);
  }

 private:
  bool fails() {
    if (++calls != fail_at) return false;
    errno = error_number;
    return true;
  }
};

}  // namespace llm::models::testing
