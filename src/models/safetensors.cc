#include "models/safetensors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "json/json.h"
#include "models/file_system.h"

namespace llm::models {

namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 16u << 20;

struct ElementType {
  std::string_view name;
  std::uint64_t bits;
};
constexpr auto kTypes = std::to_array<ElementType>({
    {"BOOL", 8},    {"U8", 8},      {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"I16", 16}, {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},
    {"U32", 32},    {"F32", 32},    {"F64", 64}, {"I64", 64},    {"U64", 64},    {"C64", 64},
});

std::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::kMalformed, fmt::format("not a sound safetensors file: {}", what));
}

std::optional<std::uint64_t> count_of(const json::value& value) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
  return std::nullopt;
}

std::uint64_t length_of(std::span<const std::byte> head) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= static_cast<std::uint64_t>(head[i]) << (8 * i);
  return length;
}

struct Tensor {
  std::string_view type;
  std::uint64_t elements = 1;
  std::uint64_t bytes = 0;
};

Result<Tensor> read_tensor(const json::value& value, std::uint64_t data_bytes) {
  if (!value.is_object()) return bad("a tensor that is not described by an object");
  const json::object& entry = value.get_object();
  const json::value* shape = json::find(entry, "shape");
  const json::value* offsets = json::find(entry, "data_offsets");
  if (shape == nullptr || !shape->is_array() || offsets == nullptr || !offsets->is_array() ||
      offsets->get_array().size() != 2) {
    return bad("a tensor without shape or place");
  }
  Tensor tensor{.type = json::string_or(entry, "dtype")};
  for (const auto& item : shape->get_array()) {
    const auto dimension = count_of(item);
    if (!dimension || __builtin_mul_overflow(tensor.elements, *dimension, &tensor.elements)) return bad("a shape");
  }
  const auto begin = count_of(offsets->get_array()[0]);
  const auto end = count_of(offsets->get_array()[1]);
  if (!begin || !end || *begin > *end || *end > data_bytes)
    return bad("a tensor outside the file; it may be cut short");
  tensor.bytes = *end - *begin;
  const auto type = std::ranges::find(kTypes, tensor.type, &ElementType::name);
  std::uint64_t bits = 0;
  if (type != kTypes.end() &&
      (__builtin_mul_overflow(tensor.elements, type->bits, &bits) || (bits + 7) / 8 != tensor.bytes)) {
    return bad("a tensor whose size is not that of its shape");
  }
  return tensor;
}

}  // namespace

Result<SafetensorsFacts> parse_safetensors(std::span<const std::byte> head, std::uint64_t file_size) {
  if (head.size() < kLengthBytes || file_size < kLengthBytes) return bad("it is too short");
  const std::uint64_t length = length_of(head);
  if (length > kMaxHeader || length > file_size - kLengthBytes || length > head.size() - kLengthBytes) {
    return bad("its header is too long, or it is cut short");
  }
  const std::string_view text(reinterpret_cast<const char*>(head.data()) + kLengthBytes, length);
  const auto document = json::parse(text);
  if (!document || !document->is_object()) return bad("its header is not a JSON object");
  SafetensorsFacts facts;
  std::map<std::string_view, std::uint64_t> by_type;
  for (const auto& [name, value] : document->get_object()) {
    if (std::string_view(name) == "__metadata__") continue;
    const auto tensor = read_tensor(value, file_size - kLengthBytes - length);
    if (!tensor) return fail(tensor.error());
    ++facts.tensors;
    if (__builtin_add_overflow(facts.parameters, tensor->elements, &facts.parameters) ||
        __builtin_add_overflow(facts.bytes, tensor->bytes, &facts.bytes)) {
      return bad("more tensors than there can be");
    }
    by_type[tensor->type] += tensor->bytes;
  }
  if (facts.bytes > file_size) return bad("tensors that lie over each other");
  const auto most = std::ranges::max_element(by_type, {}, [](const auto& entry) { return entry.second; });
  if (most != by_type.end()) facts.dominant_type = most->first;
  return facts;
}

Result<SafetensorsFacts> read_safetensors(int fd, const std::filesystem::path& path) {
  const auto size = file_size_of(fd, path);
  if (!size) return fail(size.error());
  std::vector<std::byte> head(std::min<std::uint64_t>(*size, kLengthBytes));
  if (::pread(fd, head.data(), head.size(), 0) != static_cast<ssize_t>(head.size()) || head.size() < kLengthBytes) {
    return fail(ErrorCode::kMalformed, fmt::format("{}: not a sound safetensors file: it is too short", path.string()));
  }
  const std::uint64_t wanted = std::min({length_of(head), kMaxHeader, *size - kLengthBytes}) + kLengthBytes;
  head.resize(wanted);
  for (std::size_t done = 0; done < wanted;) {
    const ssize_t got = ::pread(fd, head.data() + done, wanted - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const int saved = got < 0 ? errno : EIO;
      return fail(errno_error(saved, fmt::format("cannot read {}", path.string())));
    }
    done += static_cast<std::size_t>(got);
  }
  auto facts = parse_safetensors(head, *size);
  if (!facts) facts.error().message = fmt::format("{}: {}", path.filename().string(), facts.error().message);
  return facts;
}

}  // namespace llm::models
