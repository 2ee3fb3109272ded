#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "json/json.h"

namespace llm::json {

// A length of time in a request or a setting. Accepts "5m", "1h30m", "250ms", a number of seconds, and -1 for "never"
// where the field's minimum allows it.
struct Duration {
  std::int64_t ms = 0;

  static constexpr std::int64_t kNever = -1;
  bool never() const { return ms < 0; }
  friend auto operator<=>(const Duration&, const Duration&) = default;
};

// A number of bytes in a request or a setting. Accepts "512MiB", "8 GB" or an integer.
struct ByteSize {
  std::uint64_t bytes = 0;
  friend auto operator<=>(const ByteSize&, const ByteSize&) = default;
};

// One string, or a list of strings (`stop`, `input` of the OpenAI API). `is_list` keeps what the client wrote.
struct StringOrList {
  std::vector<std::string> items;
  bool is_list = false;

  bool empty() const { return items.empty(); }
  friend bool operator==(const StringOrList&, const StringOrList&) = default;
};

// The text that parses back to the same value: "1h30m", "250ms", "-1"; "512MiB", "1000".
std::string to_text(Duration duration);
std::string to_text(ByteSize size);

// What a field table says about a field beside its name and member. For a list, minimum, maximum and the lengths hold
// for each item; for an optional, for the value where there is one.
struct FieldOptions {
  std::string_view description{};
  bool required = false;
  std::optional<double> minimum{};  // Duration: milliseconds (a minimum of 0 forbids -1); ByteSize: bytes
  std::optional<double> maximum{};
  std::optional<double> exclusive_minimum{};
  std::optional<std::size_t> min_length{};  // characters, not bytes
  std::optional<std::size_t> max_length{};
  std::optional<std::size_t> min_items{};  // lists and maps
  std::optional<std::size_t> max_items{};
  bool secret = false;      // never shown: not in errors, not in encode() with redact_secrets
  bool reloadable = false;  // a setting that takes effect without a restart
};

enum class Unknown { kReject, kIgnore };

struct DecodeOptions {
  Unknown unknown = Unknown::kReject;
  std::string_view pointer{};       // JSON Pointer of the value that is decoded, prefix of every error's pointer
  bool null_is_absent = false;      // null counts as absent for every field, not only for optional ones
  std::string_view noun = "field";  // what messages call a member ("key" in a configuration file)
};

struct EncodeOptions {
  bool redact_secrets = false;  // secrets that are set become "***"
};

struct SchemaOptions {
  bool closed = true;  // "additionalProperties": false
};

enum class Kind {
  kBool,
  kInteger,
  kNumber,
  kString,
  kEnum,
  kStringOrList,
  kDuration,
  kByteSize,
  kList,
  kMap,
  kStruct,
  kObject,  // any JSON object
  kAny,     // any JSON value
};

// Where a decoder stands: a chain on the stack that becomes text only when there is an error.
class Path {
 public:
  explicit Path(std::string_view root) : token_(root) {}
  Path(const Path& parent, std::string_view token) : parent_(&parent), token_(token) {}
  Path(const Path& parent, std::size_t index) : parent_(&parent), index_(index) {}
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

  std::string pointer() const;

 private:
  const Path* parent_ = nullptr;
  std::string_view token_;
  std::optional<std::size_t> index_;
};

class TableBase;

// How one C++ type is read, written and described. Instances are immutable and live as long as the program; the
// `void*` of each function points at an object of that C++ type.
class Type {
 public:
  Type() = default;
  Type(const Type&) = delete;
  Type& operator=(const Type&) = delete;
  virtual ~Type() = default;

  virtual Kind kind() const = 0;
  virtual bool is_optional() const { return false; }
  // kInvalidArgument with a JSON Pointer and a message of the form "expected ..., got ...".
  virtual Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                              const DecodeOptions& options) const = 0;
  // False: there is nothing to write, the member is left out.
  virtual bool encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const = 0;
  // JSON Schema 2020-12 of the value, with its bounds and without its description.
  virtual object schema(const FieldOptions& field, const SchemaOptions& options) const = 0;
  // "integer", "list of string", "auto|on|off": for people.
  virtual std::string name() const = 0;
  // "0..65535", ">= 1", "at most 8 items"; empty without bounds.
  virtual std::string bounds(const FieldOptions& field) const;
  virtual const Type* element() const { return nullptr; }     // of a list or a map
  virtual const TableBase* table() const { return nullptr; }  // of a struct
};

