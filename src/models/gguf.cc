#include "models/gguf.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "base/strings.h"
#include "models/file_system.h"
#include "models/ggml_types.h"
#include "models/gguf_cursor.h"
#include "models/gguf_metadata.h"

namespace llm::models {

namespace {

constexpr std::uint64_t kMaxPairs = 1'000'000;
constexpr std::uint64_t kMaxTensors = 1'000'000;
constexpr std::uint64_t kMaxTensorName = 256;
constexpr std::uint64_t kMaxDimensions = 4;
constexpr std::uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

std::unexpected<Error> not_gguf(std::uint64_t magic) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>((magic >> (8 * i)) & 0xFF);
  std::string_view hint = "expected a GGUF file, for example one whose name ends in .gguf";
  if (bytes == "vers") hint = "it looks like a Git LFS pointer: get the real file (git lfs pull)";
  if (bytes.front() == '<') hint = "it looks like a web page: check the address or log in to the site";
  if (bytes.starts_with("PK")) hint = "it is a ZIP or PyTorch archive: convert the model to GGUF first";
  if (bytes == "lmgg" || bytes == "fmgg" || bytes == "tjgg") hint = "it is an old GGML file: convert it to GGUF first";
  return fail(ErrorCode::kMalformed, fmt::format("not a GGUF file: {}", hint));
}

Result<std::uint32_t> read_version(GgufCursor& cursor) {
  const auto magic = cursor.number(4, "file magic");
  if (!magic) return fail(ErrorCode::kMalformed, "not a GGUF file: it is shorter than 4 bytes");
  if (*magic != 0x46554747) return not_gguf(*magic);  // "GGUF"
  const auto version = cursor.number(4, "version");
  if (!version) return fail(version.error());
  if (*version == 2 || *version == 3) return static_cast<std::uint32_t>(*version);
  if (*version == 1) {
    return fail(ErrorCode::kUnsupported, "GGUF version 1 is not supported: convert the file with a current llama.cpp");
  }
  if ((*version & 0xFFFF) == 0 && *version != 0) {
    return fail(ErrorCode::kUnsupported,
                "this GGUF file is big endian and cannot run here: get the little-endian file of the model");
  }
  return fail(
      ErrorCode::kUnsupported,
      fmt::format("GGUF version {} is not supported (2 and 3 are); the file may need a newer llm-mcp", *version));
}

// Walks the tensor list and sums it up; keeps no tensor.
class TensorList {
 public:
  TensorList(GgufCursor& cursor, std::uint64_t alignment, GgufFacts& facts)
      : cursor_(cursor), alignment_(alignment), facts_(facts) {
    facts_.block_bytes.assign(static_cast<std::size_t>(facts_.block_count), 0);
  }

  Result<void> read(std::uint64_t count);

 private:
  struct Tensor {
    std::string name;
    std::uint64_t elements = 1;
    std::uint64_t bytes = 0;
    const GgmlType* type = nullptr;
  };
  Result<void> read_one();
  Result<void> read_shape(Tensor& tensor);
  Result<void> count(const Tensor& tensor);
  std::unexpected<Error> bad(const Tensor& tensor, std::string_view what) const {
    return fail(ErrorCode::kMalformed,
                fmt::format("tensor {} ({}): {}; the file is corrupt: get it again", facts_.tensor_count,
                            valid_utf8(tensor.name) ? tensor.name : "name is not UTF-8", what));
  }

