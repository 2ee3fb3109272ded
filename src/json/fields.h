#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "json/field_types.h"

// Field tables: one struct and one table of its fields give decoding with JSON Pointer errors, encoding, JSON Schema
// 2020-12 and a reference for people.
//
//   struct Item { std::string name; std::optional<double> weight; };
//   template <> struct llm::json::Fields<Item> {
//     static const Table<Item>& table() {
//       static const Table<Item> t{"item", {
//           field("name", &Item::name, {.description = "Its name.", .required = true, .min_length = 1}),
//           field("weight", &Item::weight, {.description = "In kilograms.", .minimum = 0}),
//       }};
//       return t;
//     }
//   };
//
// Members may be bool, integers, float, double, std::string, enums with EnumNames, StringOrList, Duration, ByteSize,
// value (anything), object (any object), structs with Fields, and std::optional, std::vector and
// std::map<std::string, ...> of those. Structs are default constructible; a default constructed one holds the defaults.
// Tables are immutable: every function here may be called from any thread.
namespace llm::json {

// The names of an enum: specialize with
//   static constexpr std::array<std::pair<E, std::string_view>, N> values = {{...}};
template <class E>
struct EnumNames;

// Specialize with `static const Table<T>& table()`.
template <class T>
struct Fields;

template <class T>
concept HasFields = requires { Fields<T>::table(); };
template <class E>
concept HasEnumNames = std::is_enum_v<E> && requires { EnumNames<E>::values; };

struct FieldBase {
  std::string_view name;
  FieldOptions options;
  const Type* type;
  std::size_t offset;

  void* in(void* object) const { return static_cast<char*>(object) + offset; }
  const void* in(const void* object) const { return static_cast<const char*>(object) + offset; }
};

template <class T>
struct Field : FieldBase {};

class TableBase {
 public:
  std::string_view name() const { return name_; }
  std::span<const FieldBase> fields() const { return fields_; }
  const FieldBase* find(std::string_view name) const;
  // A default constructed object: the defaults of its fields.
  const void* prototype() const { return prototype_; }

  Result<void> decode(const value& in, void* out, const Path& at, const DecodeOptions& options) const;
  object encode(const void* in, const EncodeOptions& options) const;
  object schema(const SchemaOptions& options) const;

 protected:
  TableBase(std::string_view name, const void* prototype) : name_(name), prototype_(prototype) {}
  std::vector<FieldBase> fields_;

 private:
  Result<void> reject_unknown(const object& document, const Path& at, const DecodeOptions& options) const;

  std::string_view name_;
  const void* prototype_;
};

namespace detail {

template <class T>
const T& prototype() {
  static const T object{};
  return object;
}

template <HasEnumNames E>
class EnumType final : public EnumTypeBase {
 protected:
  std::vector<std::string_view> names() const override {
    std::vector<std::string_view> out;
    for (const auto& [entry, name] : EnumNames<E>::values) out.push_back(name);
    return out;
  }
  void set(void* out, std::size_t index) const override { *static_cast<E*>(out) = EnumNames<E>::values[index].first; }
  std::string_view name_of(const void* in) const override {
    for (const auto& [entry, name] : EnumNames<E>::values) {
      if (entry == *static_cast<const E*>(in)) return name;
    }
    return {};
  }
};

template <class M>
struct TypeOf;

// The one instance that describes C++ type M.
template <class M>
const Type& type_of() {
  return TypeOf<M>::get();
}

template <class V>
class OptionalType final : public OptionalTypeBase {
 protected:
  const Type& inner() const override { return type_of<V>(); }
  void reset(void* optional) const override { static_cast<std::optional<V>*>(optional)->reset(); }
  void* emplace(void* optional) const override { return &static_cast<std::optional<V>*>(optional)->emplace(); }
  const void* get(const void* optional) const override {
    const auto& held = *static_cast<const std::optional<V>*>(optional);
    return held ? &*held : nullptr;
  }
};

template <class V>
class ListType final : public ListTypeBase {
  static_assert(!std::same_as<V, bool>, "std::vector<bool> has no elements to point at");

 public:
  const Type* element() const override { return &type_of<V>(); }

 protected:
  void clear(void* list) const override { static_cast<std::vector<V>*>(list)->clear(); }
  void* append(void* list) const override { return &static_cast<std::vector<V>*>(list)->emplace_back(); }
  std::size_t size(const void* list) const override { return static_cast<const std::vector<V>*>(list)->size(); }
  const void* item(const void* list, std::size_t index) const override {
    return &(*static_cast<const std::vector<V>*>(list))[index];
  }
};

template <class V>
class MapType final : public MapTypeBase {
 public:
  const Type* element() const override { return &type_of<V>(); }

