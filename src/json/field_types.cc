#include "json/field_types.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::json {
namespace {

constexpr std::size_t kShownCharacters = 40;  // of a wrong text in a message

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string shown(std::string_view text) {
  if (text.size() <= kShownCharacters) return fmt::format("\"{}\"", text);
  const std::string_view cut = text.substr(0, kShownCharacters);
  return fmt::format("\"{}...\"", cut.substr(0, utf8_complete_prefix(cut)));
}

std::string describe(const value& in, bool show_text, bool secret) {
  if (in.is_null()) return "null";
  if (in.is_array()) return "an array";
  if (in.is_object()) return "an object";
  if (secret || (in.is_string() && !show_text)) return in.is_string() ? "a string" : "another type";
  if (in.is_bool()) return in.get_bool() ? "true" : "false";
  if (in.is_int64()) return fmt::format("{}", in.get_int64());
  if (in.is_uint64()) return fmt::format("{}", in.get_uint64());
  if (in.is_double()) return fmt::format("{}", in.get_double());
  return shown(in.get_string());
}

void add_lengths(object& schema, const FieldOptions& field) {
  if (field.min_length) schema["minLength"] = *field.min_length;
  if (field.max_length) schema["maxLength"] = *field.max_length;
}

class BoolType final : public Type {
 public:
  Kind kind() const override { return Kind::kBool; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    if (!in.is_bool()) return detail::mismatch("true or false", in, at, field);
    *static_cast<bool*>(out) = in.get_bool();
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions&, const EncodeOptions&) const override {
    out = *static_cast<const bool*>(in);
    return true;
  }
  object schema(const FieldOptions&, const SchemaOptions&) const override { return {{"type", "boolean"}}; }
  std::string name() const override { return "boolean"; }
};

class StringType final : public Type {
 public:
  Kind kind() const override { return Kind::kString; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    if (!in.is_string()) return detail::mismatch("a string", in, at, field);
    const std::string_view text = in.get_string();
    if (field.min_length || field.max_length) {
      auto counted = detail::check_count(character_count(text), field.min_length, field.max_length, "character", at);
      if (!counted) return counted;
    }
    *static_cast<std::string*>(out) = text;
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const override {
    const auto& text = *static_cast<const std::string*>(in);
    out = options.redact_secrets && field.secret && !text.empty() ? std::string_view("***") : std::string_view(text);
    return true;
  }
  object schema(const FieldOptions& field, const SchemaOptions&) const override {
    object out{{"type", "string"}};
    add_lengths(out, field);
    return out;
  }
  std::string name() const override { return "string"; }
  std::string bounds(const FieldOptions& field) const override { return Type::bounds(field); }
};

class StringOrListType final : public Type {
 public:
  Kind kind() const override { return Kind::kStringOrList; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions& options) const override {
    auto& target = *static_cast<StringOrList*>(out);
    target = {};
    if (in.is_string()) {
      target.items.emplace_back();
      return detail::string_type().decode(in, &target.items.back(), field, at, options);
    }
    if (!in.is_array()) return detail::mismatch("a string or a list of strings", in, at, field);
    target.is_list = true;
    const array& list = in.get_array();
    if (auto counted = detail::check_count(list.size(), field.min_items, field.max_items, "item", at); !counted) {
      return counted;
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      target.items.emplace_back();
      auto done = detail::string_type().decode(list[i], &target.items.back(), field, Path(at, i), options);
      if (!done) return done;
    }
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const override {
    const auto& source = *static_cast<const StringOrList*>(in);
    if (!source.is_list && source.items.empty()) return false;
    if (!source.is_list && source.items.size() == 1) {
      return detail::string_type().encode(&source.items.front(), out, field, options);
    }
    array& list = out.emplace_array();
    for (const auto& item : source.items)
      detail::string_type().encode(&item, list.emplace_back(nullptr), field, options);
    return true;
  }
  object schema(const FieldOptions& field, const SchemaOptions& options) const override {
    const object item = detail::string_type().schema(field, options);
    object list{{"type", "array"}, {"items", item}};
    if (field.min_items) list["minItems"] = *field.min_items;
    if (field.max_items) list["maxItems"] = *field.max_items;
    return {{"anyOf", array{item, list}}};
  }
  std::string name() const override { return "string or list of strings"; }
};

class ObjectType final : public Type {
 public:
  Kind kind() const override { return Kind::kObject; }
  Result<void> decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                      const DecodeOptions&) const override {
    if (!in.is_object()) return detail::mismatch("an object", in, at, field);
    *static_cast<object*>(out) = in.get_object();
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const override {
    const auto& source = *static_cast<const object*>(in);
    if (options.redact_secrets && field.secret && !source.empty()) {
      out = "***";
    } else {
      out = source;
    }
    return true;
  }
  object schema(const FieldOptions&, const SchemaOptions&) const override { return {{"type", "object"}}; }
  std::string name() const override { return "object"; }
};

class AnyType final : public Type {
 public:
  Kind kind() const override { return Kind::kAny; }
  Result<void> decode(const value& in, void* out, const FieldOptions&, const Path&,
                      const DecodeOptions&) const override {
    *static_cast<value*>(out) = in;
    return {};
  }
  bool encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const override {
    const auto& source = *static_cast<const value*>(in);
    if (source.is_null()) return false;
    if (options.redact_secrets && field.secret) {
      out = "***";
    } else {
      out = source;
    }
    return true;
  }
  object schema(const FieldOptions&, const SchemaOptions&) const override { return {}; }
  std::string name() const override { return "any"; }
};

template <class Described>
const Type& instance() {
  static const Described type;
  return type;
}

}  // namespace

std::string Path::pointer() const {
  if (parent_ == nullptr) return std::string(token_);
  return pointer_join(parent_->pointer(), index_ ? std::string_view(std::to_string(*index_)) : token_);
}

std::string Type::bounds(const FieldOptions& field) const {
  if (field.min_length && field.max_length) {
    return fmt::format("{}..{} characters", *field.min_length, *field.max_length);
  }
  if (field.min_length) return fmt::format(">= {} characters", *field.min_length);
  return field.max_length ? fmt::format("<= {} characters", *field.max_length) : std::string();
}

namespace detail {

std::unexpected<Error> mismatch(std::string_view expected, const value& in, const Path& at, const FieldOptions& field,
                                bool show_text) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("expected {}, got {}", expected, describe(in, show_text, field.secret)), at.pointer());
}

Result<void> check_count(std::size_t count, const std::optional<std::size_t>& least,
                         const std::optional<std::size_t>& most, std::string_view noun, const Path& at) {
  if (count >= least.value_or(0) && count <= most.value_or(count)) return {};
  const std::size_t bound = least && count < *least ? *least : *most;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("expected at {} {} {}{}, got {}", least && count < *least ? "least" : "most", bound, noun,
                          bound == 1 ? "" : "s", count == 0 ? "none" : std::to_string(count)),
              at.pointer());
}

const Type& bool_type() {
  return instance<BoolType>();
}
const Type& string_type() {
  return instance<StringType>();
}
const Type& string_or_list_type() {
  return instance<StringOrListType>();
}
const Type& object_type() {
  return instance<ObjectType>();
}
const Type& any_type() {
  return instance<AnyType>();
}

}  // namespace detail

}  // namespace llm::json
