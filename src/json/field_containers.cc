// Enums, optionals, lists, maps and nested structs.
#include <algorithm>
#include <fmt/format.h>

#include "json/fields.h"

namespace llm::json::detail {
namespace {

std::string quoted_choice(const std::vector<std::string_view>& names) {
  std::string out = "one of ";
  for (std::size_t i = 0; i < names.size(); ++i) out += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", names[i]);
  return out;
}

}  // namespace

Result<void> EnumTypeBase::decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                                  const DecodeOptions&) const {
  const auto known = names();
  if (in.is_string()) {
    const auto found = std::ranges::find(known, std::string_view(in.get_string()));
    if (found != known.end()) {
      set(out, static_cast<std::size_t>(found - known.begin()));
      return {};
    }
  }
  return mismatch(quoted_choice(known), in, at, field, true);
}

bool EnumTypeBase::encode(const void* in, value& out, const FieldOptions&, const EncodeOptions&) const {
  const std::string_view name = name_of(in);
  if (name.empty()) return false;
  out = name;
  return true;
}

object EnumTypeBase::schema(const FieldOptions&, const SchemaOptions&) const {
  array choices;
  for (const auto name : names()) choices.emplace_back(name);
  return {{"type", "string"}, {"enum", std::move(choices)}};
}

std::string EnumTypeBase::name() const {
  return fmt::format("{}", fmt::join(names(), "|"));
}

Result<void> OptionalTypeBase::decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                                      const DecodeOptions& options) const {
  reset(out);
  if (in.is_null() && inner().kind() != Kind::kAny) return {};
  return inner().decode(in, emplace(out), field, at, options);
}

bool OptionalTypeBase::encode(const void* in, value& out, const FieldOptions& field,
                              const EncodeOptions& options) const {
  const void* held = get(in);
  return held != nullptr && inner().encode(held, out, field, options);
}

Result<void> ListTypeBase::decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                                  const DecodeOptions& options) const {
  if (!in.is_array()) return mismatch("a list", in, at, field);
  const array& list = in.get_array();
  if (auto counted = check_count(list.size(), field.min_items, field.max_items, "item", at); !counted) return counted;
  clear(out);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (auto done = element()->decode(list[i], append(out), field, Path(at, i), options); !done) return done;
  }
  return {};
}

bool ListTypeBase::encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const {
  array& list = out.emplace_array();
  for (std::size_t i = 0; i < size(in); ++i) {
    value entry;
    element()->encode(item(in, i), entry, field, options);
    list.push_back(std::move(entry));
  }
  return true;
}

object ListTypeBase::schema(const FieldOptions& field, const SchemaOptions& options) const {
  object out{{"type", "array"}, {"items", element()->schema(field, options)}};
  if (field.min_items) out["minItems"] = *field.min_items;
  if (field.max_items) out["maxItems"] = *field.max_items;
  return out;
}

std::string ListTypeBase::name() const {
  return "list of " + element()->name();
}

std::string ListTypeBase::bounds(const FieldOptions& field) const {
  std::string out = element()->bounds(field);
  const auto add = [&out](std::string_view sign, std::size_t count) {
    out += fmt::format("{}{} {} items", out.empty() ? "" : ", ", sign, count);
  };
  if (field.min_items) add(">=", *field.min_items);
  if (field.max_items) add("<=", *field.max_items);
  return out;
}

Result<void> MapTypeBase::decode(const value& in, void* out, const FieldOptions& field, const Path& at,
                                 const DecodeOptions& options) const {
  if (!in.is_object()) return mismatch("an object", in, at, field);
  const object& entries = in.get_object();
  if (auto counted = check_count(entries.size(), field.min_items, field.max_items, "entry", at); !counted) {
    return counted;
  }
  clear(out);
  for (const auto& entry : entries) {
    const Path here(at, entry.key());
    void* target = insert(out, entry.key());
    if (entry.value().is_null() && options.null_is_absent) continue;
    if (auto done = element()->decode(entry.value(), target, field, here, options); !done) return done;
  }
  return {};
}

bool MapTypeBase::encode(const void* in, value& out, const FieldOptions& field, const EncodeOptions& options) const {
  object& entries = out.emplace_object();
  for_each(in, [&](const std::string& key, const void* held) {
    value entry;
    if (element()->encode(held, entry, field, options)) entries.emplace(key, std::move(entry));
  });
  return true;
}

object MapTypeBase::schema(const FieldOptions& field, const SchemaOptions& options) const {
  object out{{"type", "object"}, {"additionalProperties", element()->schema(field, options)}};
  if (field.min_items) out["minProperties"] = *field.min_items;
  if (field.max_items) out["maxProperties"] = *field.max_items;
  return out;
}

std::string MapTypeBase::name() const {
  return "map of name to " + element()->name();
}

Result<void> StructTypeBase::decode(const value& in, void* out, const FieldOptions&, const Path& at,
                                    const DecodeOptions& options) const {
  return table()->decode(in, out, at, options);
}

bool StructTypeBase::encode(const void* in, value& out, const FieldOptions&, const EncodeOptions& options) const {
  out = table()->encode(in, options);
  return true;
}

object StructTypeBase::schema(const FieldOptions&, const SchemaOptions& options) const {
  return table()->schema(options);
}

}  // namespace llm::json::detail
