#include "access/stored_settings.h"

namespace llm {

using access::KeySettings;
using access::ProjectSettings;
using json::field;

const json::Table<KeySettings>& json::Fields<KeySettings>::table() {
  using S = KeySettings;
  static const Table<S> table{
      "key settings",
      {
          field("scopes", &S::scopes, {.description = "Permissions that the key is narrowed to."}),
          field("models", &S::models, {.description = "Patterns of the models that the key is narrowed to."}),
          field("addresses", &S::addresses, {.description = "Networks from which the key may be used."}),
          field("limits", &S::limits, {.description = "Limits of the key itself."}),
          field("priority", &S::priority, {.description = "Its place when engines are busy."}),
          field("weight", &S::weight, {.description = "Its share within its project."}),
      }};
  return table;
}

const json::Table<ProjectSettings>& json::Fields<ProjectSettings>::table() {
  using S = ProjectSettings;
  static const Table<S> table{
      "project settings",
      {
          field("weight", &S::weight, {.description = "Its share of busy engines."}),
          field("limits", &S::limits, {.description = "Limits over all its keys."}),
          field("audit_prompts", &S::audit_prompts, {.description = "Prompts and answers go into the audit trail."}),
          field("locality", &S::locality, {.description = "Where its requests may be answered."}),
      }};
  return table;
}

namespace access {
namespace {

template <class T>
Result<T> read(const std::string& text) {
  if (text.empty()) return T{};
  const auto document = json::parse(text);
  if (!document) return fail(document.error());
  return json::decode<T>(*document);
}

}  // namespace

Result<KeySettings> read_key_settings(const std::string& text) {
  return read<KeySettings>(text);
}

Result<ProjectSettings> read_project_settings(const std::string& text) {
  return read<ProjectSettings>(text);
}

}  // namespace access
}  // namespace llm
