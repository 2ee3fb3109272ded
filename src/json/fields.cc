#include "json/fields.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/strings.h"

namespace llm::json {
namespace {

constexpr std::size_t kListedNames = 16;  // how many known names a message lists when none is near
constexpr std::size_t kShownName = 64;

std::string suggestion(std::string_view name, std::span<const FieldBase> fields, std::string_view noun) {
  std::vector<std::string> known;
  for (const auto& field : fields) known.emplace_back(field.name);
  const auto near = nearest(name, known, 1);
  if (!near.empty()) return fmt::format("; did you mean \"{}\"?", near.front());
  if (known.size() > kListedNames || known.empty()) return {};
  return fmt::format("; the known {}s are {}", noun, fmt::join(known, ", "));
}

// The default of a field as text, empty where there is none worth telling.
std::string default_text(const FieldBase& field, const void* prototype) {
  value out;
  if (field.options.secret || field.options.required) return {};
  if (!field.type->encode(field.in(prototype), out, field.options, {})) return {};
  if (out.is_double()) return fmt::format("{}", out.get_double());
  if (out.is_string() && field.type->kind() != Kind::kString) return std::string(out.get_string());
  return write(out);
}

void add_rows(std::vector<ReferenceRow>& rows, const TableBase& table, const std::string& prefix) {
  for (const auto& field : table.fields()) {
    ReferenceRow row{prefix + std::string(field.name),
                     field.type->name(),
                     {},
                     std::string(field.options.description),
                     field.type->bounds(field.options),
                     field.options.required,
                     field.options.secret,
                     field.options.reloadable,
                     false};
    const Type* inner = field.type;
    std::string below = row.path + ".";
    while (inner->element() != nullptr) {
      below += inner->kind() == Kind::kMap ? "<name>." : "<index>.";
      inner = inner->element();
    }
    row.group = inner->table() != nullptr;
    if (!row.group) row.default_text = default_text(field, table.prototype());
    rows.push_back(std::move(row));
    if (inner->table() != nullptr) add_rows(rows, *inner->table(), below);
  }
}

bool is_worth_telling(const value& fallback) {
  if (fallback.is_string()) return !fallback.get_string().empty();
  return fallback.is_primitive() && !fallback.is_null();
}

}  // namespace

const FieldBase* TableBase::find(std::string_view name) const {
  const auto found = std::ranges::find(fields_, name, &FieldBase::name);
  return found == fields_.end() ? nullptr : &*found;
}

Result<void> TableBase::decode(const value& in, void* out, const Path& at, const DecodeOptions& options) const {
  if (!in.is_object()) return detail::mismatch("an object", in, at, {});
  const object& document = in.get_object();
  std::size_t seen = 0;
  for (const auto& field : fields_) {
    const value* member = document.if_contains(field.name);
    if (member != nullptr) ++seen;
    const bool null = member != nullptr && member->is_null();
    if (member == nullptr || (null && field.options.required && field.type->is_optional()) ||
        (null && options.null_is_absent)) {
      if (!field.options.required) continue;
      return fail(ErrorCode::kInvalidArgument, fmt::format("missing required {} \"{}\"", options.noun, field.name),
                  Path(at, field.name).pointer());
    }
    if (auto done = field.type->decode(*member, field.in(out), field.options, Path(at, field.name), options); !done) {
      return done;
    }
  }
  if (seen < document.size() && options.unknown == Unknown::kReject) return reject_unknown(document, at, options);
  return {};
}

Result<void> TableBase::reject_unknown(const object& document, const Path& at, const DecodeOptions& options) const {
  for (const auto& member : document) {
    const std::string_view name = member.key();
    if (find(name) != nullptr) continue;
    const std::string_view cut = name.substr(0, kShownName);
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("unknown {} \"{}\"{}", options.noun, cut.substr(0, utf8_complete_prefix(cut)),
                            suggestion(cut, fields_, options.noun)),
                Path(at, name).pointer());
  }
  return {};
}

object TableBase::encode(const void* in, const EncodeOptions& options) const {
  object out;
  for (const auto& field : fields_) {
    value member;
    if (field.type->encode(field.in(in), member, field.options, options)) out.emplace(field.name, std::move(member));
  }
  return out;
}

object TableBase::schema(const SchemaOptions& options) const {
  object properties;
  array required;
  for (const auto& field : fields_) {
    object property = field.type->schema(field.options, options);
    if (!field.options.description.empty()) property["description"] = field.options.description;
    value fallback;
    if (!field.options.required && !field.options.secret && field.type->kind() != Kind::kStruct &&
        field.type->encode(field.in(prototype_), fallback, field.options, {}) && is_worth_telling(fallback)) {
      property["default"] = std::move(fallback);
    }
    if (field.options.required) required.emplace_back(field.name);
    properties.emplace(field.name, std::move(property));
  }
  object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  if (options.closed) out["additionalProperties"] = false;
  return out;
}

std::vector<ReferenceRow> reference(const TableBase& table) {
  std::vector<ReferenceRow> rows;
  add_rows(rows, table, "");
  return rows;
}

const Type* find_type(const TableBase& table, std::span<const std::string> path) {
  const TableBase* here = &table;
  const Type* type = nullptr;
  for (const auto& token : path) {
    if (here != nullptr) {
      const FieldBase* field = here->find(token);
      type = field == nullptr ? nullptr : field->type;
    } else {
      type = type->element();
    }
    if (type == nullptr) return nullptr;
    here = type->table();
  }
  return type;
}

}  // namespace llm::json