 protected:
  using Map = std::map<std::string, V>;
  void clear(void* map) const override { static_cast<Map*>(map)->clear(); }
  void* insert(void* map, std::string_view key) const override { return &(*static_cast<Map*>(map))[std::string(key)]; }
  void for_each(const void* map, const std::function<void(const std::string&, const void*)>& visit) const override {
    for (const auto& [key, held] : *static_cast<const Map*>(map)) visit(key, &held);
  }
};

template <HasFields T>
class StructType final : public StructTypeBase {
 public:
  const TableBase* table() const override { return &Fields<T>::table(); }
};

template <class Described>
struct Instance {
  static const Type& get() {
    static const Described type;
    return type;
  }
};

template <class M>
  requires std::integral<M>
struct TypeOf<M> {
  static const Type& get() { return integer_type(sizeof(M), std::is_signed_v<M>); }
};
template <>
struct TypeOf<bool> {
  static const Type& get() { return bool_type(); }
};
template <>
struct TypeOf<double> {
  static const Type& get() { return double_type(); }
};
template <>
struct TypeOf<float> {
  static const Type& get() { return float_type(); }
};
template <>
struct TypeOf<std::string> {
  static const Type& get() { return string_type(); }
};
template <>
struct TypeOf<StringOrList> {
  static const Type& get() { return string_or_list_type(); }
};
template <>
struct TypeOf<Duration> {
  static const Type& get() { return duration_type(); }
};
template <>
struct TypeOf<ByteSize> {
  static const Type& get() { return byte_size_type(); }
};
template <>
struct TypeOf<object> {
  static const Type& get() { return object_type(); }
};
template <>
struct TypeOf<value> {
  static const Type& get() { return any_type(); }
};
template <HasEnumNames E>
struct TypeOf<E> : Instance<EnumType<E>> {};
template <class V>
struct TypeOf<std::optional<V>> : Instance<OptionalType<V>> {};
template <class V>
struct TypeOf<std::vector<V>> : Instance<ListType<V>> {};
template <class V>
struct TypeOf<std::map<std::string, V>> : Instance<MapType<V>> {};
template <HasFields T>
struct TypeOf<T> : Instance<StructType<T>> {};

}  // namespace detail

template <class T>
class Table : public TableBase {
 public:
  // `name` says what T is in messages: "generate request".
  Table(std::string_view name, std::initializer_list<Field<T>> fields) : TableBase(name, &detail::prototype<T>()) {
    fields_.assign(fields.begin(), fields.end());
  }
};

// `name` and the description must outlive the table: string literals.
template <class T, class M>
Field<T> field(std::string_view name, M T::* member, FieldOptions options) {
  const T& object = detail::prototype<T>();
  const auto offset =
      reinterpret_cast<const char*>(&(object.*member)) - reinterpret_cast<const char*>(&object);  // NOLINT
  return {{name, options, &detail::type_of<M>(), static_cast<std::size_t>(offset)}};
}

// Members that are absent keep what `out` holds. After an error `out` is partly changed.
template <HasFields T>
Result<void> decode_into(const value& document, T& out, const DecodeOptions& options = {}) {
  return Fields<T>::table().decode(document, &out, Path(options.pointer), options);
}

// kInvalidArgument: `expected a number between 0 and 2, got 3.5`, with the JSON Pointer of the place.
template <HasFields T>
Result<T> decode(const value& document, const DecodeOptions& options = {}) {
  Result<T> out{std::in_place};
  if (auto done = decode_into(document, *out, options); !done) return fail(std::move(done.error()));
  return out;
}

// In the order of the table. Unset optionals and null values are left out.
template <HasFields T>
object encode(const T& in, const EncodeOptions& options = {}) {
  return Fields<T>::table().encode(&in, options);
}

// {"type":"object","properties":{...},"required":[...],"additionalProperties":false}. Not for recursive structs.
template <HasFields T>
object schema(const SchemaOptions& options = {}) {
  return Fields<T>::table().schema(options);
}

// The name of an enum's value, empty if it has none; and back, nullopt for an unknown name.
template <HasEnumNames E>
std::string_view enum_name(E wanted) {
  for (const auto& [entry, name] : EnumNames<E>::values) {
    if (entry == wanted) return name;
  }
  return {};
}
template <HasEnumNames E>
std::optional<E> enum_value(std::string_view wanted) {
  for (const auto& [entry, name] : EnumNames<E>::values) {
    if (name == wanted) return entry;
  }
  return std::nullopt;
}

// One line of a reference: a field, or a group of them (a nested struct, a map of structs).
struct ReferenceRow {
  std::string path;  // "models.settings.<name>.context"
  std::string type;
  std::string default_text;  // empty: no default
  std::string description;
  std::string bounds;
  bool required = false;
  bool secret = false;
  bool reloadable = false;
  bool group = false;
};

std::vector<ReferenceRow> reference(const TableBase& table);
template <HasFields T>
std::vector<ReferenceRow> reference() {
  return reference(Fields<T>::table());
}

// The type at a path of member names (map keys may be anything), nullptr if the table has no such place.
const Type* find_type(const TableBase& table, std::span<const std::string> path);

}  // namespace llm::json