namespace detail {

const Type& bool_type();
const Type& integer_type(std::size_t bytes, bool is_signed);  // 1, 2, 4 or 8 bytes
const Type& double_type();
const Type& float_type();
const Type& string_type();
const Type& string_or_list_type();
const Type& duration_type();
const Type& byte_size_type();
const Type& object_type();
const Type& any_type();

class EnumTypeBase : public Type {
 public:
  Kind kind() const override { return Kind::kEnum; }
  Result<void> decode(const value&, void*, const FieldOptions&, const Path&, const DecodeOptions&) const override;
  bool encode(const void*, value&, const FieldOptions&, const EncodeOptions&) const override;
  object schema(const FieldOptions&, const SchemaOptions&) const override;
  std::string name() const override;

 protected:
  virtual std::vector<std::string_view> names() const = 0;
  virtual void set(void* out, std::size_t index) const = 0;
  virtual std::string_view name_of(const void* in) const = 0;  // empty: not in the table
};

class OptionalTypeBase : public Type {
 public:
  Kind kind() const override { return inner().kind(); }
  bool is_optional() const override { return true; }
  Result<void> decode(const value&, void*, const FieldOptions&, const Path&, const DecodeOptions&) const override;
  bool encode(const void*, value&, const FieldOptions&, const EncodeOptions&) const override;
  object schema(const FieldOptions& field, const SchemaOptions& options) const override {
    return inner().schema(field, options);
  }
  std::string name() const override { return inner().name(); }
  std::string bounds(const FieldOptions& field) const override { return inner().bounds(field); }
  const Type* element() const override { return inner().element(); }
  const TableBase* table() const override { return inner().table(); }

 protected:
  virtual const Type& inner() const = 0;
  virtual void reset(void* optional) const = 0;
  virtual void* emplace(void* optional) const = 0;
  virtual const void* get(const void* optional) const = 0;  // nullptr: unset
};

class ListTypeBase : public Type {
 public:
  Kind kind() const override { return Kind::kList; }
  Result<void> decode(const value&, void*, const FieldOptions&, const Path&, const DecodeOptions&) const override;
  bool encode(const void*, value&, const FieldOptions&, const EncodeOptions&) const override;
  object schema(const FieldOptions&, const SchemaOptions&) const override;
  std::string name() const override;
  std::string bounds(const FieldOptions& field) const override;

 protected:
  virtual void clear(void* list) const = 0;
  virtual void* append(void* list) const = 0;  // valid until the next append
  virtual std::size_t size(const void* list) const = 0;
  virtual const void* item(const void* list, std::size_t index) const = 0;
};

class MapTypeBase : public Type {
 public:
  Kind kind() const override { return Kind::kMap; }
  Result<void> decode(const value&, void*, const FieldOptions&, const Path&, const DecodeOptions&) const override;
  bool encode(const void*, value&, const FieldOptions&, const EncodeOptions&) const override;
  object schema(const FieldOptions&, const SchemaOptions&) const override;
  std::string name() const override;

 protected:
  virtual void clear(void* map) const = 0;
  virtual void* insert(void* map, std::string_view key) const = 0;
  virtual void for_each(const void* map, const std::function<void(const std::string&, const void*)>& visit) const = 0;
};

class StructTypeBase : public Type {
 public:
  Kind kind() const override { return Kind::kStruct; }
  Result<void> decode(const value&, void*, const FieldOptions&, const Path&, const DecodeOptions&) const override;
  bool encode(const void*, value&, const FieldOptions&, const EncodeOptions&) const override;
  object schema(const FieldOptions&, const SchemaOptions&) const override;
  std::string name() const override { return "object"; }
};

// "expected {expected}, got {what `in` is}" at that place. Strings are shown only if `show_text`.
std::unexpected<Error> mismatch(std::string_view expected, const value& in, const Path& at, const FieldOptions& field,
                                bool show_text = false);
// Is `count` within [least, most]? The error says how many `noun`s ("character", "item") there may be.
Result<void> check_count(std::size_t count, const std::optional<std::size_t>& least,
                         const std::optional<std::size_t>& most, std::string_view noun, const Path& at);

}  // namespace detail

}  // namespace llm::json