  GgufCursor& cursor_;
  std::uint64_t alignment_;
  GgufFacts& facts_;
  std::uint64_t next_offset_ = 0;  // where the next tensor must start: tensors follow each other without holes
  std::uint64_t end_ = 0;          // end of the last tensor within the data section
  std::map<std::uint32_t, std::uint64_t> bytes_by_type_;
};

Result<void> TensorList::read_shape(Tensor& tensor) {
  const auto dimensions = cursor_.number(4, "tensor dimensions");
  if (!dimensions) return fail(dimensions.error());
  if (*dimensions > kMaxDimensions) return bad(tensor, fmt::format("{} dimensions; at most 4", *dimensions));
  std::uint64_t row = 1;
  for (std::uint64_t i = 0; i < *dimensions; ++i) {
    const auto length = cursor_.number(8, "tensor dimension");
    if (!length) return fail(length.error());
    if (i == 0) row = *length;
    if (*length > INT64_MAX || __builtin_mul_overflow(tensor.elements, *length, &tensor.elements) ||
        tensor.elements > INT64_MAX) {
      return bad(tensor, "more elements than 63 bits can count");
    }
  }
  const auto type = cursor_.number(4, "tensor type");
  if (!type) return fail(type.error());
  tensor.type = find_ggml_type(static_cast<std::uint32_t>(*type));
  if (tensor.type == nullptr) {
    return fail(
        ErrorCode::kUnsupported,
        fmt::format("tensor {} has type {}, which this version does not know: the file may need a newer llm-mcp",
                    facts_.tensor_count, *type));
  }
  if (row % tensor.type->block_elements != 0) {
    return bad(tensor, fmt::format("rows of {} elements do not fit {}'s blocks of {}", row, tensor.type->name,
                                   tensor.type->block_elements));
  }
  if (__builtin_mul_overflow(tensor.elements / tensor.type->block_elements, tensor.type->block_bytes, &tensor.bytes) ||
      tensor.bytes > INT64_MAX) {
    return bad(tensor, "more bytes than 63 bits can count");
  }
  return {};
}

Result<void> TensorList::read_one() {
  Tensor tensor;
  auto name = cursor_.text(kMaxTensorName, kMaxTensorName, "tensor name");
  if (!name) return fail(std::move(name.error()));
  tensor.name = std::move(name->bytes);
  if (auto ok = read_shape(tensor); !ok) return ok;
  const auto offset = cursor_.number(8, "tensor offset");
  if (!offset) return fail(offset.error());
  if (*offset != next_offset_) return bad(tensor, fmt::format("offset {} instead of {}", *offset, next_offset_));
  if (__builtin_add_overflow(*offset, tensor.bytes, &end_) || end_ > INT64_MAX) {
    return bad(tensor, "it ends beyond 63 bits");
  }
  next_offset_ = (end_ + alignment_ - 1) & ~(alignment_ - 1);  // both below 2^63 + 2^32: no overflow
  return count(tensor);
}

Result<void> TensorList::count(const Tensor& tensor) {
  if (__builtin_add_overflow(facts_.parameters, tensor.elements, &facts_.parameters)) {
    return bad(tensor, "more parameters than 64 bits can count");
  }
  ++facts_.tensor_count;
  facts_.tensor_bytes += tensor.bytes;  // cannot overflow: the sum of offsets, which is larger, stays below 2^63
  bytes_by_type_[tensor.type->id] += tensor.bytes;
  const std::string_view name = tensor.name;
  if (name.starts_with("blk.") || name.starts_with("enc.blk.") || name.starts_with("dec.blk.")) {
    const std::string_view rest = name.substr(name.find("blk.") + 4);
    const auto block = parse_number<std::uint64_t>(rest.substr(0, rest.find('.')));
    if (block && *block < facts_.block_bytes.size())
      facts_.block_bytes[static_cast<std::size_t>(*block)] += tensor.bytes;
    if (name.starts_with("enc.")) facts_.has_encoder = true;
  } else if (name.starts_with("token_embd")) {
    facts_.embedding_bytes += tensor.bytes;
  } else if (name.starts_with("output")) {
    facts_.output_bytes += tensor.bytes;
  }
  return {};
}

Result<void> TensorList::read(std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (auto ok = read_one(); !ok) return ok;
  }
  facts_.data_offset = (cursor_.offset() + alignment_ - 1) & ~(alignment_ - 1);
  facts_.file_bytes = cursor_.file_size();
  std::uint64_t expected = 0;
  const bool overflow = __builtin_add_overflow(facts_.data_offset, end_, &expected);
  if (count > 0 && (overflow || expected > cursor_.file_size())) {
    return fail(Error{ErrorCode::kMalformed,
                      fmt::format("the file is cut short: its tensors need {} bytes, it has {} ({}); get it again",
                                  expected, cursor_.file_size(), format_bytes(cursor_.file_size())),
                      {},
                      {{"expected_bytes", static_cast<std::int64_t>(std::min<std::uint64_t>(expected, INT64_MAX))},
                       {"file_bytes", static_cast<std::int64_t>(cursor_.file_size())}},
                      0});
  }
  const auto most = std::ranges::max_element(bytes_by_type_, {}, [](const auto& entry) { return entry.second; });
  if (most != bytes_by_type_.end()) facts_.dominant_type = find_ggml_type(most->first)->name;
  return {};
}

