// The tables of what the operations on versions take.
#include "inference/operations/version_work.h"

namespace llm {

using inference::AliasRequest;
using inference::ExportRequest;
using inference::GcRequest;
using inference::ImportBundleRequest;
using inference::NoArguments;
using inference::NotesRequest;
using inference::PromoteRequest;
using inference::VersionName;
using json::field;
using models::AliasTarget;

namespace {
constexpr std::size_t kLongestName = 400;
constexpr std::size_t kLongestPath = 4096;
}  // namespace

const json::Table<AliasTarget>& json::Fields<AliasTarget>::table() {
  using R = AliasTarget;
  static const Table<R> table{
      "alias target",
      {
          field("model", &R::model,
                {.description = "A model (name:tag) or one version of it (name:tag@sha256:…).",
                 .required = true,
                 .min_length = 1,
                 .max_length = kLongestName}),
          field(
              "weight", &R::weight,
              {.description = "Of the targets: how many callers it gets, next to the others' weights. Of a shadow: the "
                              "share of the requests that is copied to it, 0 to 1.",
               .minimum = 0,
               .maximum = models::kMostWeight}),
      }};
  return table;
}

const json::Table<VersionName>& json::Fields<VersionName>::table() {
  using R = VersionName;
  static const Table<R> table{"model name",
                              {field("name", &R::name,
                                     {.description = "A model, alias or version.",
                                      .required = true,
                                      .min_length = 1,
                                      .max_length = kLongestName})}};
  return table;
}

const json::Table<PromoteRequest>& json::Fields<PromoteRequest>::table() {
  using R = PromoteRequest;
  static const Table<R> table{
      "promotion",
      {
          field("name", &R::name,
                {.description = "What is promoted: a version (name:tag@sha256:…), or what a model or alias is now.",
                 .required = true,
                 .min_length = 1,
                 .max_length = kLongestName}),
          field("to", &R::to,
                {.description = "What stands for it from now on: a name with its tag, or an alias. A name that is "
                                "neither becomes an alias. Default: the tag that the version is of.",
                 .max_length = kLongestName}),
      }};
  return table;
}

const json::Table<NotesRequest>& json::Fields<NotesRequest>::table() {
  using R = NotesRequest;
  static const Table<R> table{
      "notes",
      {
          field("name", &R::name,
                {.description = "A model.", .required = true, .min_length = 1, .max_length = kLongestName}),
          field("notes", &R::notes,
                {.description = "What is to be known about it. The model gets a new version, with these notes.",
                 .required = true,
                 .max_length = 16'384}),
      }};
  return table;
}

const json::Table<AliasRequest>& json::Fields<AliasRequest>::table() {
  using R = AliasRequest;
  static const Table<R> table{
      "alias",
      {
          field("name", &R::name, {.description = "The alias.", .required = true, .min_length = 1, .max_length = 128}),
          field("targets", &R::targets,
                {.description = "What it stands for; of several, each caller stays with one, by their weights.",
                 .required = true,
                 .min_items = 1,
                 .max_items = 16}),
          field("shadow", &R::shadow,
                {.description = "Models that get copies of its requests; their answers are thrown away.",
                 .max_items = 16}),
      }};
  return table;
}

const json::Table<ExportRequest>& json::Fields<ExportRequest>::table() {
  using R = ExportRequest;
  static const Table<R> table{
      "export",
      {
          field("name", &R::name,
                {.description = "A model, alias or version.",
                 .required = true,
                 .min_length = 1,
                 .max_length = kLongestName}),
          field(
              "directory", &R::directory,
              {.description = "Absolute path of a folder on the gateway's machine: a new one, an empty one, or one of "
                              "an export of the same version that was cut.",
               .required = true,
               .min_length = 1,
               .max_length = kLongestPath}),
      }};
  return table;
}

const json::Table<ImportBundleRequest>& json::Fields<ImportBundleRequest>::table() {
  using R = ImportBundleRequest;
  static const Table<R> table{
      "bundle import",
      {
          field("directory", &R::directory,
                {.description = "Absolute path of the bundle on the gateway's machine.",
                 .required = true,
                 .min_length = 1,
                 .max_length = kLongestPath}),
          field("name", &R::name,
                {.description = "Name of the model. Default: the one it had.", .max_length = kLongestName}),
          field("replace", &R::replace, {.description = "Let the name point to it if it has another version now."}),
      }};
  return table;
}

const json::Table<GcRequest>& json::Fields<GcRequest>::table() {
  using R = GcRequest;
  static const Table<R> table{
      "garbage collection",
      {
          field("dry_run", &R::dry_run, {.description = "Only say what would go."}),
          field("versions", &R::versions,
                {.description = "Also old versions that no tag, alias, split, shadow or history names."}),
          field("partial", &R::partial, {.description = "Also downloads and imports that were cut."}),
      }};
  return table;
}

const json::Table<NoArguments>& json::Fields<NoArguments>::table() {
  static const Table<NoArguments> table{"no arguments", {}};
  return table;
}

}  // namespace llm
