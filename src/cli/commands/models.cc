#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/line_reader.h"
#include "cli/commands/session.h"
#include "cli/commands/store_operation.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

// Names alone, straight from the store: fast enough for every press of the tab key.
Result<int> list_names(CommandContext& context, const Setup& setup) {
  auto store = open_store(setup);
  if (!store) return fail(std::move(store.error()));
  auto listing = (*store)->list();
  if (!listing) return fail(std::move(listing.error()));
  auto aliases = (*store)->aliases();
  if (!aliases) return fail(std::move(aliases.error()));
  std::string out;
  for (const models::Manifest& manifest : listing->models) {
    const bool plain = manifest.name.version == models::kDefaultVersion;
    out += (plain ? manifest.name.name : models::to_string(manifest.name)) + "\n";
  }
  for (const auto& [alias, target] : *aliases) out += alias + "\n";
  context.terminal.out(out);
  return kExitSuccess;
}

// The digits that tell one version from another; empty for models that are not in the store.
std::string version_text(const json::object& model) {
  const std::string text = short_version(json::string_or(model, "model_version"));
  const auto at = text.rfind(':');
  return text.contains("@sha256:") ? text.substr(at + 1) : std::string();
}

std::string model_table(const json::array& models, const Terminal& terminal) {
  TextTable table({{"NAME"},
                   {"VERSION"},
                   {"SIZE", Align::kRight},
                   {"PARAMETERS", Align::kRight},
                   {"QUANTISATION"},
                   {"CONTEXT", Align::kRight},
                   {"STATE"},
                   {"ALIASES"}});
  for (const json::value& item : models) {
    if (!item.is_object()) continue;
    const json::object& model = item.get_object();
    const std::string external = text_of(model, "external");
    table.add({text_of(model, "name"), version_text(model), bytes_text(model, "size"),
               count_text(static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(model, "parameters")))),
               text_of(model, "quantisation"), number_text(model, "context_length"),
               external.empty() ? text_of(model, "state") : "at " + external, list_text(model, "aliases")});
  }
  return table.text(terminal);
}

std::string model_page(const json::object& model, const Terminal& terminal) {
  std::vector<std::pair<std::string, std::string>> pairs{
      {"Name", text_of(model, "name")},
      {"Version", text_of(model, "model_version")},
      {"Kind", text_of(model, "kind")},
      {"Aliases", list_text(model, "aliases")},
      {"State", text_of(model, "state")},
      {"External engine", text_of(model, "external")},
      {"Mode", text_of(model, "mode")},
      {"Architecture", text_of(model, "architecture")},
      {"Parameters",
       count_text(static_cast<std::uint64_t>(std::max<std::int64_t>(0, json::int_or(model, "parameters"))))},
      {"Quantisation", text_of(model, "quantisation")},
      {"Context", number_text(model, "context_length")},
      {"Size", bytes_text(model, "size")},
      {"Digest", text_of(model, "digest")},
      {"Source", text_of(model, "source")},
      {"Revision", text_of(model, "revision")},
      {"Brought in by", text_of(model, "creator")},
      {"Notes", text_of(model, "notes")},
      {"Licence", text_of(model, "license")},
      {"Created", text_of(model, "created")},
      {"Chat template", text_of(model, "chat_template").empty() ? "" : "yes"},
  };
  if (const json::value* estimate = json::find(model, "estimate"); estimate && estimate->is_object()) {
    const json::object& memory = estimate->get_object();
    pairs.emplace_back("Memory when loaded",
                       fmt::format("about {} (weights {}, KV cache {}, buffers {}) with {} tokens of context",
                                   bytes_text(memory, "total_bytes"), bytes_text(memory, "weights_bytes"),
                                   bytes_text(memory, "kv_cache_bytes"), bytes_text(memory, "compute_bytes"),
                                   number_text(memory, "context")));
  }
  return key_values(pairs, terminal);
}

// One version of a model, by its digest, instead of the model with all of them.
bool is_version(std::string_view name) {
  const auto version = models::parse_version_ref(name);
  return version && !version->digits.empty();
}

// On a terminal asks; elsewhere --yes has to be there.
Result<bool> may_remove(CommandContext& context, const std::vector<json::object>& models) {
  if (!context.terminal.settings().in_is_terminal || !context.terminal.settings().err_is_terminal) {
    return fail(ErrorCode::kInvalidArgument, "rm: there is no terminal to ask on; say --yes to remove without asking");
  }
  std::string names;
  for (const json::object& model : models) {
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", text_of(model, "name"), bytes_text(model, "size"));
  }
  context.terminal.err(fmt::format("Remove {}? [y/N] ", names));
  Interrupt interrupt;
  auto answer = LineReader(STDIN_FILENO).next(interrupt);
  if (!answer) {
    context.terminal.err("\n");
    return fail(std::move(answer.error()));
  }
  const std::string text = to_lower(trim(answer->value_or("")));
  return text == "y" || text == "yes";
}

}  // namespace

Result<int> run_command(CommandContext& context, const ListArguments&) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  if (context.terminal.quiet() && !context.terminal.json()) return list_names(context, *setup);
  auto access = ModelAccess::open(*setup);
  if (!access) return fail(std::move(access.error()));
  auto models = (*access)->list();
  if (!models) return fail(std::move(models.error()));
  if (context.terminal.json()) {
    context.terminal.result(*models);
    return kExitSuccess;
  }
  const json::value* items = json::find(*models, "models");
  if (!items || !items->is_array() || items->get_array().empty()) {
    context.terminal.note("There are no models yet. Get one with: llm-mcp pull hf:OWNER/REPO, or llm-mcp import FILE");
    return kExitSuccess;
  }
  context.terminal.out(model_table(items->get_array(), context.terminal));
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const ShowArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto access = ModelAccess::open(*setup);
  if (!access) return fail(std::move(access.error()));
  auto model = (*access)->info(arguments.model);
  if (!model) return fail(std::move(model.error()));
  if (context.terminal.json()) {
    context.terminal.result(*model);
  } else {
    context.terminal.out(model_page(*model, context.terminal));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const RemoveArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto access = ModelAccess::open(*setup);
  if (!access) return fail(std::move(access.error()));
  std::vector<json::object> models;
  for (const std::string& name : arguments.models) {
    if (is_version(name)) {
      models.push_back({{"name", name}});
      continue;
    }
    auto model = (*access)->info(name);
    if (!model) return fail(std::move(model.error()));
    models.push_back(std::move(*model));
  }
  if (!arguments.yes) {
    auto may = may_remove(context, models);
    if (!may) return fail(std::move(may.error()));
    if (!*may) {
      context.terminal.note("Nothing was removed.");
      return kExitFailure;
    }
  }
  json::array removed;
  for (const std::string& name : arguments.models) {
    auto done =
        is_version(name) ? operate_store(context, *setup, "version.remove", {{"name", name}}) : (*access)->remove(name);
    if (!done) return fail(std::move(done.error()));
    if (!context.terminal.json() && !context.terminal.quiet()) {
      context.terminal.line(fmt::format("removed {}", text_of(*done, "model")));
    }
    removed.push_back(json::value(text_of(*done, "model")));
  }
  if (context.terminal.json()) context.terminal.result({{"removed", std::move(removed)}});
  return kExitSuccess;
}

}  // namespace llm::cli