Result<std::uint64_t> read_count(GgufCursor& cursor, std::string_view what, std::uint64_t limit) {
  const auto count = cursor.number(8, what);
  if (!count) return count;
  if (*count > limit) {
    return fail(ErrorCode::kMalformed, fmt::format("the header claims {} {}; at most {}", *count, what, limit));
  }
  return count;
}

Result<GgufFacts> parse(GgufCursor& cursor) {
  GgufFacts facts;
  const auto version = read_version(cursor);
  if (!version) return fail(version.error());
  facts.version = *version;
  const auto tensors = read_count(cursor, "tensors", kMaxTensors);
  if (!tensors) return fail(tensors.error());
  const auto pairs = read_count(cursor, "metadata pairs", kMaxPairs);
  if (!pairs) return fail(pairs.error());
  if (*tensors * kMinTensorBytes + *pairs * kMinPairBytes > cursor.remaining()) {
    return fail(
        ErrorCode::kMalformed,
        fmt::format("the header claims {} tensors and {} metadata pairs, which do not fit a file of {} bytes; it "
                    "is cut short or corrupt: get it again",
                    *tensors, *pairs, cursor.file_size()));
  }
  GgufMetadata metadata(cursor);
  if (auto ok = metadata.read(*pairs); !ok) return fail(std::move(ok.error()));
  if (auto ok = metadata.conclude(facts); !ok) return fail(std::move(ok.error()));
  TensorList list(cursor, metadata.alignment(), facts);
  if (auto ok = list.read(*tensors); !ok) return fail(std::move(ok.error()));
  facts.quantisation = file_type_name(metadata.file_type());
  if (facts.quantisation.empty()) facts.quantisation = facts.dominant_type;
  return facts;
}

}  // namespace

std::string_view to_string(ModelMode mode) {
  switch (mode) {
    case ModelMode::kGeneration:
      return "generation";
    case ModelMode::kEmbedding:
      return "embedding";
    case ModelMode::kRerank:
      return "rerank";
  }
  return "";
}

std::optional<ModelMode> parse_model_mode(std::string_view text) {
  for (const auto mode : {ModelMode::kGeneration, ModelMode::kEmbedding, ModelMode::kRerank}) {
    if (to_string(mode) == text) return mode;
  }
  return std::nullopt;
}

Result<GgufFacts> read_gguf(int fd, const std::filesystem::path& path) {
  const auto size = file_size_of(fd, path);
  if (!size) return fail(size.error());
  GgufCursor cursor(fd, path, *size);
  auto facts = parse(cursor);
  if (!facts) facts.error().message = fmt::format("{}: {}", path.filename().string(), facts.error().message);
  return facts;
}

Result<GgufFacts> read_gguf(const std::filesystem::path& path) {
  const auto fd = open_regular(path, true);
  if (!fd) return fail(fd.error());
  return read_gguf(fd->get(), path);
}

Result<GgufFacts> parse_gguf(std::span<const std::byte> head, std::uint64_t file_size) {
  GgufCursor cursor(head, file_size);
  return parse(cursor);
}

}  // namespace llm::models
