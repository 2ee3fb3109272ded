#pragma once

// For the tests of this layer: is a document what a JSON Schema says? Knows the keywords that field tables write and
// refuses all others, so that none is taken for checked that is not.

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string>
#include <string_view>

#include "json/json.h"

namespace llm::tools {

inline constexpr std::array kSchemaKeywords{"type",      "properties",    "required",     "additionalProperties",
                                            "items",     "enum",          "anyOf",        "description",
                                            "minLength", "maxLength",     "minItems",     "maxItems",
                                            "minimum",   "maximum",       "default",      "exclusiveMinimum",
                                            "pattern",   "minProperties", "maxProperties"};

// Empty if the schema is sound: known keywords, known types, required members that exist.
inline std::string check_schema(const json::object& schema, const std::string& at = "#") {
  for (const auto& member : schema) {
    if (std::ranges::find(kSchemaKeywords, std::string_view(member.key())) == kSchemaKeywords.end()) {
      return fmt::format("{}: unknown keyword {}", at, std::string_view(member.key()));
    }
  }
  if (const auto* any = json::find(schema, "anyOf")) {
    for (const auto& one : any->as_array()) {
      if (auto wrong = check_schema(one.as_object(), at + "/anyOf"); !wrong.empty()) return wrong;
    }
    return {};
  }
  constexpr std::array types{"object", "array", "string", "number", "integer", "boolean"};
  const auto type = json::string_or(schema, "type");
  if (std::ranges::find(types, type) == types.end()) return fmt::format("{}: type \"{}\"", at, type);
  const auto* properties = json::find(schema, "properties");
  if (properties != nullptr) {
    for (const auto& one : properties->as_object()) {
      const std::string here = at + "/" + std::string(one.key());
      if (auto wrong = check_schema(one.value().as_object(), here); !wrong.empty()) return wrong;
    }
  }
  if (const auto* required = json::find(schema, "required")) {
    for (const auto& name : required->as_array()) {
      if (properties == nullptr || !properties->as_object().contains(name.as_string())) {
        return fmt::format("{}: requires {}, which is not declared", at, std::string_view(name.as_string()));
      }
    }
  }
  if (const auto* items = json::find(schema, "items")) return check_schema(items->as_object(), at + "/items");
  return {};
}

inline bool has_type(const json::value& document, std::string_view type) {
  if (type == "object") return document.is_object();
  if (type == "array") return document.is_array();
  if (type == "string") return document.is_string();
  if (type == "boolean") return document.is_bool();
  if (type == "integer") return document.is_int64() || document.is_uint64();
  return document.is_number();
}

// Empty if `document` conforms.
inline std::string check_document(const json::object& schema, const json::value& document,
                                  const std::string& at = "#") {
  const auto type = json::string_or(schema, "type");
  if (!has_type(document, type)) return fmt::format("{}: is no {}: {}", at, type, json::write(document));
  if (const auto* object = document.if_object()) {
    const auto* properties = json::find(schema, "properties");
    const auto* others = json::find(schema, "additionalProperties");
    for (const auto& member : *object) {
      const auto* declared = properties != nullptr ? properties->as_object().if_contains(member.key()) : nullptr;
      if (declared == nullptr && others != nullptr && others->is_bool() && !others->as_bool()) {
        return fmt::format("{}: undeclared member {}", at, std::string_view(member.key()));
      }
      if (declared == nullptr && others != nullptr && others->is_object()) declared = others;
      if (declared == nullptr) continue;
      const std::string here = at + "/" + std::string(member.key());
      if (auto wrong = check_document(declared->as_object(), member.value(), here); !wrong.empty()) return wrong;
    }
    if (const auto* required = json::find(schema, "required")) {
      for (const auto& name : required->as_array()) {
        if (!object->contains(name.as_string())) {
          return fmt::format("{}: lacks {}", at, std::string_view(name.as_string()));
        }
      }
    }
  }
  if (const auto* list = document.if_array()) {
    const auto* items = json::find(schema, "items");
    for (const auto& item : *list) {
      if (items == nullptr) break;
      if (auto wrong = check_document(items->as_object(), item, at + "/items"); !wrong.empty()) return wrong;
    }
  }
  return {};
}

}  // namespace llm::tools
