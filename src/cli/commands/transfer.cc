#include <fmt/format.h>

#include "access/principal.h"
#include "base/strings.h"
#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/format.h"
#include "cli/commands/session.h"
#include "cli/pull_settings.h"
#include "models/pull.h"

namespace llm::cli {
namespace {

models::ProgressCallback show_in(ProgressBar& bar) {
  return [&bar](const models::Progress& progress) {
    bar.bytes(to_string(progress.phase), progress.bytes_done, progress.bytes_total);
  };
}

std::string shown_name(const models::ModelName& name) {
  return name.version == models::kDefaultVersion ? name.name : models::to_string(name);
}

// What the other commands that change the store answer: the model's summary.
int report_model(CommandContext& context, const json::object& summary, std::string_view verb) {
  if (context.terminal.json()) {
    context.terminal.result(summary);
  } else if (!context.terminal.quiet()) {
    const std::string name = text_of(summary, "name");
    context.terminal.line(fmt::format("{} {} ({})", verb, name, bytes_text(summary, "size")));
    const std::string license = text_of(summary, "license");
    context.terminal.note("Licence: " + (license.empty() ? "not stated; see where it comes from" : license));
    context.terminal.note(text_of(summary, "kind") == "repository"
                              ? fmt::format("For vLLM: an entry of engines.vllm with model: \"store:{}\"", name)
                              : fmt::format("Try: llm-mcp chat {}", name));
  }
  return kExitSuccess;
}

Result<int> report_manifest(CommandContext& context, const Setup& setup, const models::Manifest& manifest,
                            std::string_view verb) {
  if (!context.terminal.json()) {
    return report_model(context,
                        {{"name", shown_name(manifest.name)},
                         {"size", manifest.size},
                         {"license", manifest.license},
                         {"kind", models::to_string(manifest.kind)}},
                        verb);
  }
  auto access = ModelAccess::open(setup);
  if (!access) return fail(std::move(access.error()));
  auto summary = (*access)->info(models::to_string(manifest.name));
  if (!summary) return fail(std::move(summary.error()));
  return report_model(context, *summary, verb);
}

Result<std::optional<models::ModelName>> name_of(const std::string& text) {
  if (text.empty()) return std::optional<models::ModelName>();
  auto name = models::parse_model_name(text);
  if (!name) return fail(std::move(name.error()));
  return std::optional(std::move(*name));
}

Result<int> pull_by_gateway(CommandContext& context, const PullArguments& arguments, GatewaySession& gateway) {
  json::object request{{"source", arguments.source}};
  if (!arguments.name.empty()) request["name"] = arguments.name;
  if (arguments.replace) request["replace"] = true;
  if (!arguments.format.empty()) request["format"] = arguments.format;
  if (!arguments.notes.empty()) request["notes"] = arguments.notes;
  if (arguments.pickles) request["pickles"] = true;
  if (arguments.code) request["code"] = true;
  Interrupt interrupt;
  ProgressBar bar(context.terminal, "pulling " + printable(arguments.name.empty() ? arguments.source : arguments.name));
  auto summary = gateway.call(
      [&](inference::ModelApi& api, CancelToken cancel) {
        const auto show = [&bar](const json::object& event) -> Result<void> {
          bar.event(event);
          return {};
        };
        return api.pull_model(request, sink_of(show), cancel);
      },
      &interrupt);
  bar.clear();
  if (!summary) return fail(std::move(summary.error()));
  return report_model(context, *summary, "pulled");
}

Result<int> pull_by_ourselves(CommandContext& context, const PullArguments& arguments, const Setup& setup) {
  auto name = name_of(arguments.name);
  if (!name) return fail(std::move(name.error()));
  auto store = open_store(setup);
  if (!store) return fail(std::move(store.error()));
  const models::PullRequest request{
      .source = arguments.source,
      .name = std::move(*name),
      .replace = arguments.replace,
      .format = models::parse_pull_format(arguments.format).value_or(models::PullFormat::kAuto),
      .pickles = arguments.pickles,
      .code = arguments.code,
      .creator = access::Principal().id,
      .notes = arguments.notes};
  Interrupt interrupt;
  ProgressBar bar(context.terminal, "pulling " + printable(arguments.name.empty() ? arguments.source : arguments.name));
  auto manifest =
      models::pull(**store, pull_settings(setup.config.settings.models), request, show_in(bar), interrupt.flag());
  bar.clear();
  if (!manifest) return fail(std::move(manifest.error()));
  return report_manifest(context, setup, *manifest, "pulled");
}

Result<int> import_folder(CommandContext& context, const ImportArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto answer = import_bundle(context, *setup, arguments);
  if (!answer) return fail(std::move(answer.error()));
  return report_model(context, *answer, "imported");
}

Result<models::ImportOptions> import_options(const ImportArguments& arguments) {
  models::ImportOptions options;
  options.creator = access::Principal().id;
  if (arguments.hardlink) options.method = models::ImportMethod::kHardlink;
  if (arguments.move) options.method = models::ImportMethod::kMove;
  options.replace = arguments.replace;
  if (!arguments.sha256.empty()) {
    auto digest = models::Digest::parse_hex(arguments.sha256);
    if (!digest) return fail(ErrorCode::kInvalidArgument, "--sha256: " + digest.error().message);
    options.expected_digest = *digest;
  }
  return options;
}

}  // namespace

Result<int> run_command(CommandContext& context, const PullArguments& arguments) {
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  if (auto gateway = GatewaySession::attach(*setup)) return pull_by_gateway(context, arguments, *gateway);
  return pull_by_ourselves(context, arguments, *setup);
}

Result<int> run_command(CommandContext& context, const ImportArguments& arguments) {
  const std::filesystem::path file = expand_home(arguments.file, context.env);
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) return import_folder(context, arguments);
  auto options = import_options(arguments);
  if (!options) return fail(std::move(options.error()));
  auto name = name_of(arguments.name.empty() ? models::suggest_name(file.stem().string()) : arguments.name);
  if (!name) return fail(std::move(name.error()));
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  auto store = open_store(*setup);
  if (!store) return fail(std::move(store.error()));
  if (arguments.if_missing) {
    if (const auto known = (*store)->find(**name)) {
      return report_manifest(context, *setup, *known, "already there:");
    }
  }
  Interrupt interrupt;
  ProgressBar bar(context.terminal, "importing " + shown_name(**name));
  auto manifest = (*store)->import_file(file, **name, *options, show_in(bar), interrupt.flag());
  bar.clear();
  if (!manifest) return fail(std::move(manifest.error()));
  return report_manifest(context, *setup, *manifest, "imported");
}

}  // namespace llm::cli
